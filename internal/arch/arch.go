// Package arch holds what differs between processors: how the registers of a
// crashed CPU lie in its note, and how the kernel's virtual addresses become
// physical ones. One file describes one processor; a port adds a file and a row
// of the table below, and no other code asks which processor it works for.
//
//	x86_64.go       4- and 5-level tables, SME         registers: also i386.go
//	arm64.go        4K, 16K, 64K granules, LPA, LPA2   registers: also arm.go
//	riscv64.go      Sv39, Sv48, Sv57, Svnapot          registers: also riscv32
//	s390x.go        region, segment and page tables    lowcore.go: registers of stand-alone dumps
//	ppc64.go        radix tables                       registers: also ppc
//	loongarch64.go  direct-mapped windows only
//	mips.go         registers only
//	qemu.go         the CPU state note that QEMU adds for x86 guests
//
// The file names follow uname -m, not GOARCH, and none ends in an underscore and a
// GOARCH: Go would take that for a build constraint and leave the file out.
package arch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// Arch is one processor. Its values are stateless.
type Arch interface {
	// Info names the processor and its sizes.
	Info() Info

	// Regs decodes the descriptor of an NT_PRSTATUS note. A length that this
	// processor does not write is phys.ErrUnsupported: choose the processor
	// with ByPRStatus, not by the file's machine alone.
	Regs(prstatus []byte, order binary.ByteOrder) (Regs, error)

	// Space finds the kernel's address space. It returns phys.ErrUnsupported
	// for a processor of which only the registers are known, and when the
	// hints do not suffice to translate one address.
	Space(h Hints, mem phys.Reader) (Space, error)
}

// Info names a processor and tells its sizes.
type Info struct {
	Name      string           // as uname -m prints it
	Aliases   []string         // other values of uname -m with the same layouts
	Machine   elf.Machine      // e_machine of its ELF files
	PtrSize   int              // bytes of a pointer and of a long
	Order     binary.ByteOrder // nil for a processor that runs in both
	PageSizes []int            // the kernel's page sizes that exist, the usual one first
}

// Segment is a program header of an ELF dump that has a virtual address.
type Segment struct {
	Virt uint64    // p_vaddr: of the kernel's view in /proc/vmcore, advisory from others
	Span phys.Span // p_paddr and length
}

// Hints is what translation starts from: VMCOREINFO and what the container knows.
// Every field may be left zero; what follows from a missing one is tried another way.
type Hints struct {
	Order    binary.ByteOrder                    // of the kernel, nil for the processor's own
	PageSize int                                 // the kernel's, 0 unknown
	Number   func(key string) (v int64, ok bool) // NUMBER(key) of VMCOREINFO
	Symbol   func(key string) (v uint64, ok bool)
	// Hex gives the keys that stand bare and in base 16: KERNELOFFSET, and on
	// s390x IDENTITYBASE and KERNELOFFPHYS.
	Hex      func(key string) (v uint64, ok bool)
	PhysBase *int64    // phys_base of kdump_sub_header: a hint only
	Segments []Segment // of ELF program headers with a virtual address
	MaxPhys  phys.Addr // one past the highest memory of the machine, 0 unknown
	CR3      uint64    // x86: from a CPU state note of QEMU, 0 none
}

func (h Hints) number(key string) (uint64, bool) {
	if h.Number == nil {
		return 0, false
	}
	v, ok := h.Number(key)
	return uint64(v), ok
}

func (h Hints) hex(key string) (uint64, bool) {
	if h.Hex == nil {
		return 0, false
	}
	return h.Hex(key)
}

// symbol gives the first of keys that VMCOREINFO has.
func (h Hints) symbol(keys ...string) (uint64, bool) {
	if h.Symbol == nil {
		return 0, false
	}
	for _, key := range keys {
		if v, ok := h.Symbol(key); ok && v != 0 {
			return v, true
		}
	}
	return 0, false
}

// order is the kernel's byte order; def is the processor's own.
func (h Hints) order(def binary.ByteOrder) binary.ByteOrder {
	if h.Order != nil {
		return h.Order
	}
	return def
}

