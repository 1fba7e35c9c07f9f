package arch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// riscv64 and riscv32 have the registers of struct user_regs_struct
// (arch/riscv/include/uapi/asm/ptrace.h), pc in place of x0.
func riscv64() machine {
	return machine{
		info: Info{
			Name: "riscv64", Machine: elf.EM_RISCV,
			PtrSize: 8, Order: binary.LittleEndian, PageSizes: []int{4096},
		},
		regs:  regLayout{long: 8, runs: []regRun{{8, riscvRegs}}, roles: riscvRoles()},
		space: spaceRISCV64,
	}
}

func riscv32() machine {
	return machine{
		info: Info{
			Name: "riscv32", Machine: elf.EM_RISCV,
			PtrSize: 4, Order: binary.LittleEndian, PageSizes: []int{4096},
		},
		regs: regLayout{long: 4, runs: []regRun{{4, riscvRegs}}, roles: riscvRoles()},
	}
}

const riscvRegs = "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 " +
	"s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"

func riscvRoles() roles { return roles{pc: "pc", sp: "sp", fp: "s0"} }

// The page tables of Sv39, Sv48 and Sv57 (RISC-V privileged specification, 10.4 to
// 10.6): 3, 4 or 5 levels of 9 bits.
//
//	63  62  61 60     54 53              10 9 8 7 6 5 4 3 2 1 0
//	|N | PBMT |         | page frame number |   |D|A|G|U|X|W|R|V|
//
// An entry with any of R, W, X is a leaf. N at the lowest level (Svnapot) makes sixteen
// pages one of 64 KiB; the low bits of the frame number are then 1000.
const (
	riscvValid     = 1 << 0
	riscvLeaf      = 7 << 1
	riscvNapot     = 1 << 63
	riscvNapotSize = 64 << 10
)

// riscvFormat is the entries of a tree of the given levels.
type riscvFormat struct {
	tree []level
	high uint64 // the bits that are all equal in an address that exists
}

func newRISCVFormat(vaBits uint) riscvFormat {
	return riscvFormat{evenLevels(vaBits, 12, 9), ^uint64(0) << (vaBits - 1)}
}

func (f riscvFormat) levels(_ tables, va uint64) ([]level, error) {
	if sign := va & f.high; sign != 0 && sign != f.high {
		return nil, nil
	}
	return f.tree, nil
}

func (f riscvFormat) decode(l level, raw, _ uint64) entry {
	pfn := raw >> 10 & (1<<44 - 1)
	switch {
	case raw&riscvValid == 0:
		return entry{}
	case raw&riscvLeaf == 0:
		return entry{kind: inner, addr: phys.Addr(pfn << 12)}
	case l.shift == 12 && raw&riscvNapot != 0 && pfn&0xf == 8:
		return entry{leaf, phys.Addr((pfn &^ 0xf) << 12), riscvNapotSize}
	}
	return leafEntry(l, pfn<<12)
}

// flags spells the bits in the order of crash's vtop.
func (f riscvFormat) flags(_ level, raw uint64) []string {
	return spell([]flag{
		{0, "PRESENT"},
		{1, "READ"},
		{2, "WRITE"},
		{3, "EXEC"},
		{4, "USER"},
		{5, "GLOBAL"},
		{6, "ACCESSED"},
		{7, "DIRTY"},
	}, raw)
}

// The kernel's address space on riscv64 (Documentation/arch/riscv/vm-layout.rst). All
// of it is in VMCOREINFO since 6.0, va_kernel_pa_offset since 6.4, satp since 7.x.
//
//	PAGE_OFFSET         linear map: pa = va - PAGE_OFFSET + phys_ram_base
//	0xffffffff00000000  modules, BPF
//	KERNEL_LINK_ADDR    image: pa = va - va_kernel_pa_offset; the last 2 GiB
const (
	riscvLinearEnd = 0xffffffff00000000
	riscvImageMax  = 256 << 20
	riscvImageGap  = 32 << 20
)

func spaceRISCV64(h Hints, mem phys.Reader) (Space, error) {
	vaBits, err := riscvVABits(h)
	if err != nil {
		return nil, err
	}
	anchor, _ := h.symbol("_stext", "swapper_pg_dir")
	offset, ok := riscvImageOffset(h)
	if !ok || anchor == 0 {
		return nil, fmt.Errorf("va_kernel_pa_offset is not known: %w", phys.ErrUnsupported)
	}
	s := &space{tables: tables{mem: mem, order: binary.LittleEndian, format: newRISCVFormat(vaBits)}}
	start := anchor &^ (1<<21 - 1)
	s.image = window{start, saturate(start, riscvImageMax), offset}
	if s.tables.root, ok = riscvRoot(h, offset); !ok {
		s.noTables = fmt.Errorf("swapper_pg_dir is not known: %w", phys.ErrUnsupported)
	}
	agreed := s.noTables == nil && s.tables.aliased(phys.Addr(anchor-offset), offset)
	s.fact("virtual address bits", "%d", vaBits)
	s.fact("page table root", "%#x", uint64(s.tables.root))
	s.fact("va_kernel_pa_offset", "%#x", offset)
	s.fact("page tables agree with va_kernel_pa_offset", "%t", agreed)
	if agreed {
		s.image, _ = s.tables.extent(s.image, anchor, riscvImageGap)
	}
	s.direct = riscvLinear(h, s.tables, agreed)
	if s.direct.known() {
		s.fact("linear map", "from %#x, pa = va - %#x", s.direct.start, s.direct.delta)
	}
	return s, nil
}

// riscvRoot is swapper_pg_dir, or the table that satp named when VMCOREINFO was written.
func riscvRoot(h Hints, offset uint64) (phys.Addr, bool) {
	if pgd, ok := h.symbol("swapper_pg_dir"); ok {
		return phys.Addr(pgd - offset), true
	}
	satp, ok := h.number("satp")
	return phys.Addr(satp & (1<<44 - 1) << 12), ok
}

// riscvVABits is VA_BITS, or what the mode of satp says: 8 is Sv39, 9 Sv48, 10 Sv57.
func riscvVABits(h Hints) (uint, error) {
	bits, ok := h.number("VA_BITS")
	if satp, have := h.number("satp"); !ok && have {
		bits = 9*(satp>>60) - 33
	}
	if bits != 39 && bits != 48 && bits != 57 {
		return 0, fmt.Errorf("%d virtual address bits: %w", bits, phys.ErrUnsupported)
	}
	return uint(bits), nil
}

// riscvImageOffset is va_kernel_pa_offset; before 6.4 the image lay at the start of
// memory and was not moved.
func riscvImageOffset(h Hints) (uint64, bool) {
	if offset, ok := h.number("va_kernel_pa_offset"); ok {
		return offset, true
	}
	link, ok := h.number("KERNEL_LINK_ADDR")
	base, ok2 := h.number("phys_ram_base")
	return link - base, ok && ok2
}

// riscvLinear begins at PAGE_OFFSET with phys_ram_base, unless the tables say otherwise,
// and ends with the machine's memory, else where the modules begin.
func riscvLinear(h Hints, t tables, agreed bool) window {
	start, haveStart := h.number("PAGE_OFFSET")
	base, haveBase := h.number("phys_ram_base")
	delta, known := start-base, haveStart && haveBase
	if agreed && haveStart && !t.aliased(t.root, delta) {
		delta, known = t.linear(start, riscvLinearEnd)
	}
	if !known {
		return window{}
	}
	end := uint64(riscvLinearEnd)
	if top := h.maxPhys(); top != 0 {
		end = min(end, max(top+delta, start))
	}
	return window{start, end, delta}
}
