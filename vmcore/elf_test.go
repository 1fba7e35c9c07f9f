package vmcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// smallELF is an ELF64 core for x86-64 with one page at 0x1000 and the given note area.
func smallELF(notes []byte) []byte {
	le := binary.LittleEndian
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	b = le.AppendUint16(le.AppendUint16(b, 4), 62)
	b = le.AppendUint32(b, 1)
	for _, v := range []uint64{0, 64, 0} { // entry, phoff, shoff
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 2, 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	phdr := func(typ uint32, v ...uint64) {
		b = le.AppendUint32(le.AppendUint32(b, typ), 7)
		for _, x := range v {
			b = le.AppendUint64(b, x)
		}
		b = le.AppendUint64(b, 0)
	}
	n := uint64(len(notes))
	phdr(4, 176, 0, 0, n, n)
	phdr(1, 176+n, 0xffff888000001000, 0x1000, 4096, 4096)
	return append(append(b, notes...), pattern(0x1000, 4096)...)
}

func littleNote(name string, typ uint32, desc string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, uint32(len(name)+1)), uint32(len(desc))), typ)
	b = append(append(b, name...), make([]byte, 4-len(name)%4)...)
	return append(append(b, desc...), make([]byte, -len(desc)&3)...)
}

func asELF(file []byte) (Container, Header, error) {
	return openELF(bytes.NewReader(file), int64(len(file)), nil)
}

func TestELFHeader(t *testing.T) {
	c, h, err := asELF(smallELF(littleNote("ERASEINFO", elfnote.TypeEraseInfo, "erased")))
	if err != nil {
		t.Fatal(err)
	}
	checkPages(t, c, []want{{0, 0, phys.ErrHole}, {1, 4096, nil}})
	if h.Format != "elf" || h.Arch != "x86_64" || h.PtrSize != 8 || h.DumpLevel != -1 || string(h.EraseInfo) != "erased" || len(h.Notes) != 1 {
		t.Errorf("%+v", h)
	}
	want := Segment{0xffff888000001000, phys.Span{Start: 0x1000, End: 0x2000}}
	if len(h.Segments) != 1 || h.Segments[0] != want {
		t.Errorf("segments %v", h.Segments)
	}
	vmlinux := smallELF(nil)
	vmlinux[16] = 2
	var not *NotADump
	if _, _, err := asELF(vmlinux); !errors.As(err, &not) || !errors.Is(err, ErrNotDump) || !strings.Contains(not.What, "vmlinux") {
		t.Errorf("vmlinux: %v", err)
	}
}

// corpusLimit is how much of a file of the corpus is looked at: unpacking all of the
// guests' memory takes minutes.
const corpusLimit = 16 << 20

// unpacked is the start of a file of the corpus, decoded if it is packed.
func unpacked(t *testing.T, parts ...string) []byte {
	t.Helper()
	f, err := os.Open(dumptest.Unpacked(t, dumptest.Corpus(t, parts...)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, corpusLimit))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestQEMUBothFormats: the ELF and the kdump file that QEMU wrote of one guest hold the
// same memory, whatever the architecture, class, byte order and block size.
func TestQEMUBothFormats(t *testing.T) {
	for name, arch := range map[string]string{
		"x64": "i686", "i386": "i686", "a64": "aarch64", "arm": "armv7l",
		"ppc64": "ppc64", "rv64": "riscv64", "rv32": "riscv32", "s390x": "s390x",
	} {
		t.Run(name, func(t *testing.T) {
			e, h, err := asELF(unpacked(t, "qemu", name+".elf.xz"))
			if err != nil {
				t.Fatal(err)
			}
			if h.Arch != arch || len(h.Notes) != 1 {
				t.Errorf("%+v", h)
			}
			packed := unpacked(t, "qemu", name+".kdump-zlib")
			k, err := New(bytes.NewReader(packed), int64(len(packed)), nil)
			if err != nil {
				t.Fatal(err)
			}
			samePages(t, e, k)
		})
	}
}

// samePages compares each page that is in the ELF file with the other dump's bytes.
func samePages(t *testing.T, e Container, k *Dump) {
	t.Helper()
	a, b, count := make([]byte, e.PageSize()), make([]byte, e.PageSize()), 0
	for run := range e.Runs() {
		for p := run.Start; run.Why == nil && p < run.End; p++ {
			n, err := e.ReadPage(p, a)
			if err != nil || n != len(a) {
				t.Fatalf("page %#x: %d, %v", p, n, err)
			}
			if n, err := k.ReadPhys(b, phys.Addr(uint64(p)*uint64(len(a)))); err != nil || !bytes.Equal(a, b[:n]) {
				t.Fatalf("page %#x of the kdump file: %d, %v", p, n, err)
			}
			count++
		}
	}
	if count < 1000 {
		t.Errorf("%d pages compared", count)
	}
}

// TestARM64Kernel: the start of an arm64 kernel's dump, in QEMU's ELF.
func TestARM64Kernel(t *testing.T) {
	c, h, err := asELF(unpacked(t, "arm64", "vmcore.elf.xz"))
	if err != nil {
		t.Fatal(err)
	}
	if h.Arch != "aarch64" || h.PtrSize != 8 || c.PageSize() != 4096 || c.MaxPFN() != 0x4a000 || !h.Incomplete {
		t.Errorf("%+v, page %d, MaxPFN %#x", h, c.PageSize(), c.MaxPFN())
	}
	info := false
	for n, err := range elfnote.All(h.Notes[0], h.Order) {
		info = info || err == nil && n.Name == "VMCOREINFO" && bytes.HasPrefix(n.Desc, []byte("OSRELEASE="))
	}
	if !info {
		t.Error("no VMCOREINFO")
	}
}
