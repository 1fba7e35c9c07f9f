package vmcore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
)

func recogniseBytes(file []byte, name string) error {
	return recognise(file[:min(len(file), headBytes)], bytes.NewReader(file), int64(len(file)), name)
}

// with is a file of 128 KiB of noise with a magic at an offset, negative from its end.
func with(off int, magic string) []byte {
	b := bytes.Repeat([]byte{0xa5, 0x3c, 0x96, 0x01}, 32<<10)
	if off < 0 {
		off += len(b)
	}
	copy(b[off:], magic)
	return b
}

func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		what string // part of NotADump.What
	}{
		{"a", nil, "an empty file"},
		{"a", with(0, "\x1f\x8b\x08"), "gzip"},
		{"a", with(0, "\xfd7zXZ\x00"), "xz"},
		{"a", with(0, "\x28\xb5\x2f\xfd"), "zstd"},
		{"a", with(0, "\x5a\x2a\x4d\x18"), "zstd"},
		{"a", with(0, "BZh9"), "bzip2"},
		{"a", with(0, "\x04\x22\x4d\x18"), "lz4"},
		{"a", with(0, "\x02\x21\x4c\x18"), "lz4"},
		{"a", with(0, "\x89LZO\x00\r\n\x1a\n"), "lzop"},
		{"a", with(0, "7z\xbc\xaf\x27\x1c"), "7z"},
		{"a", with(0, "PK\x03\x04"), "zip"},
		{"a", with(0, "Rar!\x1a\x07"), "rar"},
		{"a", with(0, "\x1f\x9d\x90"), "compress(1)"},
		{"a", with(0, "LZIP\x01"), "lzip"},
		{"a", with(0, "\x5d\x00\x00\x80"), "lzma"},
		{"a", with(0, "\xff\x06\x00\x00sNaPpY"), "snappy"},
		{"a", with(0, "\x38\x8d"), "LiME"},
		{"a", with(0, "\x78\x9c"), "zlib"},
		{"a", with(257, "ustar\x0000"), "tar"},
		{"a", with(0, "070701"), "cpio"},
		{"a", with(0, "!<arch>\ndebian"), ".deb"},
		{"a", with(0, "\xed\xab\xee\xdb"), "RPM"},
		{"a", with(0, "hsqs"), "squashfs"},
		{"a", with(0, "-----BEGIN PGP MESSAGE"), "PGP"},
		{"a", with(0, "\x85\x02\x0c\x03"), "PGP"},
		{"a", with(0, "\x8c\x0d\x04\x09"), "PGP"},
		{"a", with(0, "age-encryption.org/v1"), "age"},
		{"a", with(0, "Salted__"), "openssl"},
		{"a", with(0, "makedumpfile\x00\x00\x00\x00"), "flattened stream inside"},
		{"a", with(0, "diskdump"), "diskdump partition"},
		{"a", with(0, "sadump\x00\x00"), "sadump partition"},
		{"a", with(0x1000, "sadump\x00\x00"), "sadump media"},
		{"a", with(0, "\xee\xeb\x0f\xf0"), "Xen domain core"},
		{"a", with(0, "LinuxGuestRecord"), "Xen save"},
		{"a", with(0, "Xen saved domain, xl format\n \x00 \r"), "Xen save"},
		{"a", with(0, "\xd2\xbe\xd2\xbe\x08"), "VMware snapshot"},
		{"a", with(0, "QEVM\x00\x00\x00\x03"), "QEMU migration stream"},
		{"a", with(0, "LibvirtQemudSave"), "virsh save"},
		{"a", with(0, "LibvirtQemudPart"), "never finished"},
		{"a", with(0, "PAGEDU64"), "Windows"},
		{"a", with(0, "\x7fVirtualBox SavedState V2.0"), "VirtualBox saved state"},
		{"a", with(0, "\x14\x20\x28\x01"), "Hyper-V"},
		{"a.VSV", with(0, ""), "Hyper-V"},
		{"a", with(0, "\xed\x23\x8f\x61\x73\x01\x19\xa8"), "LKCD"},
		{"a", with(0, "\xa8\x19\x01\x73\x61\x8f\x23\xcd"), "LKCD"},
		{"a", with(0, "\xe2\xd9"), "VMDUMP"},
		{"a", with(-8, "\xef\xbe\xad\xde\xbe\xba\xed\xfe"), "kvmdump"},
		{"a", with(4086, "S1SUSPEND\x00"), "hibernation"},
		{"a", with(65526, "S1SUSPEND\x00"), "hibernation"},
		{"a", with(4086, "SWAPSPACE2"), "swap space"},
		{"a", with(0x202, "HdrS"), "bzImage"},
		{"a", with(0x38, "ARM\x64"), "arm64 Image"},
		{"a", with(0x38, "RSC\x05"), "RISC-V Image"},
		{"a", with(0, "MZ\x00\x00zimg"), "EFI zboot"},
		{"a", with(0x24, "\x18\x28\x6f\x01"), "zImage"},
		{"a", with(0, "\x27\x05\x19\x56"), "U-Boot"},
		{"a", with(0, "\xd0\x0d\xfe\xed"), "device tree"},
		{"a", with(0, "QFI\xfb"), "qcow2"},
		{"a", with(0, "KDMV"), "VMware disk"},
		{"a", with(0, "# Disk DescriptorFile"), "VMware disk"},
		{"a", with(0, "vhdxfile"), "Hyper-V disk"},
		{"a", with(-512, "conectix"), "VHD"},
		{"a", with(0x40, "\x7f\x10\xda\xbe"), "VirtualBox disk"},
		{"a", with(0, "LUKS\xba\xbe"), "LUKS"},
		{"a", with(0x438, "\x53\xef"), "ext2/3/4"},
		{"a", with(0, "XFSB"), "XFS"},
		{"a", with(0x10040, "_BHRfS_M"), "btrfs"},
		{"a", with(0x8001, "CD001"), "ISO 9660"},
		{"a", with(0x200, "LABELONE"), "LVM"},
		{"a", with(0x200, "EFI PART"), "GPT"},
		{"a", with(0x1fe, "\x55\xaa"), "boot sector"},
		{"a", []byte("<!DOCTYPE html>\n<title>404</title>"), "HTML"},
		{"a", []byte("\n <HTML>"), "HTML"},
		{"a", []byte(`{"errors":[{"status":404}]}`), "JSON"},
		{"a", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:12\n"), "git LFS"},
		{"a", []byte("[    0.000000] Linux version 6.1.0 (gcc)\n[    0.000000] Command line: x\n"), "kernel log"},
		{"a", []byte("<6>[   12.345678] BUG: kernel NULL pointer dereference\n"), "kernel log"},
		{"a", []byte("SeaBIOS (version 1.16)\x1b[2J\n\nLinux version 6.1.0\n"), "kernel log"},
		{"a", []byte("Nov 21 13:19:06 host kernel: BUG: soft lockup\n"), "kernel log"},
		{"a", []byte("OSRELEASE=6.1.0\nPAGESIZE=4096\n"), "VMCOREINFO"},
		{"a", []byte("ffffffff81000000 T _stext\nffffffff81000000 T _text\n"), "System.map"},
		{"a", []byte("00001000-0009fbff : System RAM\n"), "/proc/iomem"},
		{"a", []byte("hello, world\n"), "a text"},
		{"a", []byte(strings.Repeat("Größe: 12 KiB – genug\n", 60)), "a text"},
		{"a", bytes.Repeat([]byte("\x81\xd3 \xfe\x9a!"), 800), "raw memory or an unknown format"},
		{"debug.guest", with(0, ""), "VMware guest dump"},
		{"vm-1234.VMEM", with(0, ""), "without its .vmss"},
		{"a", make([]byte, 1<<20), "all zeros"},
		{"a", with(0, "MZ\x90"), "Windows or EFI program"},
		{"/dev/sdz9", with(0, ""), "a device"},
		{"a", with(0, ""), "raw memory or an unknown format"},
		{"a", append(make([]byte, 1<<20), 1), "raw memory or an unknown format"},
		{"a", []byte("KDU"), "truncated header (3 of 4096 bytes)"},
		{"a", []byte("\x7fELF"), "truncated header (4 of 4096 bytes)"},
		{"a", with(0, "")[:100], "truncated header (100 of 4096 bytes)"},
	} {
		err := recogniseBytes(c.file, c.name)
		var not *NotADump
		switch {
		case !errors.As(err, &not) || !errors.Is(err, ErrNotDump):
			t.Errorf("%q: %v", c.what, err)
		case !strings.Contains(not.What, c.what) || not.Do == "" || not.File != c.name:
			t.Errorf("%+v, want %q", not, c.what)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("%q is more than a line", err)
		}
	}
}

