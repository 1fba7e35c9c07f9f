package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// What sequences gives back, by its numbers in package codec.
const (
	carriedOut = iota
	tooLong
	tooFar
	noLiterals
)

// sequenceLoop are the registers of the loop. An entry has how many bits the next state takes in
// its lowest byte, and the value's extra bits in the one above, then the next state, then the value.
type sequenceLoop struct {
	le, oe, me   GPVirtual // entries
	b            GPVirtual // the position in the stream
	op           GPVirtual // the address where the page goes on
	r1, r2, r3   GPVirtual // distances used last
	v, s         GPVirtual // bits of the stream, and the lowest one that is taken
	literals     GPVirtual
	length, code GPVirtual
}

// sequences is (*sequences).runGo.
func sequences() {
	TEXT("runSequences", NOSPLIT, "func(in, out, from, tables, copies, entries, repeat *byte,"+
		" b, op, at, limit, end, left uint) (b2, op2, at2, last, status uint)")
	Doc("runSequences carries out left sequences, see runGo. The page goes to out from op on and not beyond limit,",
		"with literals of from between at and end.")
	var q sequenceLoop
	q.load()

	Label("sequence")
	q.refill()
	sum, total := GP64(), GP64()
	LEAQ(Mem{Base: q.le, Index: q.me, Scale: 1}, sum)
	ADDQ(q.oe, sum)
	last, _ := ReturnIndex(3).Resolve()
	MOVQ(sum, last.Addr)
	MOVBLZX(sum.As8(), total.As32())
	SHRL(U8(8), sum.As32())
	MOVBLZX(sum.As8(), sum.As32())
	ADDQ(sum, total)
	CMPQ(total, U8(57))
	JA(LabelRef("many"))
	SUBQ(total, q.b)
	q.offset()
	q.lengths()

	Label("states")
	q.state(q.le, 0)
	q.state(q.me, 2)
	q.state(q.oe, 1)

	Comment("k is twice the code, and 1 more without literals; from -3 to 1 a distance is recalled")
	k := GP64()
	LEAQ(Mem{Base: q.code, Index: q.code, Scale: 1}, k)
	CMPQ(q.literals, U8(1))
	ADCQ(I8(3), k)
	CMPQ(k, U8(5))
	JB(LabelRef("recall"))
	TESTQ(q.code, q.code)
	CMOVQGT(q.r2, q.r3)
	CMOVQGT(q.r1, q.r2)
	CMOVQGT(q.code, q.r1)

	Label("copy")
	q.copyLiterals()
	q.copyMatch()
	left, _ := Param("left").Resolve()
	DECQ(left.Addr)
	JNE(LabelRef("sequence"))
	q.leave(carriedOut)

	Label("many")
	Comment("more bits than a look at the stream shows: three looks")
	q.offset()
	q.drop(q.oe)
	q.refill()
	q.lengths()
	q.drop(q.me)
	q.drop(q.le)
	q.refill()
	for _, e := range []GPVirtual{q.le, q.me, q.oe} {
		MOVBLZX(e.As8(), total.As32())
		SUBQ(total, q.b)
	}
	JMP(LabelRef("states"))

	q.recall(k)
	for status, name := range []string{"", "long", "far", "short"} {
		if name != "" {
			Label(name)
			q.leave(status)
		}
	}
}

func (q *sequenceLoop) load() {
	for _, r := range []*GPVirtual{
		&q.le, &q.oe, &q.me, &q.b, &q.op, &q.r1, &q.r2, &q.r3, &q.v, &q.s, &q.literals, &q.length, &q.code,
	} {
		*r = GP64()
	}
	Load(Param("entries"), q.s)
	MOVQ(Mem{Base: q.s}, q.le)
	MOVQ(Mem{Base: q.s, Disp: 8}, q.oe)
	MOVQ(Mem{Base: q.s, Disp: 16}, q.me)
	Load(Param("repeat"), q.s)
	MOVQ(Mem{Base: q.s}, q.r1)
	MOVQ(Mem{Base: q.s, Disp: 8}, q.r2)
	MOVQ(Mem{Base: q.s, Disp: 16}, q.r3)
	Load(Param("b"), q.b)
	Load(Param("op"), q.op)
	ADDQ(param("out"), q.op)
	Comment("from here on, limit, at and end are addresses")
	MOVQ(param("out"), q.s)
	ADDQ(q.s, param("limit"))
	MOVQ(param("from"), q.s)
	ADDQ(q.s, param("at"))
	ADDQ(q.s, param("end"))
}

// param is where a parameter stands.
func param(name string) Op {
	c, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}

// refill takes a look at the stream: at least 57 bits below bit s of v.
func (q *sequenceLoop) refill() {
	MOVQ(q.b, q.s)
	SHRQ(U8(3), q.s)
	MOVWLZX(q.s.As16(), q.s.As32())
	ADDQ(param("in"), q.s)
	MOVQ(Mem{Base: q.s}, q.v)
	MOVQ(q.b, q.s)
	ORQ(I8(-8), q.s)
	INCQ(q.s)
}

// extra takes an entry's extra bits.
func (q *sequenceLoop) extra(e, to GPVirtual) {
	n := GP64()
	RORXQ(U8(8), e, n)
	SUBQ(n, q.s)
	SHRXQ(q.s, q.v, to)
	BZHIQ(n, to, to)
}

func (q *sequenceLoop) offset() {
	q.extra(q.oe, q.code)
	value := GP64()
	MOVQ(q.oe, value)
	SARQ(U8(32), value)
	ADDQ(value, q.code)
}

