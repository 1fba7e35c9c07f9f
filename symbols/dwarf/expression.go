package dwarf

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Machine computes what a DWARF expression gives (DWARF 5, 2.5): Run an address, or the value
// behind DW_OP_stack_value; Locate the place of a value, which can be in pieces. A Machine
// is used once.
type Machine struct {
	Regs    Registers
	Mem     Memory
	Order   binary.ByteOrder
	PtrSize int
	// FrameBase and CFA are asked for when the expression does; nil is not known.
	FrameBase, CFA func() (uint64, error)
	// Entry is what the function was passed (see CallSite.Value).
	Entry func(Passed) (uint64, error)
	// Place makes an address of the file one of the crashed machine; nil: they are the same.
	Place func(addr uint64) (uint64, error)

	unit    *Unit // whose tables and types the expression refers to, nil for frames
	stack   []operand
	r       buf
	pieces  []Piece
	here    *Piece // what the operations so far describe, if that is not an address
	spent   int    // steps
	closing bool   // DW_OP_stack_value was seen
}

// operand is a value on the stack, and of which type: the zero one is that of addresses.
type operand struct {
	v uint64
	t baseType
}

// baseType is the type of an operand since DWARF 5 (2.5.1); GCC has had it since 4.7.
type baseType struct {
	size   int // in bytes; 0: an address, of no type
	signed bool
}

// fit cuts a value to the size of the type, and extends it again.
func (t baseType) fit(v uint64) uint64 {
	if t.size == 0 || t.size >= 8 {
		return v
	}
	shift := 64 - 8*uint(t.size)
	if t.signed {
		return uint64(int64(v<<shift) >> shift)
	}
	return v << shift >> shift
}

const (
	maxExprSteps = 4096
	maxExprStack = 256
)

// Run computes an expression. The error wraps phys.ErrUnsupported for what is not known here
// or not to be had, else the reason why memory is absent, or phys.ErrCorrupt.
func (m *Machine) Run(expr []byte) (uint64, error) {
	if err := m.run(expr); err != nil {
		return 0, err
	}
	if m.here != nil || m.pieces != nil {
		m.r.fail(phys.ErrUnsupported, "a place where an address is asked for")
	}
	v := m.pop()
	return v, m.r.err
}

// run does all operations.
func (m *Machine) run(expr []byte) error {
	m.r = buf{what: "DWARF expression", b: expr, order: m.Order}
	m.pieces, m.here, m.closing, m.spent = nil, nil, false, 0
	for m.r.at < len(m.r.b) && m.r.err == nil {
		if m.spent++; m.spent > maxExprSteps {
			m.r.fail(phys.ErrLimit, "more than %d steps", maxExprSteps)
			break
		}
		m.step(m.r.u8())
	}
	return m.r.err
}

// push puts an address on the stack.
func (m *Machine) push(v uint64) {
	if m.PtrSize == 4 {
		v = uint64(uint32(v))
	}
	m.pushTyped(operand{v: v})
}

func (m *Machine) pushTyped(o operand) {
	if len(m.stack) == maxExprStack {
		m.r.fail(phys.ErrLimit, "more than %d values", maxExprStack)
		return
	}
	m.stack = append(m.stack, o)
}

func (m *Machine) pop() uint64 { return m.popTyped().v }

