package arch

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// The registers are elf_gregset_t of arch/powerpc/include/uapi/asm/elf.h: 48 longs, of
// which struct pt_regs fills 44. gpr1 is the stack pointer; frames are linked by back
// chains, so there is no frame pointer.
func ppc64() machine {
	return machine{
		info: Info{
			Name: "ppc64", Machine: elf.EM_PPC64,
			PtrSize: 8, Order: binary.BigEndian, PageSizes: []int{65536, 4096},
		},
		regs:  regLayout{long: 8, runs: []regRun{{8, numbered("gpr", 32) + ppcSpecial}}, roles: ppcRoles()},
		space: spacePPC64,
	}
}

func ppc64le() machine {
	m := ppc64()
	m.info.Name, m.info.Order = "ppc64le", binary.LittleEndian
	return m
}

func ppc() machine {
	return machine{
		info: Info{
			Name: "ppc", Machine: elf.EM_PPC,
			PtrSize: 4, Order: binary.BigEndian, PageSizes: []int{4096, 16384, 65536},
		},
		regs: regLayout{long: 4, runs: []regRun{{4, numbered("gpr", 32) + ppcSpecial}}, roles: ppcRoles()},
	}
}

const ppcSpecial = "nip msr orig_gpr3 ctr link xer ccr softe trap dar dsisr result _ _ _ _"

func ppcRoles() roles { return roles{pc: "nip", sp: "gpr1"} }

// The radix page tables of POWER9 and later (arch/powerpc/include/asm/book3s/64/radix.h).
// Entries are big-endian whatever the kernel is.
//
//	51   39 38 30 29 21 20 16 15     0
//	|  PGD |  PUD|  PMD| PTE| offset |   64 KiB pages
//	|  PGD |  PUD|  PMD|  PTE |offset|   4 KiB pages: PTE 20..12
//
//	63    62   55                        8 7      0
//	|valid|leaf|  address of the next table |  size  |
//
// Older processors and kernels use a hash table; its place is not in the dump's notes,
// and such a kernel is translated by the linear map alone.
const (
	ppcLinear    = 0xc000000000000000 // also the image: pa = va - ppcLinear
	ppcLinearEnd = 0xc008000000000000 // vmalloc and what follows
	ppcImageMax  = 256 << 20
	ppcValid     = 1 << 63
	ppcLeaf      = 1 << 62 // since 4.6
	ppcNextMask  = 0x00ffffffffffff00
	ppcPageMask  = 0x00fffffffffff000
)

// ppcFormat is the entries of a radix tree.
type ppcFormat struct{ tree []level }

func newPPCFormat(pageSize int) ppcFormat {
	pte := level{"PTE", 16, 5}
	if pageSize == 4096 {
		pte = level{"PTE", 12, 9}
	}
	return ppcFormat{[]level{{"PGD", 39, 13}, {"PUD", 30, 9}, {"PMD", 21, 9}, pte}}
}

// levels is empty for an address of the other quadrant: the kernel's begins with 0xc00,
// a process' with 0x000.
func (f ppcFormat) levels(t tables, va uint64) ([]level, error) {
	quadrant := uint64(ppcLinear)
	if t.user {
		quadrant = 0
	}
	if va>>52 != quadrant>>52 {
		return nil, nil
	}
	return f.tree, nil
}

func (f ppcFormat) decode(l level, raw, _ uint64) entry {
	switch {
	case raw&ppcValid == 0:
		return entry{}
	case raw&ppcLeaf != 0, l.name == "PTE":
		return leafEntry(l, raw&ppcPageMask)
	}
	return entry{kind: inner, addr: phys.Addr(raw & ppcNextMask)}
}

// flags spells the bits of arch/powerpc/include/asm/book3s/64/pgtable.h.
func (f ppcFormat) flags(_ level, raw uint64) []string {
	return spell([]flag{
		{63, "PRESENT"},
		{62, "PTE"},
		{0, "EXEC"},
		{1, "WRITE"},
		{2, "READ"},
		{3, "PRIVILEGED"},
		{7, "DIRTY"},
		{8, "ACCESSED"},
	}, raw)
}

func spacePPC64(h Hints, mem phys.Reader) (Space, error) {
	end := uint64(ppcLinearEnd)
	if top := h.maxPhys(); top != 0 {
		end = min(end, saturate(ppcLinear, top))
	}
	anchor, ok := h.symbol("_stext", "swapper_pg_dir")
	if !ok || anchor < ppcLinear || anchor >= ppcLinearEnd {
		anchor = ppcLinear
	}
	start := min(anchor&^0xffff, end) // a damaged _stext may lie behind memory
	s := &space{
		direct: window{ppcLinear, end, ppcLinear},
		image:  window{start, min(start+ppcImageMax, end), ppcLinear},
		tables: tables{mem: mem, order: binary.BigEndian, format: newPPCFormat(h.PageSize)},
	}
	s.noTables = ppcRadix(h, &s.tables, anchor)
	s.fact("linear map base", "%#x", uint64(ppcLinear))
	s.fact("page table root", "%#x", uint64(s.tables.root))
	s.fact("radix page tables", "%t", s.noTables == nil)
	return s, nil
}

// ppcRadix finds the root and tells why there are no radix tables: RADIX_MMU is in
// VMCOREINFO since 6.9, and before that only radix tables map the linear map.
func ppcRadix(h Hints, t *tables, anchor uint64) error {
	pgd, ok := h.symbol("swapper_pg_dir")
	if !ok || pgd < ppcLinear {
		return fmt.Errorf("swapper_pg_dir is not known: %w", phys.ErrUnsupported)
	}
	t.root = phys.Addr(pgd - ppcLinear)
	radix, known := h.number("RADIX_MMU")
	if !known {
		_, err := t.translate(anchor)
		radix = 1
		if errors.Is(err, phys.ErrUnmapped) || errors.Is(err, phys.ErrCorrupt) {
			radix = 0
		}
	}
	if radix == 0 {
		t.format = nil // a process has none either
		return fmt.Errorf("hash page tables: %w", phys.ErrUnsupported)
	}
	return nil
}
