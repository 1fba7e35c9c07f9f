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
	noBits
)

// An entry of package codec's tables of states.
const (
	entryBits  = 0
	entryExtra = 1
	entryNext  = 2
	entryValue = 4

	tableBytes = 512 * 8
)

// state is one of the three of a sequence, and its table.
type state struct {
	GPVirtual
	table int
}

// field is a field of the state's entry.
func (s state) field(tables GPVirtual, at int) Mem {
	return Mem{Base: tables, Index: s.GPVirtual, Scale: 8, Disp: s.table*tableBytes + at}
}

// sequenceLoop are the registers of the loop.
type sequenceLoop struct {
	le, oe, me   state
	p            GPVirtual // the address of the stream's next eight bytes
	s            GPVirtual // less how many bits of these are taken
	v            GPVirtual // what they are
	op           GPVirtual // the address where the page goes on
	r1, r2, r3   GPVirtual // distances used last
	literals     GPVirtual
	length, code GPVirtual
}

// sequences is (*sequences).runGo.
func sequences() {
	TEXT("runSequences", NOSPLIT, "func(in, out, from, tables, copies, states, repeat *byte,"+
		" b, op, at, limit, end, left uint) (b2, op2, at2, status uint)")
	Doc("runSequences carries out left sequences, see runGo. The page goes to out from op on and not beyond limit,",
		"with literals of from between at and end. b2 is in front of the states that would follow.")
	var q sequenceLoop
	q.load()

	Label("sequence")
	q.look()
	tables := q.tables()
	q.offset(tables)
	q.lengths(tables)
	Comment("are the bits that are left in v enough for three states, of 26 bits at most?")
	CMPQ(q.s, I8(26-64))
	JLT(LabelRef("many"))

	Label("states")
	q.keep()
	for _, s := range []state{q.le, q.me, q.oe} {
		q.next(s)
	}

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

	q.many()
	q.recall(k)
	for status, name := range []string{"", "long", "far", "short", "begun"} {
		if name != "" {
			Label(name)
			q.leave(status)
		}
	}
}

func (q *sequenceLoop) load() {
	q.le, q.oe, q.me = state{GP64(), 0}, state{GP64(), 1}, state{GP64(), 2}
	for _, r := range []*GPVirtual{
		&q.p, &q.s, &q.v, &q.op, &q.r1, &q.r2, &q.r3, &q.literals, &q.length, &q.code,
	} {
		*r = GP64()
	}
	Load(Param("states"), q.s)
	for i, r := range []state{q.le, q.oe, q.me} {
		MOVQ(Mem{Base: q.s, Disp: 8 * i}, r.GPVirtual)
	}
	Load(Param("repeat"), q.s)
	for i, r := range []GPVirtual{q.r1, q.r2, q.r3} {
		MOVQ(Mem{Base: q.s, Disp: 8 * i}, r)
	}
	Load(Param("b"), q.s)
	MOVQ(q.s, q.p)
	SARQ(U8(3), q.p)
	ADDQ(param("in"), q.p)
	ANDQ(U8(7), q.s)
	SUBQ(U8(7), q.s)
	Load(Param("op"), q.op)
	ADDQ(param("out"), q.op)
	Comment("from here on, limit, at and end are addresses")
	MOVQ(param("out"), q.length)
	ADDQ(q.length, param("limit"))
	MOVQ(param("from"), q.length)
	ADDQ(q.length, param("at"))
	ADDQ(q.length, param("end"))
}

// param is where a parameter stands.
func param(name string) Op {
	c, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}

// look goes to the eight bytes of which less than one is taken, at most 8 bits in all.
func (q *sequenceLoop) look() {
	bytes := GP64()
	MOVQ(q.s, bytes)
	SARQ(U8(3), bytes)
	LEAQ(Mem{Base: q.p, Index: bytes, Scale: 1, Disp: 1}, q.p)
	CMPQ(q.p, param("in"))
	JB(LabelRef("begun"))
	MOVQ(Mem{Base: q.p}, q.v)
	ORQ(I8(-8), q.s)
}

// keep notes where the stream goes on if no states follow.
func (q *sequenceLoop) keep() {
	b2, _ := ReturnIndex(0).Resolve()
	MOVQ(q.s, b2.Addr)
}

func (q *sequenceLoop) tables() GPVirtual {
	tables := GP64()
	Load(Param("tables"), tables)
	return tables
}

// extra takes an entry's extra bits.
func (q *sequenceLoop) extra(e state, tables, to GPVirtual) {
	n := GP64()
	MOVBLZX(e.field(tables, entryExtra), n.As32())
	SUBQ(n, q.s)
	SHRXQ(q.s, q.v, to)
	BZHIQ(n, to, to)
}

