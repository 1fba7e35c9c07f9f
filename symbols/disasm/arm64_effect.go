package disasm

import (
	"encoding/binary"
	"math/bits"
)

// arm64Effect tells which memory an instruction of A64 accesses, and through which register
// it calls; what it does to registers is not followed. The encodings are of the Arm
// Architecture Reference Manual, C4.1, "Loads and Stores".
func arm64Effect(in Inst) Effect {
	if len(in.Bytes) != 4 {
		return Effect{}
	}
	w := binary.LittleEndian.Uint32(in.Bytes)
	if w&0xffdffc1f == 0xd61f0000 { // br, blr
		return Effect{Act: Call, Src: Operand{Kind: Register, Size: 8, Reg: arm64Base(w >> 5 & 31)}}
	}
	for _, form := range arm64Accesses {
		if w&form.mask == form.bits {
			return form.access(w, in)
		}
	}
	return Effect{}
}

// arm64Accesses are the forms of loads and stores, the first that fits counts. In all of them
// the base is bits 9 to 5.
//
//	31 30 | 29-27 | 26  | 25 24 | 23 22 | 21 …                     | 9-5 | 4-0
//	size  | 111   | SIMD| 0 1   | opc   | imm12                    | Rn  | Rt   [Rn, #imm * size]
//	size  | 111   | SIMD| 0 0   | opc   | 0 imm9 00, 01, 10, 11    | Rn  | Rt   unscaled, post, unprivileged, pre
//	size  | 111   | SIMD| 0 0   | opc   | 1 Rm option S 10         | Rn  | Rt   [Rn, Rm, shifted]
//	size  | 111   | 0   | 0 0   | A R   | 1 Rs o3 opc 00           | Rn  | Rt   atomics (LSE)
//	opc   | 101   | SIMD| 0 and how, L  | imm7 Rt2                 | Rn  | Rt   pairs
//	size  | 001   | 0   | 0 0   | o2 L  | o1 Rs o0 Rt2             | Rn  | Rt   exclusives, acquire and release, cas
//	opc   | 011   | SIMD| 0 0   | imm19                                  | Rt   [the instruction + imm * 4]
var arm64Accesses = []struct {
	mask, bits uint32
	access     func(w uint32, in Inst) Effect
}{
	{0x3b000000, 0x39000000, arm64Unsigned},
	{0x3b200000, 0x38000000, arm64Unscaled},
	{0x3b200c00, 0x38200800, arm64Indexed},
	{0x3f200c00, 0x38200000, arm64Atomic},
	{0x3a000000, 0x28000000, arm64Pair},
	{0x3f000000, 0x08000000, arm64Exclusive},
	{0x3b000000, 0x18000000, arm64Literal},
}

// at is an access to memory of size bytes at a displacement from the base.
func (e Effect) at(w uint32, size int, disp int64) Effect {
	e.Accesses = []Operand{{Kind: Memory, Size: size, Base: arm64Base(w >> 5 & 31), Disp: disp}}
	return e
}

// arm64Size is how many bytes a register is loaded from or stored to, and whether it is stored:
// prefetches, which never fault, have none.
func arm64Size(w uint32) (size int, stores bool) {
	size, opc := 1<<(w>>30), w>>22&3
	if simd := w>>26&1 != 0; simd {
		if opc&2 != 0 { // q registers
			size = 16
		}
		return size, opc&1 == 0
	}
	if w>>30 == 3 && opc == 2 { // prfm, prfum
		return 0, false
	}
	return size, opc == 0
}

func arm64Unsigned(w uint32, _ Inst) Effect {
	size, stores := arm64Size(w)
	return Effect{Stores: stores}.at(w, size, int64(w>>10&0xfff)*int64(size)).unlessPrefetch()
}

func arm64Unscaled(w uint32, _ Inst) Effect {
	size, stores := arm64Size(w)
	disp := signExtended(w>>12, 9)
	if w>>10&3 == 1 { // post-indexed: the base moves behind the access
		disp = 0
	}
	return Effect{Stores: stores}.at(w, size, disp).unlessPrefetch()
}

// arm64Indexed: a 32-bit index, uxtw and sxtw, is no register as pt_regs has it.
func arm64Indexed(w uint32, _ Inst) Effect {
	size, stores := arm64Size(w)
	if option := w >> 13 & 7; option != 3 && option != 7 { // lsl, sxtx
		return Effect{}
	}
	e := Effect{Stores: stores}.at(w, size, 0)
	if m := w >> 16 & 31; m != 31 {
		e.Accesses[0].Index, e.Accesses[0].Scale = arm64Base(m), 1
		if w>>12&1 != 0 {
			e.Accesses[0].Scale = max(size, 1)
		}
	}
	return e.unlessPrefetch()
}

func arm64Atomic(w uint32, _ Inst) Effect {
	return Effect{Stores: true}.at(w, 1<<(w>>30), 0)
}

func arm64Pair(w uint32, _ Inst) Effect {
	size := 4 << (w >> 31)
	if w>>26&1 != 0 { // SIMD
		size = 4 << (w >> 30)
	}
	disp := signExtended(w>>15, 7) * int64(size)
	if w>>23&3 == 1 { // post-indexed
		disp = 0
	}
	return Effect{Stores: w>>22&1 == 0}.at(w, 2*size, disp)
}

// arm64Exclusive: of pairs (stxp, casp) it is the size of both.
func arm64Exclusive(w uint32, _ Inst) Effect {
	size, o2, load, o1 := 1<<(w>>30), w>>23&1, w>>22&1, w>>21&1
	cas := o1 == 1 && w>>10&31 == 31
	switch {
	case cas && o2 == 0: // casp
		size = 8 << (w >> 30 & 1)
	case o1 == 1 && o2 == 0: // stxp, ldxp
		size *= 2
	}
	return Effect{Stores: load == 0 || cas}.at(w, size, 0)
}

func arm64Literal(w uint32, in Inst) Effect {
	if w>>30 == 3 { // prfm
		return Effect{}
	}
	size := 4 << (w >> 30 & 1)
	if w>>26&1 != 0 {
		size = 4 << (w >> 30)
	}
	return Effect{Accesses: []Operand{{Kind: Memory, Size: size, Relative: true, Disp: int64(in.Target)}}}
}

// unlessPrefetch takes away the access of a prefetch, whose size is 0.
func (e Effect) unlessPrefetch() Effect {
	if e.Accesses[0].Size == 0 {
		return Effect{Act: Nothing}
	}
	return e
}

// signExtended is the lowest n bits as a number with a sign.
func signExtended(v uint32, n int) int64 {
	unused := bits.UintSize - n
	return int64(int(uint(v)<<unused) >> unused)
}
