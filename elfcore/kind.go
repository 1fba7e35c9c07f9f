package elfcore

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// NotCore says what an ELF file is that is not a dump this package reads, and what to
// do with it.
type NotCore struct {
	What string // "a kernel module"
	Do   string // "give the dump; …"
}

// Error reads like "a kernel module: give the dump".
func (e *NotCore) Error() string { return e.What + ": " + e.Do }

// Unwrap is phys.ErrUnsupported.
func (e *NotCore) Unwrap() error { return phys.ErrUnsupported }

// sectionKinds tells files by the name of a section; the first match counts. type 0
// stands for every e_type.
var sectionKinds = []struct {
	elfType uint16
	section string
	is      NotCore
}{
	// xen/tools/libs/ctrl xc_core: the memory is in .xen_pages, PT_LOADs there are none.
	{typeCore, ".xen_pages", NotCore{"a Xen domain core (xl dump-core)", "open it with crash, or take the dump with kdump inside the domain"}},
	{typeCore, ".note.Xen", NotCore{"a Xen domain core (xl dump-core)", "open it with crash, or take the dump with kdump inside the domain"}},
	// s390-tools zdump/dfi_pv_elf: pages are encrypted with the customer's key.
	{typeCore, "pv_mem_meta", NotCore{"an encrypted dump of a protected s390 guest", "decrypt it with zgetdump --key KEYFILE FILE > vmcore"}},
	{typeRel, ".modinfo", NotCore{"a kernel module", "give the dump; modules are found by their name and build id"}},
	{typeRel, ".gnu.linkonce.this_module", NotCore{"a kernel module", "give the dump; modules are found by their name and build id"}},
	{0, "__ksymtab", vmlinux},
	{0, "__ex_table", vmlinux},
}

var vmlinux = NotCore{"a vmlinux (the kernel's program file), not a dump", "give the dump; bt -l, line and others take this with -k"}

// refuseType names an ELF file whose type or sections say that it is no dump.
func refuseType(r io.ReaderAt, size int64, h *Header) error {
	names := h.sectionNames(r, size)
	for _, k := range sectionKinds {
		if (k.elfType == 0 && h.Type != typeCore || k.elfType == h.Type) && slices.Contains(names, k.section) {
			return &k.is
		}
	}
	switch h.Type {
	case typeCore:
		return refuseMinidump(names, h)
	case typeRel:
		return &NotCore{"an object file", "give the dump"}
	case typeExec, typeDyn:
		if h.kernelHalf(r, size) {
			is := vmlinux
			return &is
		}
		return &NotCore{"a program or shared library", "give the dump"}
	}
	return fmt.Errorf("elf: e_type is %d, a core has 4: %w", h.Type, phys.ErrCorrupt)
}

// kernelHalf tells whether the first PT_LOAD of a program lies in the upper half of the
// address space, as those of a vmlinux do whose sections were stripped.
func (h *Header) kernelHalf(r io.ReaderAt, size int64) bool {
	stride := int64(h.phentsize)
	if stride < int64(h.phdrSize()) || h.phoff > uint64(size) {
		return false
	}
	upper := false
	count := min(int64(h.phnum), 16, (size-int64(h.phoff))/stride)
	err := h.eachPhdr(r, size, int(count), func(p phdr, _ int) {
		upper = upper || p.typ == ptLoad && p.vaddr>>(h.Class-1) == 1
	})
	return upper && err == nil
}

// refuseMinidump names Qualcomm's minidump, a core whose regions are sections.
func refuseMinidump(names []string, h *Header) error {
	regions := 0
	for _, n := range names {
		if strings.HasPrefix(n, "md_") {
			regions++
		}
	}
	if h.phnum > 0 || regions == 0 && !slices.Contains(names, "KELF_HDR") {
		return nil
	}
	return &NotCore{
		fmt.Sprintf("a Qualcomm minidump, %d regions", regions),
		"take a full ramdump, its DDR*.BIN files open with --regions",
	}
}

// noteKinds are what the notes of a core say of its origin.
type noteKinds struct {
	kernel  bool // VMCOREINFO, or a hypervisor's note
	psinfo  bool // NT_PRPSINFO: a process; netdump and kcore write it too
	process bool // NT_AUXV, NT_FILE, NT_SIGINFO: only a process has these
	kcore   bool // NT_TASKSTRUCT
}

func (f *File) noteKinds() (k noteKinds) {
	for _, area := range f.Notes {
		for n, err := range elfnote.All(area, f.Header.Order) {
			if err == nil {
				k.see(n)
			}
		}
	}
	return k
}

func (k *noteKinds) see(n elfnote.Note) {
	switch n.Name {
	case "VMCOREINFO", "VMCOREINFO_XEN", "QEMU", "VBCORE", "Xen":
		k.kernel = true
	case "CORE":
		switch n.Type {
		case elfnote.TypePRPSInfo:
			k.psinfo = true
		case elfnote.TypeTaskInfo:
			k.kcore = true
		case elfnote.TypeAuxv, elfnote.TypeFile, elfnote.TypeSigInfo:
			k.process = true
		}
	}
}

// refuseCore names a core that has no memory of a machine to give.
func (f *File) refuseCore() error {
	k := f.noteKinds()
	switch {
	case k.psinfo && k.process && !k.kernel && !f.anyPaddr:
		return &NotCore{
			"the core of a user process, not of the kernel",
			"open it with gdb; if the process is a QEMU, take its guest with virsh dump --memory-only",
		}
	case k.kcore && f.loads > 0 && !f.anyData():
		return &NotCore{
			"a copy of /proc/kcore without its memory",
			"cp cannot copy it; open /proc/kcore itself with crash or drgn, or crash the machine with kdump",
		}
	case f.loads > 1 && !f.anyPaddr, f.loads == 0 && f.virtualOnly > 0:
		return &NotCore{
			"an ELF core that tells no physical addresses (/proc/kcore before Linux 4.11, or a process)",
			"open it with gdb or crash",
		}
	case f.loads == 0 && len(f.Notes) == 0 && !f.Incomplete:
		return &NotCore{"an ELF core without memory and notes", "take the dump again"}
	}
	return nil
}

// anyData tells whether any memory lies within the file.
func (f *File) anyData() bool {
	return slices.ContainsFunc(f.extents, func(e extent) bool { return e.state == 0 })
}