func (q *sequenceLoop) offset(tables GPVirtual) {
	q.extra(q.oe, tables, q.code)
	value := GP64()
	MOVLQSX(q.oe.field(tables, entryValue), value)
	ADDQ(value, q.code)
}

func (q *sequenceLoop) lengths(tables GPVirtual) {
	q.extra(q.me, tables, q.length)
	ADDL(q.me.field(tables, entryValue), q.length.As32())
	q.extra(q.le, tables, q.literals)
	ADDL(q.le.field(tables, entryValue), q.literals.As32())
}

// next is the state after s. What tables say is below 512.
func (q *sequenceLoop) next(s state) {
	n, tables := GP64(), q.tables()
	MOVBLZX(s.field(tables, entryBits), n.As32())
	MOVWLZX(s.field(tables, entryNext), s.As32())
	SUBQ(n, q.s)
	bits := tables
	SHRXQ(q.s, q.v, bits)
	BZHIQ(n, bits, bits)
	ADDQ(bits, s.GPVirtual)
}

// many reads a sequence of more bits than one look shows, by three.
func (q *sequenceLoop) many() {
	Label("many")
	tables, n := q.tables(), GP64()
	for _, e := range []state{q.oe, q.me, q.le} {
		MOVBLZX(e.field(tables, entryExtra), n.As32())
		ADDQ(n, q.s)
	}
	q.offset(tables)
	q.look()
	q.lengths(tables)
	q.look()
	JMP(LabelRef("states"))
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

// copyMatch copies 32 bytes, and more in pieces of 16. What lies less than 16 bytes back is
// repeated: 32 bytes and those behind them are made of the first, see repetition.
func (q *sequenceLoop) copyMatch() {
	from, to, row := GP64(), GP64(), GP64()
	x, y, z := XMM(), XMM(), XMM()
	MOVQ(q.op, from)
	SUBQ(q.r1, from)
	JCS(LabelRef("far"))
	CMPQ(from, param("out"))
	JB(LabelRef("far"))
	MOVQ(q.op, to)
	ADDQ(q.length, q.op)
	MOVOU(Mem{Base: from}, x)
	CMPQ(q.r1, U8(16))
	JB(LabelRef("repeat"))
	MOVOU(x, Mem{Base: to})
	MOVOU(Mem{Base: from, Disp: 16}, x)
	MOVOU(x, Mem{Base: to, Disp: 16})
	Label("started")
	SUBQ(U8(32), q.length)
	JA(LabelRef("match"))
	Label("matched")
	left, _ := Param("left").Resolve()
	DECQ(left.Addr)
	JNE(LabelRef("sequence"))
	q.leave(carriedOut)

	Label("match")
	MOVOU(Mem{Base: from, Disp: 32}, x)
	MOVOU(x, Mem{Base: to, Disp: 32})
	ADDQ(U8(16), from)
	ADDQ(U8(16), to)
	SUBQ(U8(16), q.length)
	JA(LabelRef("match"))
	JMP(LabelRef("matched"))

	Label("repeat")
	MOVQ(q.r1, row)
	SHLQ(U8(rowLog), row)
	ADDQ(param("copies"), row)
	MOVOU(x, y)
	MOVOU(Mem{Base: row, Disp: rowFirst}, z)
	PSHUFB(z, x)
	MOVOU(x, Mem{Base: to})
	MOVOU(Mem{Base: row, Disp: rowSecond}, z)
	PSHUFB(z, y)
	MOVOU(y, Mem{Base: to, Disp: 16})
	MOVQ(to, from)
	SUBQ(Mem{Base: row, Disp: rowBack}, from)
	JMP(LabelRef("started"))
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
	JNE(LabelRef("copy"))
	JMP(LabelRef("far"))
}

func (q *sequenceLoop) leave(status int) {
	Load(Param("repeat"), q.s)
	MOVQ(q.r1, Mem{Base: q.s})
	MOVQ(q.r2, Mem{Base: q.s, Disp: 8})
	MOVQ(q.r3, Mem{Base: q.s, Disp: 16})
	Comment("a position in bits")
	SUBQ(param("in"), q.p)
	b2, _ := ReturnIndex(0).Resolve()
	MOVQ(b2.Addr, q.s)
	LEAQ(Mem{Base: q.s, Index: q.p, Scale: 8, Disp: 7}, q.s)
	Store(q.s, ReturnIndex(0))
	SUBQ(param("out"), q.op)
	Store(q.op, ReturnIndex(1))
	MOVQ(param("at"), q.s)
	SUBQ(param("from"), q.s)
	Store(q.s, ReturnIndex(2))
	MOVQ(U32(uint32(status)), q.s)
	Store(q.s, ReturnIndex(3))
	RET()
}
