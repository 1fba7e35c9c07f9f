package vmcore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kautopsy/kautopsy/diskdump"
)

// ErrNotDump is what every *NotADump is.
var ErrNotDump = errors.New("not a dump that kautopsy reads")

// NotADump says what a file is that is no dump, or one of a kind that is not read, and
// the way out.
type NotADump struct {
	File string // its name, "" if it is not known
	What string // "a gzip file"
	Do   string // "unpack it: gzip -dc FILE > vmcore"
}

// Error reads like "vmcore.gz is a gzip file: unpack it: gzip -dc FILE > vmcore".
func (e *NotADump) Error() string {
	file := e.File
	if file == "" {
		file = "the file"
	}
	return fmt.Sprintf("%s is %s: %s", file, e.What, e.Do)
}

// Is makes errors.Is(err, ErrNotDump) true.
func (e *NotADump) Is(target error) bool { return target == ErrNotDump }

// recognise names a file whose start is none of the formats that are read; its error is
// never nil. head is the start of the file, 64 KiB if it has them.
func recognise(head []byte, r io.ReaderAt, size int64, name string) error {
	s := &sample{head: head, r: r, size: size, name: name}
	for _, k := range kinds() {
		if k.is(s) {
			return &NotADump{name, k.what, k.do}
		}
	}
	if s.beginsMagic() {
		return s.cut()
	}
	if err := s.displaced(); err != nil {
		return err
	}
	for _, k := range weakKinds() {
		if k.is(s) {
			return &NotADump{name, k.what, k.do}
		}
	}
	if size < shortest {
		return s.cut()
	}
	return &NotADump{name, unknown, doRegions}
}

// shortest is the size of a kdump-compressed file's first header.
const shortest = 4096

// sample is what recognition looks at.
type sample struct {
	head []byte
	r    io.ReaderAt
	size int64
	name string
}

// bytes reads n bytes at off, or at off from the file's end if it is negative; nil if
// the file has not so many.
func (s *sample) bytes(off int64, n int) []byte {
	if off < 0 {
		off += s.size
	}
	switch {
	case off < 0 || off+int64(n) > s.size:
		return nil
	case off+int64(n) <= int64(len(s.head)):
		return s.head[off : off+int64(n)]
	}
	b := make([]byte, n)
	if got, _ := s.r.ReadAt(b, off); got < n {
		return nil
	}
	return b
}

// kind is a file that is not read: how it is told, what it is and the way out.
type kind struct {
	is       func(*sample) bool
	what, do string
}

// at matches any of the magics at an offset, negative from the end of the file.
func at(off int64, magics ...string) func(*sample) bool {
	return func(s *sample) bool {
		for _, m := range magics {
			if b := s.bytes(off, len(m)); string(b) == m && b != nil {
				return true
			}
		}
		return false
	}
}

// between matches a byte of a range.
func between(off int64, lo, hi byte) func(*sample) bool {
	return func(s *sample) bool {
		b := s.bytes(off, 1)
		return b != nil && lo <= b[0] && b[0] <= hi
	}
}

// both matches when all of the tests do.
func both(tests ...func(*sample) bool) func(*sample) bool {
	return func(s *sample) bool {
		for _, t := range tests {
			if !t(s) {
				return false
			}
		}
		return true
	}
}

// pageEnd matches a signature in the last 10 bytes of the first page, of any page size:
// mm/swapfile.c, kernel/power/swap.c.
func pageEnd(sigs ...string) func(*sample) bool {
	return func(s *sample) bool {
		for page := int64(4 << 10); page <= 64<<10; page <<= 1 {
			if at(page-10, sigs...)(s) {
				return true
			}
		}
		return false
	}
}

// text matches a regular expression in a file that starts as text.
func text(expr string) func(*sample) bool {
	re := regexp.MustCompile(expr)
	return func(s *sample) bool { return isText(s.head) && re.Match(s.head[:min(len(s.head), 16<<10)]) }
}

// isText tells text from binary by what its first KiB has of control characters and of bytes
// that are no UTF-8: a log may have a few (escape sequences, NULs of a cut write), hardly one
// in ten.
func isText(b []byte) bool {
	b = b[:min(len(b), 1024)]
	odd, size := 0, len(b)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || r < 32 && !strings.ContainsRune("\n\r\t\x1b", r) {
			odd++
		}
		b = b[n:]
	}
	return size > 0 && odd*10 <= size
}

func named(suffixes ...string) func(*sample) bool {
	return func(s *sample) bool {
		for _, x := range suffixes {
			if strings.HasSuffix(strings.ToLower(s.name), x) {
				return true
			}
		}
		return false
	}
}