// TestDisplaced: the place of a dump behind a banner, and no false alarm for a text or a
// program that has the magic in it.
func TestDisplaced(t *testing.T) {
	core := string(smallELF(nil))
	for _, magic := range []string{"KDUMP   \x06\x00\x00\x00", "DISKDUMP\x00\x00\x00\x01", "makedumpfile\x00\x00\x00\x00\x00", "EMiL\x01\x00\x00\x00\x00\x10\x00\x00", "AVML\x02\x00\x00\x00\x00\x10\x00\x00", core} {
		for _, off := range []int{1, 73, 60000} {
			err := recogniseBytes(append(bytes.Repeat([]byte("Welcome\n"), 8000)[:off], magic...), "vmcore")
			if !errors.Is(err, ErrNotDump) || !strings.Contains(err.Error(), fmt.Sprintf("begins at offset %d,", off)) || !strings.Contains(err.Error(), fmt.Sprintf("tail -c +%d ", off+1)) {
				t.Errorf("%q at %d: %v", magic[:4], off, err)
			}
		}
	}
	program := bytes.Clone(smallELF(nil))
	program[16] = 2
	for _, file := range [][]byte{
		[]byte("[    1.000000] the word DISKDUMP in a log\n"),
		append([]byte("noise "), program...),
	} {
		if err := recogniseBytes(file, "a"); strings.Contains(err.Error(), "begins at offset") {
			t.Error(err)
		}
	}
}