func (m *Machine) popTyped() operand {
	o := m.peek(0)
	if len(m.stack) > 0 {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return o
}

// peek is the value n below the top.
func (m *Machine) peek(n int) operand {
	if n >= len(m.stack) {
		m.r.fail(phys.ErrCorrupt, "%d values on the stack", len(m.stack))
		return operand{}
	}
	return m.stack[len(m.stack)-1-n]
}

// step does one operation (7.7.1).
func (m *Machine) step(op byte) {
	r := &m.r
	switch {
	case op >= 0x30 && op < 0x50: // DW_OP_lit0 to DW_OP_lit31
		m.push(uint64(op - 0x30))
	case op >= 0x50 && op < 0x70: // DW_OP_reg0 to DW_OP_reg31
		m.describe(Piece{Kind: PieceRegister, Reg: int(op - 0x50)})
	case op >= 0x70 && op < 0x90: // DW_OP_breg0 to DW_OP_breg31
		m.register(int(op-0x70), r.sleb())
	case op >= 0x08 && op <= 0x11 || op == 0x03:
		m.constant(op)
	case op >= 0x12 && op <= 0x17:
		m.shuffle(op)
	case op >= 0x19 && op <= 0x2e:
		m.arithmetic(op)
	default:
		m.other(op)
	}
}

func (m *Machine) other(op byte) {
	r := &m.r
	switch op {
	case 0x06: // DW_OP_deref
		m.deref(m.PtrSize)
	case 0x94: // DW_OP_deref_size
		m.deref(int(r.u8()))
	case 0x23: // DW_OP_plus_uconst
		m.push(m.pop() + r.uleb())
	case 0x28: // DW_OP_bra
		if n := int16(r.u16()); m.pop() != 0 {
			m.jump(n)
		}
	case 0x2f: // DW_OP_skip
		m.jump(int16(r.u16()))
	case 0x91: // DW_OP_fbreg
		m.push(m.ask("frame base", m.FrameBase) + uint64(r.sleb()))
	case 0x92: // DW_OP_bregx
		m.register(int(min(r.uleb(), maxFrameReg)), r.sleb())
	case 0x96: // DW_OP_nop
	case 0x9c: // DW_OP_call_frame_cfa
		m.push(m.ask("CFA", m.CFA))
	case 0xa1, 0xfb: // DW_OP_addrx, DW_OP_GNU_addr_index
		m.push(m.placed(m.indexed(r.uleb())))
	case 0xa2, 0xfc: // DW_OP_constx, DW_OP_GNU_const_index
		m.push(m.indexed(r.uleb()))
	case 0xa3, 0xf3: // DW_OP_entry_value, DW_OP_GNU_entry_value
		m.entryValue(r.take(r.uleb()))
	case 0xfa: // DW_OP_GNU_parameter_ref: an argument that the function no longer has
		if to := int64(r.u32()); m.unit != nil {
			m.passed(Passed{param: m.unit.Off + to})
		} else {
			r.fail(phys.ErrUnsupported, "operation %#x", op)
		}
	default:
		if !m.typed(op) {
			m.location(op)
		}
	}
}

func (m *Machine) ask(what string, f func() (uint64, error)) uint64 {
	if f == nil {
		m.r.fail(phys.ErrUnsupported, "the %s is not known", what)
		return 0
	}
	v, err := f()
	if err != nil && m.r.err == nil {
		m.r.err = fmt.Errorf("%s: %w", what, err)
	}
	return v
}

func (m *Machine) register(n int, off int64) {
	v, ok := m.Regs.Register(n)
	if !ok {
		m.failRegister(n)
	}
	m.push(v + uint64(off))
}

func (m *Machine) jump(n int16) {
	if to := m.r.at + int(n); to >= 0 && to <= len(m.r.b) {
		m.r.at = to
		return
	}
	m.r.fail(phys.ErrCorrupt, "jump by %d", n)
}

func (m *Machine) deref(size int) {
	va := m.pop()
	if size != 1 && size != 2 && size != 4 && size != 8 {
		m.r.fail(phys.ErrUnsupported, "%d bytes of memory", size)
		return
	}
	v, err := readWord(m.Mem, m.Order, size, va)
	if err != nil && m.r.err == nil {
		m.r.err = err
	}
	m.push(v)
}

func readWord(mem Memory, order binary.ByteOrder, size int, va uint64) (uint64, error) {
	var b [8]byte
	if _, err := mem.ReadVirt(b[:size], va); err != nil {
		return 0, err
	}
	return bin.Uint(b[:size], order), nil
}

// constant: DW_OP_addr, then DW_OP_const1u, 1s, 2u, 2s, 4u, 4s, 8u, 8s, constu, consts.
func (m *Machine) constant(op byte) {
	r := &m.r
	switch op {
	case 0x03:
		m.push(m.placed(r.uint(m.PtrSize)))
	case 0x10:
		m.push(r.uleb())
	case 0x11:
		m.push(uint64(r.sleb()))
	default:
		size := 1 << ((op - 0x08) / 2)
		v := r.uint(size)
		if shift := 64 - 8*size; op&1 == 1 {
			v = uint64(int64(v<<shift) >> shift)
		}
		m.push(v)
	}
}

// shuffle: DW_OP_dup, drop, over, pick, swap, rot.
func (m *Machine) shuffle(op byte) {
	switch op {
	case 0x12:
		m.pushTyped(m.peek(0))
	case 0x13:
		m.pop()
	case 0x14:
		m.pushTyped(m.peek(1))
	case 0x15:
		m.pushTyped(m.peek(int(m.r.u8())))
	case 0x16:
		a, b := m.popTyped(), m.popTyped()
		m.pushTyped(a)
		m.pushTyped(b)
	case 0x17:
		a, b, c := m.popTyped(), m.popTyped(), m.popTyped()
		m.pushTyped(a)
		m.pushTyped(c)
		m.pushTyped(b)
	}
}

// arithmetic on one or two values, in the type of the first; those with an operand behind
// them are with the others.
func (m *Machine) arithmetic(op byte) {
	switch op {
	case 0x23, 0x28:
		m.other(op)
		return
	case 0x19, 0x1f, 0x20: // DW_OP_abs, neg, not
		o := m.popTyped()
		switch {
		case op == 0x20:
			o.v = ^o.v
		case op == 0x1f, int64(o.v) < 0 && (o.t.signed || o.t.size == 0):
			o.v = -o.v
		}
		m.result(o)
		return
	}
	b, a := m.popTyped(), m.popTyped()
	switch {
	case (op == 0x1b || op == 0x1d) && b.v == 0:
		m.r.fail(phys.ErrCorrupt, "division by zero")
	case a.t.size != 0 && !a.t.signed && op != 0x26:
		m.result(operand{operateUnsigned(op, a.v, b.v), a.t})
	case a.t.size != 0 && op == 0x25: // the bits of a signed number, without its sign
		m.result(operand{baseType{size: a.t.size}.fit(a.v) >> min(b.v, 64), a.t})
	case a.t.size != 0 && op == 0x1d && int64(b.v) != -1:
		m.result(operand{uint64(int64(a.v) % int64(b.v)), a.t})
	case op == 0x26 && a.t.size != 0:
		m.result(operand{uint64(int64(baseType{a.t.size, true}.fit(a.v)) >> min(b.v, 63)), a.t})
	default:
		m.result(operand{operate(op, a.v, b.v), a.t})
	}
	if op >= 0x29 && op <= 0x2e && len(m.stack) > 0 { // a comparison has no type
		m.stack[len(m.stack)-1].t = baseType{}
	}
}

// result pushes what an operation gave.
func (m *Machine) result(o operand) {
	if o.t.size == 0 {
		m.push(o.v)
		return
	}
	o.v = o.t.fit(o.v)
	m.pushTyped(o)
}

// operateUnsigned is a op b of a type that has no sign: what differs from operate, which is
// that of addresses, are division and comparisons.
func operateUnsigned(op byte, a, b uint64) uint64 {
	var holds bool
	switch op {
	case 0x1b:
		return a / b
	case 0x2a:
		holds = a >= b
	case 0x2b:
		holds = a > b
	case 0x2c:
		holds = a <= b
	case 0x2d:
		holds = a < b
	default:
		return operate(op, a, b)
	}
	if holds {
		return 1
	}
	return 0
}

// operate is a op b.
func operate(op byte, a, b uint64) uint64 {
	sa, sb := int64(a), int64(b)
	switch op {
	case 0x1a:
		return a & b
	case 0x1b:
		if sb == -1 { // the smallest number has no negative
			return -a
		}
		return uint64(sa / sb)
	case 0x1c:
		return a - b
	case 0x1d:
		return a % b
	case 0x1e:
		return a * b
	case 0x21:
		return a | b
	case 0x22:
		return a + b
	case 0x24:
		return a << min(b, 64)
	case 0x25:
		return a >> min(b, 64)
	case 0x26:
		return uint64(sa >> min(b, 63))
	case 0x27:
		return a ^ b
	}
	holds := [...]bool{sa == sb, sa >= sb, sa > sb, sa <= sb, sa < sb, sa != sb} // DW_OP_eq on
	if holds[op-0x29] {
		return 1
	}
	return 0
}
