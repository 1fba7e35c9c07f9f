package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// What snappy gives back, by its numbers in package codec.
const (
	wholePage = iota
	pageLong
	pageFar
	pageCut
	pageShort
)

// An element of package codec's table of tags.
const (
	elementLength = 0
	elementBits   = 1
	elementFar    = 4
)

// A row of package codec's table of short distances.
const (
	rowFirst  = 0
	rowSecond = 16
	rowBack   = 32
	rowLog    = 6
)

// snappyLoop are the registers of the loop.
type snappyLoop struct {
	ip, op      GPVirtual // addresses of a tag, and where the page goes on
	tag         GPVirtual
	next, end   GPVirtual // what ip and op are behind the element
	length, far GPVirtual // of the element; literals have the distance 16
	from        GPVirtual // what it copies
	tags, page  GPVirtual // addresses of the table and the page
	inEnd       GPVirtual
	pageEnd     GPVirtual
	spare       GPVirtual
}

// snappy is (*snappyTags).pageGo. Literals and matches of up to 32 bytes, those of short
// distances apart, take the same way, in which nothing is guessed.
func snappy() {
	TEXT("decodeTags", NOSPLIT, "func(in, out, tags, copies *byte, at, end, size uint) (status uint)")
	Doc("decodeTags decodes the elements between at and end in in into size bytes of out, see pageGo.")
	var s snappyLoop
	s.load()
	CMPQ(s.ip, s.inEnd)
	JAE(LabelRef("over"))
	MOVBLZX(Mem{Base: s.ip}, s.tag.As32())

	Label("element")
	s.distance()
	Label("near")
	s.follow()
	Label("followed")
	s.bounds()
	CMPQ(s.far, U8(16))
	JB(LabelRef("repeat"))
	s.copy32(0)
	CMPQ(s.length, U8(32))
	JA(LabelRef("more"))

	Label("following")
	MOVBLZX(Mem{Base: s.next}, s.tag.As32())
	MOVQ(s.end, s.op)
	MOVQ(s.next, s.ip)
	CMPQ(s.next, s.inEnd)
	JB(LabelRef("element"))

	Label("over")
	CMPQ(s.op, s.pageEnd)
	JNE(LabelRef("short"))
	leave(wholePage)

	Label("more")
	s.copy32(32)
	JMP(LabelRef("following"))

	s.repeat()
	s.literals()

	Label("first")
	Comment("a match may not begin before the page; a literal does not look back")
	TESTB(U8(3), s.tag.As8())
	JE(LabelRef("near"))
	Label("far")
	leave(pageFar)
	Label("long")
	leave(pageLong)
	Label("cut")
	leave(pageCut)
	Label("short")
	leave(pageShort)
}

func (s *snappyLoop) load() {
	for _, r := range []*GPVirtual{
		&s.ip, &s.op, &s.tag, &s.next, &s.end, &s.length, &s.far, &s.from, &s.tags, &s.page, &s.inEnd, &s.pageEnd, &s.spare,
	} {
		*r = GP64()
	}
	Load(Param("tags"), s.tags)
	Load(Param("in"), s.ip)
	Load(Param("end"), s.inEnd)
	ADDQ(s.ip, s.inEnd)
	ADDQ(param("at"), s.ip)
	Load(Param("out"), s.page)
	MOVQ(s.page, s.op)
	Load(Param("size"), s.pageEnd)
	ADDQ(s.page, s.pageEnd)
}

// element is a field of the tag's element.
func (s *snappyLoop) element(field int) Mem {
	return Mem{Base: s.tags, Index: s.tag, Scale: 8, Disp: field}
}

// distance is how far back the element looks, at most to the page's begin. That it is not 0 is for
// repeat to see.
func (s *snappyLoop) distance() {
	MOVBLZX(s.element(elementBits), s.spare.As32())
	MOVL(Mem{Base: s.ip, Disp: 1}, s.far.As32())
	BZHIQ(s.spare, s.far, s.far)
	MOVL(s.element(elementFar), s.spare.As32())
	ADDQ(s.spare, s.far)
	MOVQ(s.op, s.from)
	SUBQ(s.page, s.from)
	CMPQ(s.far, s.from)
	JA(LabelRef("first"))
}

