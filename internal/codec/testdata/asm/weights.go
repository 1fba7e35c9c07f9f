package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// weights is (*huffmanTree).inBulkGo, without counting.
func weights() {
	TEXT("decodeWeights", NOSPLIT, "func(in, states, weights *byte, s uint, least int, one, two, n, limit uint) (s2, one2, two2, n2 uint)")
	Doc("decodeWeights takes down weights as long as s is not below least and n not above limit, eight a turn, see inBulkGo.")
	in, states, to, b := GP64(), GP64(), GP64(), GP64()
	one, two, n := GP64(), GP64(), GP64()
	s, v, bits, taken := GP64(), GP64(), GP64(), GP64()
	Load(Param("in"), in)
	Load(Param("states"), states)
	Load(Param("weights"), to)
	Load(Param("s"), b)
	Load(Param("one"), one)
	Load(Param("two"), two)
	Load(Param("n"), n)

	Label("weights")
	CMPQ(b, param("least"))
	JLT(LabelRef("weighed"))
	CMPQ(n, param("limit"))
	JA(LabelRef("weighed"))
	MOVQ(b, s)
	SARQ(U8(3), s)
	MOVQ(Mem{Base: in, Index: s, Scale: 1}, v)
	MOVQ(b, s)
	ORQ(I8(-8), s)
	INCQ(s)
	SUBQ(s, b)
	for k := range 8 {
		state := one
		if k&1 == 1 {
			state = two
		}
		entry := func(field int) Mem { return Mem{Base: states, Index: state, Scale: 8, Disp: field} }
		MOVBLZX(entry(entryValue), bits.As32())
		MOVB(bits.As8(), Mem{Base: to, Index: n, Scale: 1, Disp: k})
		MOVBLZX(entry(entryBits), taken.As32())
		MOVWLZX(entry(entryNext), state.As32())
		SUBQ(taken, s)
		SHRXQ(s, v, bits)
		BZHIQ(taken, bits, bits)
		ADDQ(bits, state)
	}
	ADDQ(s, b)
	ADDQ(U8(8), n)
	JMP(LabelRef("weights"))

	Label("weighed")
	for i, r := range []GPVirtual{b, one, two, n} {
		Store(r, ReturnIndex(i))
	}
	RET()
}

// counts counts weights of 0 to 12, sixteen at a time: of each, one vector of the times in each place.
func counts() {
	const kinds = 13
	each := GLOBL("weightKinds", RODATA|NOPTR)
	for i := range kinds {
		for k := range 16 {
			DATA(16*i+k, U8(i))
		}
	}
	TEXT("countWeights", NOSPLIT, "func(weights, counts *byte, n uint)")
	Doc("countWeights counts how often each of 0 to 12 is among n weights, behind which at least 15 of none stand.")
	at, end, constants := GP64(), GP64(), GP64()
	Load(Param("weights"), at)
	Load(Param("n"), end)
	ADDQ(at, end)
	LEAQ(each, constants)
	var sums [kinds]VecVirtual
	for i := range sums {
		sums[i] = XMM()
		PXOR(sums[i], sums[i])
	}
	these, same := XMM(), XMM()

	Label("sixteen")
	MOVOU(Mem{Base: at}, these)
	for i, sum := range sums {
		MOVOU(Mem{Base: constants, Disp: 16 * i}, same)
		PCMPEQB(these, same)
		PSUBB(same, sum)
	}
	ADDQ(U8(16), at)
	CMPQ(at, end)
	JB(LabelRef("sixteen"))

	Load(Param("counts"), at)
	PXOR(these, these)
	for i, sum := range sums {
		PSADBW(these, sum)
		PSHUFD(U8(2), sum, same)
		PADDL(same, sum)
		MOVQ(sum, end)
		MOVW(end.As16(), Mem{Base: at, Disp: 2 * i})
	}
	RET()
}
