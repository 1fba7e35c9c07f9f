package arch

import (
	"debug/elf"
	"encoding/binary"

	"github.com/kautopsy/kautopsy/phys"
)

// x86_64 has the registers of struct user_regs_struct (arch/x86/include/asm/user_64.h).
func x86_64() machine {
	return machine{
		info: Info{
			Name: "x86_64", Aliases: []string{"amd64"}, Machine: elf.EM_X86_64,
			PtrSize: 8, Order: binary.LittleEndian, PageSizes: []int{4096},
		},
		regs: regLayout{
			long: 8,
			runs: []regRun{
				{8, "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi"},
				{8, "orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs"},
			},
			roles: roles{pc: "rip", sp: "rsp", fp: "rbp"},
		},
		space: spaceX86,
	}
}

// The page tables of x86_64 (Intel SDM volume 3, 4.5; bits as arch/x86/include/asm/
// pgtable_types.h names them). Five levels since 4.14, when the machine has LA57.
//
//	56    48 47    39 38    30 29    21 20    12 11     0
//	|  PGD  |  P4D   |  PUD   |  PMD   |  PTE   | offset |   5 levels
//	        |  PGD   |  PUD   |  PMD   |  PTE   | offset |   4 levels
//
//	63 62  52 51                    12 11 9  8  7  6  5  4   3   2   1  0
//	|NX|     |  physical address      |    |G |PS|D |A |PCD|PWT|U/S|RW|P|
//
// PS makes an entry of the PUD map 1 GiB and one of the PMD 2 MiB. With SME and SEV one
// address bit marks encrypted pages and is no part of the address.
const (
	x86Present  = 1 << 0
	x86PSE      = 1 << 7
	x86AddrMask = 0x000ffffffffff000
)

// x86Format is the entries of a tree of 4 or 5 levels.
type x86Format struct {
	tree []level
	sme  uint64 // sme_me_mask: address bits that mark encryption
	high uint64 // the bits that are all equal in a canonical address
}

func newX86Format(depth uint, sme uint64) x86Format {
	vaBits := 12 + 9*depth
	return x86Format{evenLevels(vaBits, 12, 9), sme, ^uint64(0) << (vaBits - 1)}
}

// levels is empty for addresses that are not canonical: poisoned pointers are such.
func (f x86Format) levels(_ tables, va uint64) ([]level, error) {
	if sign := va & f.high; sign != 0 && sign != f.high {
		return nil, nil
	}
	return f.tree, nil
}

// decode reads an entry. An entry of a process that is not present may hold a swap
// entry or a page under NUMA balancing: neither is a mapping.
func (f x86Format) decode(l level, raw, _ uint64) entry {
	addr := raw & x86AddrMask &^ f.sme
	switch {
	case raw&x86Present == 0:
		return entry{}
	case l.shift == 12, raw&x86PSE != 0 && l.shift <= 30:
		return leafEntry(l, addr)
	}
	return entry{kind: inner, addr: phys.Addr(addr)}
}

// flags spells the bits in the order of crash's vtop. Bit 7 is PSE above the lowest
// level, and the highest bit of the memory type (PAT) on it.
func (f x86Format) flags(l level, raw uint64) []string {
	names := []flag{
		{0, "PRESENT"},
		{1, "RW"},
		{2, "USER"},
		{3, "PWT"},
		{4, "PCD"},
		{5, "ACCESSED"},
		{6, "DIRTY"},
		{7, "PSE"},
		{8, "GLOBAL"},
		{63, "NX"},
	}
	if l.shift == 12 {
		names[7].name = "PAT"
	}
	out := spell(names, raw)
	if f.sme != 0 && raw&f.sme != 0 {
		out = append(out, "ENC")
	}
	return out
}