// maxPhys is one past the highest physical address that any hint tells, 0 unknown.
func (h Hints) maxPhys() uint64 {
	end := h.MaxPhys
	for _, s := range h.Segments {
		end = max(end, s.Span.End)
	}
	return uint64(end)
}

// machine is the Arch of one processor: a row of the table.
type machine struct {
	info  Info
	regs  regLayout
	space func(h Hints, mem phys.Reader) (Space, error) // nil: registers only
}

// Info names the processor and its sizes.
func (m machine) Info() Info { return m.info }

// Regs decodes the descriptor of an NT_PRSTATUS note.
func (m machine) Regs(prstatus []byte, order binary.ByteOrder) (Regs, error) {
	r, err := m.regs.decode(prstatus, order)
	if err != nil {
		return Regs{}, fmt.Errorf("%s: %w", m.info.Name, err)
	}
	return r, nil
}

// Space finds the kernel's address space.
func (m machine) Space(h Hints, mem phys.Reader) (Space, error) {
	if m.space == nil {
		return nil, fmt.Errorf("%s: address translation: %w", m.info.Name, phys.ErrUnsupported)
	}
	s, err := m.space(h, mem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.info.Name, err)
	}
	return s, nil
}

// table has every processor, the common ones first: where a note fits several, the
// first of them is taken.
func table() []machine {
	return []machine{
		x86_64(), i386(),
		arm64(), arm(),
		s390x(),
		ppc64le(), ppc64(), ppc(),
		riscv64(), riscv32(),
		loongarch64(),
		mips64(), mips(),
	}
}

// find gives the first processor that ok accepts.
func find(ok func(machine) bool) (Arch, bool) {
	all := table()
	i := slices.IndexFunc(all, ok)
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// ByName finds a processor by what uname -m prints on it, in either case. An unknown
// name is phys.ErrUnsupported.
func ByName(uname string) (Arch, error) {
	a, ok := find(func(m machine) bool {
		same := func(s string) bool { return strings.EqualFold(s, uname) }
		return same(m.info.Name) || slices.ContainsFunc(m.info.Aliases, same)
	})
	if !ok {
		return nil, fmt.Errorf("processor %q: %w", uname, phys.ErrUnsupported)
	}
	return a, nil
}

// ByMachine finds a processor by an ELF header. The class decides only between
// processors that share a machine: QEMU writes 64-bit files of i386 guests. An unknown
// machine is phys.ErrUnsupported.
func ByMachine(m elf.Machine, class elf.Class, order binary.ByteOrder) (Arch, error) {
	ptrSize := 8
	if class == elf.ELFCLASS32 {
		ptrSize = 4
	}
	fits := func(a machine) bool {
		return a.info.Machine == m && (a.info.Order == nil || order == nil || a.info.Order == order)
	}
	a, ok := find(func(a machine) bool { return fits(a) && a.info.PtrSize == ptrSize })
	if !ok {
		a, ok = find(fits)
	}
	if !ok {
		return nil, fmt.Errorf("processor %v, %v: %w", m, class, phys.ErrUnsupported)
	}
	return a, nil
}

// ByPRStatus finds the processor whose NT_PRSTATUS note has descLen bytes. hint is what
// the file says it is, nil when it says nothing: it is followed when its length fits. It
// does not in a dump that QEMU took of an x86_64 guest in 32-bit mode (144 bytes in a
// file for x86_64); then a processor of ptrSize wins, then any that fits. When no or
// several layouts fit equally the answer is phys.ErrUnsupported.
func ByPRStatus(descLen, ptrSize int, hint Arch) (Arch, error) {
	if m, ok := hint.(machine); ok && m.regs.descLen() == descLen {
		return m, nil
	}
	for _, strict := range []bool{true, false} {
		var fit []machine
		for _, m := range table() {
			if m.regs.descLen() == descLen && (!strict || m.info.PtrSize == ptrSize) {
				fit = append(fit, m)
			}
		}
		if len(fit) > 0 && !slices.ContainsFunc(fit, func(m machine) bool { return !m.regs.equal(fit[0].regs) }) {
			return fit[0], nil
		}
	}
	return nil, fmt.Errorf("NT_PRSTATUS of %d bytes: %w", descLen, phys.ErrUnsupported)
}