const (
	unknown   = "raw memory or an unknown format"
	doRegions = "if it is raw memory, give the machine's /proc/iomem with --regions"

	doGuest = "take the guest again: virsh dump --memory-only DOMAIN vmcore, or dump-guest-memory in QEMU's monitor"
	doDisk  = "the dump is a file inside: mount the image read-only and look in /var/crash"
	doImage = "give the dump; the kernel's symbols are in vmlinux, not in the boot image"
)

// kinds is the table of files that a magic tells.
func kinds() []kind {
	return []kind{
		{func(s *sample) bool { return s.size == 0 }, "an empty file", "the capture failed before its first write: look at the space and rights of the folder, crash again"},
		// Packed.
		{at(0, "\x1f\x8b"), "a gzip file", "unpack it: gzip -dc FILE > vmcore"},
		{at(0, "\xfd7zXZ\x00"), "an xz file", "unpack it: xz -dc FILE > vmcore"},
		{at(0, "\x28\xb5\x2f\xfd"), "a zstd file", "unpack it: zstd -dc FILE > vmcore"},
		{both(at(1, "\x2a\x4d\x18"), between(0, 0x50, 0x5f)), "a zstd or lz4 file (skippable frame first)", "unpack it: zstd -dc FILE > vmcore"},
		{both(at(0, "BZh"), between(3, '1', '9')), "a bzip2 file", "unpack it: bzip2 -dc FILE > vmcore"},
		{at(0, "\x04\x22\x4d\x18", "\x02\x21\x4c\x18"), "an lz4 file", "unpack it: lz4 -dc FILE > vmcore"},
		{at(0, "\x89LZO\x00\r\n\x1a\n"), "an lzop file", "unpack it: lzop -dc FILE > vmcore"},
		{at(0, "7z\xbc\xaf\x27\x1c"), "a 7z archive", "unpack it: 7z x FILE"},
		{at(0, "PK\x03\x04"), "a zip archive", "unpack it: unzip FILE"},
		{at(0, "Rar!"), "a rar archive", "unpack it: unrar x FILE"},
		{at(0, "\x1f\x9d"), "a compress(1) file", "unpack it: uncompress -c FILE > vmcore"},
		{at(0, "LZIP"), "an lzip file", "unpack it: lzip -dc FILE > vmcore"},
		{at(0, "\x5d\x00\x00"), "an lzma file", "unpack it: xz --format=lzma -dc FILE > vmcore"},
		{at(0, "\xff\x06\x00\x00sNaPpY"), "a snappy-framed file", "unpack it: snzip -dc FILE > vmcore"},
		{at(0, "\x38\x8d"), "a LiME file packed by compress=1 (zlib)", "unpack it: zlib-flate -uncompress < FILE > vmcore.lime"},
		{at(0, "\x78\x01", "\x78\x5e", "\x78\x9c", "\x78\xda"), "a zlib stream", "unpack it: zlib-flate -uncompress < FILE > vmcore"},
		{at(257, "ustar"), "a tar archive", "unpack it: tar xf FILE"},
		{at(0, "070701", "070702", "070707", "\xc7\x71"), "a cpio archive (an initramfs?)", "unpack it: cpio -id < FILE"},
		{at(0, "!<arch>\n"), "an ar archive (.a or .deb)", "unpack it: dpkg -x FILE . or ar x FILE"},
		{at(0, "\xed\xab\xee\xdb"), "an RPM package", "unpack it: rpm2cpio FILE | cpio -id"},
		{at(0, "hsqs", "sqsh"), "a squashfs image", "unpack it: unsquashfs FILE"},
		{at(0, "-----BEGIN PGP"), "encrypted by PGP", "decrypt it: gpg -d FILE > vmcore"},
		{both(at(3, "\x03"), at(0, "\x84", "\x85")), "encrypted by PGP", "decrypt it: gpg -d FILE > vmcore"},
		{at(0, "\x8c\x0d\x04"), "encrypted by PGP", "decrypt it: gpg -d FILE > vmcore"},
		{at(0, "age-encryption.org/"), "encrypted by age", "decrypt it: age -d FILE > vmcore"},
		{at(0, "Salted__"), "encrypted by openssl", "decrypt it: openssl enc -d -in FILE -out vmcore with the cipher that made it"},
		// Dumps of other kinds.
		{at(0, diskdump.SignatureFlat), "a flattened stream inside another one", "run makedumpfile -R vmcore < FILE until it is none"},
		{at(0, "diskdump"), "a diskdump partition", "save the dump first: savecore -v (diskdumputils)"},
		{at(0, "sadump\x00\x00"), "a Fujitsu sadump partition or disk set", "convert it: makedumpfile -c FILE vmcore, or open it with crash"},
		{at(0x1000, "sadump\x00\x00"), "a Fujitsu sadump media file", "convert it: makedumpfile -c FILE vmcore, or open it with crash"},
		{at(0, "\xed\xeb\x0f\xf0", "\xee\xeb\x0f\xf0"), "an old Xen domain core (xm dump-core)", "open it with crash, or use kdump inside the domain"},
		{at(0, "LinuxGuestRecord"), "an old Xen save image (xm save)", "restore it with xm restore, then xl dump-core or kdump"},
		{at(0, "Xen saved domain", "libvirt-xml\n"), "a Xen save image (xl save)", "restore it with xl restore, then use kdump inside the domain"},
		{at(0, "\xd2\xbe\xd2\xbe", "\xd0\xbe\xd0\xbe", "\xd3\xbe\xd3\xbe", "\xd1\xba\xd1\xba", "\xd2\xba\xd2\xba"), "a VMware snapshot (.vmss, .vmsn)", "convert it: vmss2core -N FILE [FILE.vmem], the result opens here"},
		{at(0, "QEVM"), "a QEMU migration stream (virsh save, savevm, migrate to file)", doGuest},
		{at(0, "LibvirtQemudSave"), "a guest that virsh save wrote", "restore it with virsh restore --paused, then virsh dump --memory-only DOMAIN vmcore"},
		{at(0, "LibvirtQemudPart"), "a virsh save that was never finished", doGuest},
		{at(0, "PAGEDU64", "PAGEDUMP"), "a Windows crash dump", "open it with WinDbg"},
		{at(0, "\x7fVirtualBox SavedState"), "a VirtualBox saved state", "resume the guest paused, then VBoxManage debugvm NAME dumpvmcore --filename vmcore"},
		{at(0, "\x14\x20\x28\x01"), "a Hyper-V saved state (.vmrs)", "convert it with Microsoft's vm2dmp or LiveCloudKd"},
		{named(".vsv", ".vmrs"), "a Hyper-V saved state", "convert it with Microsoft's vm2dmp or LiveCloudKd"},
		{at(0, "\xed\x23\x8f\x61\x73\x01\x19\xa8", "\xa8\x19\x01\x73\x61\x8f\x23\xed", "\xcd\x23\x8f\x61\x73\x01\x19\xa8", "\xa8\x19\x01\x73\x61\x8f\x23\xcd"), "an LKCD dump", "open it with crash before 8 or with lcrash"},
		{at(0, "\xe2\xd9"), "a z/VM VMDUMP", "convert it: vmur receive -c, or zgetdump FILE > vmcore"},
		{at(-8, "\xef\xbe\xad\xde\xbe\xba\xed\xfe"), "a kvmdump, or the map file that crash made for one", doGuest},
		{pageEnd("S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001"), "a hibernation image", "resume the machine from it; a hibernated kernel did not crash"},
		{pageEnd("SWAPSPACE2", "SWAP-SPACE"), "swap space", "the dump was not written there, or savecore has moved it to /var/crash"},
		// Kernel images; vmlinux and modules are ELF and told by elfcore.
		{at(0x202, "HdrS"), "a bzImage (the kernel's boot image)", doImage},
		{at(0x38, "ARM\x64"), "an arm64 Image (the kernel's boot image)", doImage},
		{at(0x38, "RSC\x05"), "a RISC-V Image (the kernel's boot image)", doImage},
		{at(0x30, "RISCV"), "a RISC-V Image (the kernel's boot image)", doImage},
		{both(at(0, "MZ"), at(4, "zimg")), "an EFI zboot kernel image", doImage},
		{at(0x24, "\x18\x28\x6f\x01", "\x01\x6f\x28\x18"), "an Arm zImage (the kernel's boot image)", doImage},
		{at(0, "\x27\x05\x19\x56"), "a U-Boot image", doImage},
		{at(0, "\xd0\x0d\xfe\xed"), "a device tree or FIT image", doImage},
		// Disks.
		{at(0, "QFI\xfb"), "a qcow2 disk image", doDisk},
		{at(0, "KDMV", "COWD", "# Disk DescriptorFile"), "a VMware disk image", doDisk},
		{at(0, "vhdxfile"), "a Hyper-V disk image", doDisk},
		{at(0, "conectix"), "a VHD disk image", doDisk},
		{at(-512, "conectix"), "a VHD disk image", doDisk},
		{at(0x40, "\x7f\x10\xda\xbe"), "a VirtualBox disk image", doDisk},
		{at(0, "LUKS\xba\xbe"), "an encrypted partition (LUKS)", "open it with cryptsetup open, mount it, and look in /var/crash"},
		{at(0x438, "\x53\xef"), "an ext2/3/4 file system", doDisk},
		{at(0, "XFSB"), "an XFS file system", doDisk},
		{at(0x10040, "_BHRfS_M"), "a btrfs file system", doDisk},
		{at(0x8001, "CD001"), "an ISO 9660 image", doDisk},
		{at(3, "NTFS    "), "an NTFS file system", doDisk},
		{at(0x200, "LABELONE"), "an LVM volume", "activate it with vgchange -ay, mount it, and look in /var/crash"},
		{at(0x200, "EFI PART"), "a disk with a GPT", doDisk},
		{at(0x1fe, "\x55\xaa"), "a disk or partition with a boot sector", doDisk},
	}
}

