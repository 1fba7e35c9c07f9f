package arch

import (
	"debug/elf"
	"encoding/binary"
	"math/bits"

	"github.com/kautopsy/kautopsy/phys"
)

// arm64 has the registers of struct user_pt_regs (arch/arm64/include/uapi/asm/ptrace.h).
func arm64() machine {
	return machine{
		info: Info{
			Name: "aarch64", Aliases: []string{"arm64"}, Machine: elf.EM_AARCH64,
			PtrSize: 8, Order: binary.LittleEndian, PageSizes: []int{4096, 65536, 16384},
		},
		regs: regLayout{
			long:  8,
			runs:  []regRun{{8, numbered("x", 31) + "sp pc pstate"}},
			roles: roles{pc: "pc", sp: "sp", fp: "x29"},
		},
		space: spaceARM64,
	}
}

// The page tables of arm64 (Arm ARM D8.3; arch/arm64/include/asm/pgtable-hwdef.h). The
// granule, 4, 16 or 64 KiB, is the page size and the size of a table; a level has
// log2(granule)-3 index bits, the root what is left.
//
//	granule  VA bits  index bits of the levels
//	4 KiB    52       4  9  9  9  9   LPA2
//	         48       9  9  9  9
//	         39       9  9  9
//	16 KiB   52       5 11 11 11      LPA2
//	         48       1 11 11 11
//	         47      11 11 11
//	64 KiB   52      10 13 13         LVA and LPA
//	         48       6 13 13
//	         42      13 13
//
//	63    56 55    54  53  51  50 49    48 47          12 11 10 9 8 7  6  5..2 1 0
//	|      |DIRTY|UXN|PXN|DBM|  |LPA2 PA | address ……… |nG|AF|SH |RO|EL0|    |kind|
//
// kind: 11 is a table, or at the lowest level a page; 01 is a block above it. Address
// bits from 48 on lie elsewhere: with 64 KiB pages 51:48 in bits 15:12; with LPA2
// 49:48 in place and 51:50 in bits 9:8, which say shareability otherwise.
const (
	arm64Valid    = 1 << 0
	arm64Table    = 1 << 1 // with arm64Valid
	arm64MaxBlock = 42     // the largest block has 4 TiB
)

// arm64Format is the entries of a tree with one granule and one address width.
type arm64Format struct {
	pageShift uint
	vaBits    uint
	lpa2      bool
	tree      []level
}

func newARM64Format(pageSize int, vaBits uint) arm64Format {
	shift := uint(bits.TrailingZeros(uint(pageSize)))
	return arm64Format{
		pageShift: shift,
		vaBits:    vaBits,
		lpa2:      vaBits > 48 && shift < 16,
		tree:      evenLevels(vaBits, shift, shift-3),
	}
}

// levels is empty for an address of the other half: the kernel's has all bits from
// vaBits on set, a process' has none.
func (f arm64Format) levels(t tables, va uint64) ([]level, error) {
	high := va >> f.vaBits
	if t.user && high != 0 || !t.user && high != ^uint64(0)>>f.vaBits {
		return nil, nil
	}
	return f.tree, nil
}

func (f arm64Format) decode(l level, raw, _ uint64) entry {
	addr := f.addr(raw)
	lowest := l.shift == f.pageShift
	switch {
	case raw&arm64Valid == 0, lowest && raw&arm64Table == 0, !lowest && raw&arm64Table == 0 && l.shift > arm64MaxBlock:
		return entry{}
	case lowest, raw&arm64Table == 0:
		return leafEntry(l, addr)
	}
	return entry{kind: inner, addr: phys.Addr(addr)}
}

// addr is the address in an entry.
func (f arm64Format) addr(raw uint64) uint64 {
	low := ^(uint64(1)<<f.pageShift - 1)
	switch {
	case f.lpa2:
		return raw&(1<<50-1)&low | raw>>8&3<<50
	case f.pageShift == 16:
		return raw&(1<<48-1)&low | raw>>12&0xf<<48
	}
	return raw & (1<<48 - 1) & low
}

// flags spells the bits in the order of crash's vtop.
func (f arm64Format) flags(_ level, raw uint64) []string {
	out := spell([]flag{{0, "VALID"}, {6, "USER"}, {7, "RDONLY"}}, raw)
	if raw>>8&3 == 3 && !f.lpa2 {
		out = append(out, "SHARED")
	}
	return append(out, spell([]flag{
		{10, "AF"},
		{11, "NG"},
		{53, "PXN"},
		{54, "UXN"},
		{55, "DIRTY"},
		{56, "SPECIAL"},
	}, raw)...)
}