func TestNotADumpMessage(t *testing.T) {
	err := recogniseBytes(with(0, "\x1f\x8b"), "vmcore.gz")
	if got, want := err.Error(), "vmcore.gz is a gzip file: unpack it: gzip -dc FILE > vmcore"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (&NotADump{What: "a zip archive", Do: "unpack it"}).Error(); got != "the file is a zip archive: unpack it" {
		t.Errorf("%q", got)
	}
}

// TestKindsAreDistinct: no line of the tables repeats another's test and words.
func TestKindsAreDistinct(t *testing.T) {
	for _, k := range append(kinds(), weakKinds()...) {
		if k.what == "" || k.do == "" || strings.HasSuffix(k.do, ".") || strings.HasPrefix(k.what, "is ") {
			t.Errorf("%q: %q", k.what, k.do)
		}
	}
}

// TestRecogniseCorpus: files that users really have.
func TestRecogniseCorpus(t *testing.T) {
	file := unpacked(t, "qemu", "x64.migration")
	if err := recogniseBytes(file, "x64.migration"); !strings.Contains(err.Error(), "QEMU migration stream") {
		t.Error(err)
	}
	texts, err := filepath.Glob(dumptest.Corpus(t, "kinds", "*.txt"))
	if err != nil || len(texts) == 0 {
		t.Fatal("no kernel logs", err)
	}
	for _, name := range texts {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := recogniseBytes(b, name); !strings.Contains(err.Error(), "kautopsy oops FILE") {
			t.Error(err)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	f.Add([]byte("\x1f\x8b"), "a")
	f.Add([]byte("[    0.000000] Linux version"), "a")
	f.Add(append([]byte("banner"), smallELF(nil)...), "/dev/x")
	f.Fuzz(func(t *testing.T, file []byte, name string) {
		err := recogniseBytes(file, name)
		var not *NotADump
		if !errors.As(err, &not) || not.What == "" || not.Do == "" || !strings.HasPrefix(err.Error(), not.File) {
			t.Fatalf("%v", err)
		}
	})
}
