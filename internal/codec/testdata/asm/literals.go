package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tableSize is that of each of the two tables of a tree.
const tableSize = 2<<12 + 8

// stream is one of four: its bits from the highest on, and its position.
type stream struct{ v, at GPVirtual }

// literals is (*literals).inTurnsGo, for codes of at most 11 bits.
func literals() {
	TEXT("decodeInTurns", NOSPLIT, "func(in, to, tables, streams *byte, shift, quarter, n uint) (done uint)")
	Doc("decodeInTurns decodes about n literals of each of four streams, see inTurnsGo.")
	var streams [4]stream
	to, quarter, third, shift, tables := GP64(), GP64(), GP64(), GP64(), GP64()
	for i := range streams {
		streams[i] = stream{GP64(), GP64()}
	}
	Load(Param("streams"), tables)
	for i, s := range streams {
		MOVQ(Mem{Base: tables, Disp: 8 * i}, s.at)
		s.look()
	}
	Load(Param("to"), to)
	Load(Param("quarter"), quarter)
	LEAQ(Mem{Base: quarter, Index: quarter, Scale: 2}, third)
	Load(Param("shift"), shift)
	Load(Param("tables"), tables)
	Comment("five literals of each stream a turn, as long as there are as many")
	ADDQ(to, param("n"))
	n := GP64()

	Label("turn")
	LEAQ(Mem{Base: to, Disp: 5}, n)
	CMPQ(n, param("n"))
	JA(LabelRef("done"))
	places := [4]Mem{
		{Base: to}, {Base: to, Index: quarter, Scale: 1}, {Base: to, Index: quarter, Scale: 2}, {Base: to, Index: third, Scale: 1},
	}
	for k := range 5 {
		for i, s := range streams {
			code, symbol := GP64(), GP64()
			SHRXQ(shift, s.v, code)
			MOVBLZX(Mem{Base: tables, Index: code, Scale: 1, Disp: tableSize}, symbol.As32())
			MOVBLZX(Mem{Base: tables, Index: code, Scale: 1}, code.As32())
			SUBQ(code, s.at)
			SHLXQ(code, s.v, s.v)
			place := places[i]
			place.Disp = k
			MOVB(symbol.As8(), place)
		}
	}
	for _, s := range streams {
		s.look()
	}
	ADDQ(U8(5), to)
	JMP(LabelRef("turn"))

	Label("done")
	SUBQ(param("to"), to)
	Store(to, ReturnIndex(0))
	Load(Param("streams"), tables)
	for i, s := range streams {
		MOVQ(s.at, Mem{Base: tables, Disp: 8 * i})
	}
	RET()
}

// look loads the bits at s.at, of which 57 are sure.
func (s stream) look() {
	taken := GP64()
	MOVQ(s.at, s.v)
	SHRQ(U8(3), s.v)
	MOVWLZX(s.v.As16(), s.v.As32())
	ADDQ(param("in"), s.v)
	MOVQ(Mem{Base: s.v}, s.v)
	MOVQ(s.at, taken)
	NOTQ(taken)
	ANDL(U32(7), taken.As32())
	SHLXQ(taken, s.v, s.v)
}