// weakKinds is the table of files that have no magic: texts, names, emptiness.
func weakKinds() []kind {
	return []kind{
		{text(`(?i)^\s*(<!doctype html|<html|<\?xml)`), "an HTML or XML page, not the file behind it", "download again; the page may say why it was refused"},
		{text(`(?i)^\s*\{.*"?error`), "an error message in JSON", "download again; the message says why it was refused"},
		{text(`^version https://git-lfs`), "a git LFS pointer", "fetch the file: git lfs pull"},
		{text(`(?m)^OSRELEASE=`), "the text of a VMCOREINFO", "give the dump; this text can go with it"},
		{text(`(?m)^ *[0-9a-f]+-[0-9a-f]+ : System RAM`), "a copy of /proc/iomem", "give the raw memory, and this file with --regions"},
		{text(`(?m)^(<\d+>)?\[ *\d+\.\d{6}\]|\bkernel: |Linux version \d|Kernel panic - not|Call Trace:`), "the text of a kernel log", "use kautopsy oops FILE"},
		{text(`^([0-9a-f]{8}|[0-9a-f]{16}) [a-zA-Z] \S+`), "a System.map or /proc/kallsyms", "give the dump; its symbols are inside"},
		{text(`^.`), "a text", "if it has a kernel log in it, use kautopsy oops FILE"},
		{named(".guest"), "a VMware guest dump (debug.guest)", "open it with crash, beside its debug.vmem"},
		{named(".vmem"), "the memory of a VMware guest without its .vmss or .vmsn", "convert the pair: vmss2core -N FILE.vmss FILE.vmem, the result opens here"},
		{(*sample).zeros, "all zeros", "nothing was written there: the capture failed, or it is another device"},
		{at(0, "MZ"), "a Windows or EFI program", "give the dump"},
		{func(s *sample) bool { return strings.HasPrefix(s.name, "/dev/") }, "a device without a dump at its start", "name the dump file, or copy the dump off it with the tool that wrote it"},
	}
}