// follow finds where the element's bytes are, behind the tag or in the page, and where the next
// tag is. That is what a page waits for: nothing is looked up.
func (s *snappyLoop) follow() {
	MOVBLZX(s.element(elementLength), s.length.As32())
	CMPQ(s.length, U8(64))
	JA(LabelRef("many"))
	MOVQ(s.op, s.from)
	SUBQ(s.far, s.from)
	INCQ(s.ip)
	MOVL(s.tag.As32(), s.next.As32())
	SHRL(U8(2), s.next.As32())
	LEAQ(Mem{Base: s.ip, Index: s.next, Scale: 1, Disp: 1}, s.next)
	ANDL(U8(3), s.tag.As32())
	CMOVQEQ(s.ip, s.from)
	LEAQ(Mem{Base: s.ip, Index: s.tag, Scale: 1}, s.ip)
	CMOVQNE(s.ip, s.next)
}

// bounds checks that the element and what it gives do not go beyond the ends.
func (s *snappyLoop) bounds() {
	CMPQ(s.next, s.inEnd)
	JA(LabelRef("cut"))
	LEAQ(Mem{Base: s.op, Index: s.length, Scale: 1}, s.end)
	CMPQ(s.end, s.pageEnd)
	JA(LabelRef("long"))
}

// copy32 copies 16 bytes, and then the 16 behind them, which the first may have changed.
func (s *snappyLoop) copy32(at int) {
	x := XMM()
	for _, at := range []int{at, at + 16} {
		MOVOU(Mem{Base: s.from, Disp: at}, x)
		MOVOU(x, Mem{Base: s.op, Disp: at})
	}
}

// repeat copies what lies less than 16 bytes back: 16 bytes and those behind them are
// made of the first, and what is left from bytes that are whole distances back.
func (s *snappyLoop) repeat() {
	x, y, z := XMM(), XMM(), XMM()
	Label("repeat")
	SHLQ(U8(rowLog), s.far)
	JE(LabelRef("far"))
	ADDQ(param("copies"), s.far)
	MOVOU(Mem{Base: s.from}, x)
	MOVOU(x, y)
	MOVOU(Mem{Base: s.far, Disp: rowFirst}, z)
	PSHUFB(z, x)
	MOVOU(x, Mem{Base: s.op})
	MOVOU(Mem{Base: s.far, Disp: rowSecond}, z)
	PSHUFB(z, y)
	MOVOU(y, Mem{Base: s.op, Disp: 16})
	CMPQ(s.length, U8(32))
	JBE(LabelRef("following"))
	MOVQ(s.op, s.from)
	SUBQ(Mem{Base: s.far, Disp: rowBack}, s.from)
	JMP(LabelRef("more"))
}

// literals are more than 60, as the bytes behind the tag say. A match with a distance of four
// bytes, which no page needs, comes here too.
func (s *snappyLoop) literals() {
	x, y := XMM(), XMM()
	bytes, n := s.spare, s.length
	Label("many")
	MOVQ(s.tag, bytes)
	SHRQ(U8(2), bytes)
	TESTB(U8(3), s.tag.As8())
	JNE(LabelRef("afar"))
	SUBQ(U8(59), bytes)
	LEAQ(Mem{Base: s.ip, Index: bytes, Scale: 1, Disp: 1}, s.from)
	SHLQ(U8(3), bytes)
	MOVL(Mem{Base: s.ip, Disp: 1}, n.As32())
	BZHIQ(bytes, n, n)
	INCQ(n)
	LEAQ(Mem{Base: s.from, Index: n, Scale: 1}, s.next)
	s.bounds()
	Label("literals")
	MOVOU(Mem{Base: s.from}, x)
	MOVOU(Mem{Base: s.from, Disp: 16}, y)
	MOVOU(x, Mem{Base: s.op})
	MOVOU(y, Mem{Base: s.op, Disp: 16})
	ADDQ(U8(32), s.from)
	ADDQ(U8(32), s.op)
	CMPQ(s.op, s.end)
	JB(LabelRef("literals"))
	JMP(LabelRef("following"))

	Label("afar")
	LEAQ(Mem{Base: s.spare, Disp: 1}, s.length)
	LEAQ(Mem{Base: s.ip, Disp: 5}, s.next)
	MOVQ(s.op, s.from)
	SUBQ(s.far, s.from)
	JMP(LabelRef("followed"))
}

func leave(status int) {
	n := GP64()
	MOVL(U32(uint32(status)), n.As32())
	Store(n, ReturnIndex(0))
	RET()
}
