package arch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// s390x has the registers of s390_regs (arch/s390/include/uapi/asm/ptrace.h). gpr15 is the
// stack pointer; its frames are linked by back chains, so there is no frame pointer.
func s390x() machine {
	return machine{
		info: Info{
			Name: "s390x", Machine: elf.EM_S390,
			PtrSize: 8, Order: binary.BigEndian, PageSizes: []int{4096},
		},
		regs: regLayout{
			long: 8,
			runs: []regRun{
				{8, "psw_mask psw_addr " + numbered("gpr", 16)},
				{4, numbered("acr", 16)},
				{8, "orig_gpr2"},
			},
			roles: roles{pc: "psw_addr", sp: "gpr15"},
		},
		space: spaceS390x,
	}
}

// The tables of dynamic address translation (z/Architecture Principles of Operation,
// chapter 3). A tree begins at any of the upper four levels; the table type in its first
// entry tells which, also when that entry is invalid.
//
//	63     53 52     42 41     31 30     20 19  12 11     0
//	|  R1x   |   R2x   |   R3x   |   Sx    |  Px  | offset |
//
//	63                  12 11 10 9 8 7 6 5 4 3 2 1 0
//	| table origin        |  |FC|P| |TF |I| |TT |TL |   region and segment tables
//	| page address        |  |I |P|NX|              |   page table
//
// TF and TL say which quarters of a table of 2048 entries there are. FC at R3 maps
// 2 GiB, at the segment table 1 MiB.
const (
	s390Invalid     = 0x020 // of region and segment table entries
	s390PageInvalid = 0x400
	s390Large       = 0x400 // FC
	s390SegmentMask = 0x7ff // a page table is aligned to 2 KiB
)

// s390Format is the entries; the depth is in the tree.
type s390Format struct{}

func (s390Format) levels(t tables, va uint64) ([]level, error) {
	all := [...]level{{"R1", 53, 11}, {"R2", 42, 11}, {"R3", 31, 11}, {"STE", 20, 11}, {"PTE", 12, 8}}
	first, err := t.word(t.root)
	if err != nil {
		return nil, err
	}
	tree := all[3-first>>2&3:]
	if va>>tree[0].shift>>tree[0].bits != 0 {
		return nil, nil
	}
	return tree, nil
}

func (s390Format) decode(l level, raw, va uint64) entry {
	if l.name == "PTE" {
		if raw&s390PageInvalid != 0 {
			return entry{}
		}
		return leafEntry(l, raw)
	}
	switch {
	case raw&s390Invalid != 0:
		return entry{}
	case raw&s390Large != 0 && l.shift <= 31:
		return leafEntry(l, raw)
	case l.name == "STE":
		return entry{kind: inner, addr: phys.Addr(raw &^ s390SegmentMask)}
	}
	quarter, first, last := va>>(l.shift-2)&3, raw>>6&3, raw&3
	if quarter < first || quarter > last {
		return entry{}
	}
	return entry{kind: inner, addr: phys.Addr(raw &^ 0xfff)}
}

func (s390Format) flags(l level, raw uint64) []string {
	names := []flag{{9, "PROTECT"}}
	if l.name == "PTE" {
		names = append(names, flag{8, "NOEXEC"})
	}
	return spell(names, raw)
}

// The kernel's address space on s390x. Until 6.9 virtual and physical addresses of the
// image and of all memory are the same. Since 6.10 (c98d2ecae08f) they differ:
//
//	image         pa = va - KERNELOFFSET + KERNELOFFPHYS
//	identity map  pa = va - IDENTITYBASE
const (
	s390ImageMax = 256 << 20
	s390ImageGap = 32 << 20
	// s390IdentityMax is taken when the size of memory is not known; vmalloc was
	// never below it.
	s390IdentityMax = 1 << 40
)

func spaceS390x(h Hints, mem phys.Reader) (Space, error) {
	anchor, ok := h.symbol("_stext", "swapper_pg_dir")
	if !ok {
		return nil, fmt.Errorf("no address of the kernel image is known: %w", phys.ErrUnsupported)
	}
	identity, _ := h.hex("IDENTITYBASE")
	start, delta := anchor&^(1<<20-1), uint64(0)
	if loaded, ok := h.hex("KERNELOFFPHYS"); ok {
		offset, _ := h.hex("KERNELOFFSET")
		start, delta = offset, offset-loaded
	}
	top := h.maxPhys()
	if top == 0 {
		top = s390IdentityMax
	}
	s := &space{
		image:  window{start, saturate(start, s390ImageMax), delta},
		direct: window{identity, saturate(identity, top), identity},
		tables: tables{mem: mem, order: binary.BigEndian, format: s390Format{}},
	}
	pgd, ok := h.symbol("swapper_pg_dir")
	if !ok {
		s.noTables = fmt.Errorf("swapper_pg_dir is not known: %w", phys.ErrUnsupported)
	}
	s.tables.root = phys.Addr(pgd - delta)
	agreed := ok && s.tables.aliased(phys.Addr(anchor-delta), delta)
	s.fact("image", "pa = va - %#x", delta)
	s.fact("identity map base", "%#x", identity)
	s.fact("page table root", "%#x", uint64(s.tables.root))
	s.fact("page tables agree with the image", "%t", agreed)
	if agreed && delta != identity {
		s.image, _ = s.tables.extent(s.image, anchor, s390ImageGap)
	}
	return s, nil
}
