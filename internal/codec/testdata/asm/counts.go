package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// countReader are the registers of the loop.
type countReader struct {
	in, counts, bit GPVirtual
	left, n, v      GPVirtual
}

// stateCounts is (*fse).sharesGo.
func stateCounts() {
	TEXT("readShares", NOSPLIT, "func(in, counts *byte, bit, left, symbols uint) (bit2, left2, n uint)")
	Doc("readShares reads the counts of symbols from bit on as long as some are left, see sharesGo.")
	r := countReader{GP64(), GP64(), GP64(), GP64(), GP64(), GP64()}
	Load(Param("in"), r.in)
	Load(Param("counts"), r.counts)
	Load(Param("bit"), r.bit)
	Load(Param("left"), r.left)
	XORL(r.n.As32(), r.n.As32())

	Label("look")
	Comment("57 bits, and a count takes at most 12")
	r.look()
	for range 4 {
		r.count()
	}
	JMP(LabelRef("look"))

	Label("run")
	CMPQ(r.n, param("symbols"))
	JAE(LabelRef("shared"))
	r.look()
	ANDL(U32(3), r.v.As32())
	ADDQ(U8(2), r.bit)
	ADDQ(r.v, r.n)
	CMPQ(r.v, U8(3))
	JEQ(LabelRef("run"))
	CMPQ(r.n, param("symbols"))
	JB(LabelRef("look"))

	Label("shared")
	Store(r.bit, ReturnIndex(0))
	Store(r.left, ReturnIndex(1))
	Store(r.n, ReturnIndex(2))
	RET()
}

// look loads the bits from r.bit on.
func (r *countReader) look() {
	MOVQ(r.bit, r.v)
	SHRQ(U8(3), r.v)
	MOVWLZX(r.v.As16(), r.v.As32())
	MOVQ(Mem{Base: r.in, Index: r.v, Scale: 1}, r.v)
	shift := GP64()
	MOVQ(r.bit, shift)
	ANDL(U32(7), shift.As32())
	SHRXQ(shift, r.v, r.v)
}

// count reads a count, and how many have none behind one that is zero.
func (r *countReader) count() {
	width, half, short, number, long := GP64(), GP64(), GP64(), GP64(), GP64()
	BSRQ(r.left, width)
	MOVL(U32(1), half.As32())
	SHLXQ(width, half, half)
	LEAQ(Mem{Base: half, Index: half, Scale: 1, Disp: -1}, short)
	SUBQ(r.left, short)
	BZHIQ(width, r.v, number)
	LEAQ(Mem{Base: number, Index: half, Scale: 1}, long)
	SUBQ(short, long)
	Comment("the bit above them counts for those that are not below short")
	BTQ(width, r.v)
	CMOVQCC(number, long)
	CMPQ(number, short)
	CMOVQCC(long, number)
	SBBQ(I8(-1), width)
	SHRXQ(width, r.v, r.v)
	ADDQ(width, r.bit)

	count, taken := half, short
	LEAQ(Mem{Base: number, Disp: -1}, count)
	MOVW(count.As16(), Mem{Base: r.counts, Index: r.n, Scale: 2})
	MOVQ(count, taken)
	NEGQ(taken)
	CMOVQMI(count, taken)
	SUBQ(taken, r.left)
	INCQ(r.n)
	Comment("behind a count of zero two bits say how many more have none")
	none, more := width, long
	XORL(none.As32(), none.As32())
	CMPQ(number, U8(1))
	SETEQ(none.As8())
	MOVQ(none, more)
	NEGQ(more)
	ANDL(r.v.As32(), more.As32())
	ANDL(U32(3), more.As32())
	ADDL(none.As32(), none.As32())
	SHRXQ(none, r.v, r.v)
	ADDQ(none, r.bit)
	ADDQ(more, r.n)
	CMPQ(more, U8(3))
	JEQ(LabelRef("run"))
	CMPQ(r.left, U8(1))
	JBE(LabelRef("shared"))
	CMPQ(r.n, param("symbols"))
	JAE(LabelRef("shared"))
}