// zeros looks at the head, at samples over the whole file and at its end.
func (s *sample) zeros() bool {
	const samples, piece = 64, 4096
	blank := func(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
	if !blank(s.head) {
		return false
	}
	for i := range int64(samples + 1) {
		off := max(0, min(s.size/samples*i, s.size-piece))
		if !blank(s.bytes(off, int(min(piece, s.size-off)))) {
			return false
		}
	}
	return true
}

// magics are those of the dumps that are read, with what of the header never varies.
func magics() []string {
	return []string{
		diskdump.SignatureFlat, diskdump.SignatureKDUMP, diskdump.SignatureDISKDUMP,
		"EMiL\x01\x00\x00\x00", "AVML\x02\x00\x00\x00", "\x7fELF\x01", "\x7fELF\x02",
	}
}

// beginsMagic tells a file that ends within the magic of a dump.
func (s *sample) beginsMagic() bool {
	return slices.ContainsFunc(magics(), func(m string) bool {
		return int(s.size) == len(s.head) && strings.HasPrefix(m, string(s.head))
	})
}

// cut is the refusal of a file that is shorter than a header.
func (s *sample) cut() error {
	return &NotADump{s.name, fmt.Sprintf("cut short or no dump: truncated header (%d of %d bytes)", s.size, shortest), "copy the dump again"}
}

// displaced finds a dump that does not begin at offset 0: an ssh banner or a shell's
// greeting went into the pipe before it.
func (s *sample) displaced() error {
	first, what := -1, ""
	for _, m := range magics() {
		if i := bytes.Index(s.head, []byte(m)); i > 0 && (first < 0 || i < first) {
			first, what = i, m
		}
	}
	if first < 0 || !s.plausible(what, first) {
		return nil
	}
	name := strings.Trim(strings.ToValidUTF8(what, ""), " \x00\x01\x02\x7f")
	return &NotADump{
		s.name, fmt.Sprintf("a dump (%s) that begins at offset %d, with something else in front of it", name, first),
		fmt.Sprintf("cut it off: tail -c +%d FILE > vmcore", first+1),
	}
}

// plausible tells a header from its magic in a text or in a program: an ELF header says
// that it is a core (e_type 4), the others have a small number behind the magic.
func (s *sample) plausible(magic string, i int) bool {
	off, n := int64(i+len(magic)), 4
	if magic[0] == '\x7f' {
		off, n = int64(i)+16, 2
	}
	b := s.bytes(off, n)
	if magic[0] == '\x7f' {
		return b != nil && b[0]+b[1] == 4
	}
	return bytes.IndexByte(b, 0) >= 0
}