func (q *sequenceLoop) lengths() {
	for _, f := range [][2]GPVirtual{{q.me, q.length}, {q.le, q.literals}} {
		q.extra(f[0], f[1])
		value := GP64()
		RORXQ(U8(32), f[0], value)
		ADDL(value.As32(), f[1].As32())
	}
}

// drop moves on behind an entry's extra bits.
func (q *sequenceLoop) drop(e GPVirtual) {
	n := GP64()
	RORXQ(U8(8), e, n)
	MOVBLZX(n.As8(), n.As32())
	SUBQ(n, q.b)
}

// state looks up the entry after e in a table of 4096 bytes.
func (q *sequenceLoop) state(e GPVirtual, table int) {
	n, next := GP64(), GP64()
	SUBQ(e, q.s)
	SHRXQ(q.s, q.v, n)
	BZHIQ(e, n, n)
	RORXQ(U8(16), e, next)
	ADDL(next.As32(), n.As32())
	ANDL(U32(511), n.As32())
	MOVQ(param("tables"), next)
	MOVQ(Mem{Base: next, Index: n, Scale: 8, Disp: 4096 * table}, e)
}

// copyLiterals copies in pieces of 32 bytes, of which the last may be too much.
func (q *sequenceLoop) copyLiterals() {
	from, end := GP64(), GP64()
	x, y := XMM(), XMM()
	LEAQ(Mem{Base: q.op, Index: q.literals, Scale: 1}, end)
	ADDQ(q.length, end)
	CMPQ(end, param("limit"))
	JA(LabelRef("long"))
	MOVQ(param("at"), from)
	LEAQ(Mem{Base: from, Index: q.literals, Scale: 1}, end)
	CMPQ(end, param("end"))
	JA(LabelRef("short"))
	MOVQ(end, param("at"))
	MOVOU(Mem{Base: from}, x)
	MOVOU(Mem{Base: from, Disp: 16}, y)
	MOVOU(x, Mem{Base: q.op})
	MOVOU(y, Mem{Base: q.op, Disp: 16})
	to := end
	MOVQ(q.op, to)
	ADDQ(q.literals, q.op)
	SUBQ(U8(32), q.literals)
	JBE(LabelRef("copied"))
	Label("literals")
	ADDQ(U8(32), from)
	ADDQ(U8(32), to)
	MOVOU(Mem{Base: from}, x)
	MOVOU(Mem{Base: from, Disp: 16}, y)
	MOVOU(x, Mem{Base: to})
	MOVOU(y, Mem{Base: to, Disp: 16})
	SUBQ(U8(32), q.literals)
	JA(LabelRef("literals"))
	Label("copied")
}

// copyMatch copies in pieces of 16 bytes, see matchCopy.
func (q *sequenceLoop) copyMatch() {
	from, row, back, to := GP64(), GP64(), GP64(), GP64()
	x, y := XMM(), XMM()
	Comment("the distance is not 0, and not beyond the page's begin")
	MOVQ(q.op, from)
	SUBQ(param("out"), from)
	LEAQ(Mem{Base: q.r1, Disp: -1}, row)
	CMPQ(row, from)
	JAE(LabelRef("far"))
	MOVQ(q.op, from)
	SUBQ(q.r1, from)
	MOVOU(Mem{Base: from}, x)
	MOVL(U32(16), row.As32())
	CMPQ(q.r1, row)
	CMOVQCS(q.r1, row)
	SHLQ(U8(5), row)
	ADDQ(param("copies"), row)
	MOVQ(Mem{Base: row, Disp: 24}, back)
	CMPQ(q.r1, U8(16))
	CMOVQCC(q.r1, back)
	MOVOU(Mem{Base: row}, y)
	PSHUFB(y, x)
	MOVOU(x, Mem{Base: q.op})
	step := row
	MOVQ(Mem{Base: row, Disp: 16}, step)
	LEAQ(Mem{Base: q.op, Index: step, Scale: 1}, to)
	ADDQ(q.length, q.op)
	CMPQ(to, q.op)
	JAE(LabelRef("matched"))
	NEGQ(back)
	Label("match")
	MOVOU(Mem{Base: to, Index: back, Scale: 1}, x)
	MOVOU(x, Mem{Base: to})
	ADDQ(step, to)
	CMPQ(to, q.op)
	JB(LabelRef("match"))
	Label("matched")
}

// recall is (*sequences).recall: k is 3 more than there.
func (q *sequenceLoop) recall(k GPVirtual) {
	Label("recall")
	CMPQ(k, U8(4))
	JEQ(LabelRef("less"))
	CMPQ(k, U8(2))
	JAE(LabelRef("third"))
	XCHGQ(q.r1, q.r2)
	JMP(LabelRef("copy"))
	Label("third")
	MOVQ(q.r3, q.code)
	MOVQ(q.r2, q.r3)
	MOVQ(q.r1, q.r2)
	MOVQ(q.code, q.r1)
	JMP(LabelRef("copy"))
	Label("less")
	MOVQ(q.r2, q.r3)
	MOVQ(q.r1, q.r2)
	DECQ(q.r1)
	JMP(LabelRef("copy"))
}

func (q *sequenceLoop) leave(status int) {
	Load(Param("repeat"), q.s)
	MOVQ(q.r1, Mem{Base: q.s})
	MOVQ(q.r2, Mem{Base: q.s, Disp: 8})
	MOVQ(q.r3, Mem{Base: q.s, Disp: 16})
	Store(q.b, ReturnIndex(0))
	SUBQ(param("out"), q.op)
	Store(q.op, ReturnIndex(1))
	MOVQ(param("at"), q.s)
	SUBQ(param("from"), q.s)
	Store(q.s, ReturnIndex(2))
	MOVQ(U32(uint32(status)), q.s)
	Store(q.s, ReturnIndex(4))
	RET()
}
