package dwarf

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Machine computes what a DWARF expression gives (DWARF 5, 2.5): an address, or the value
// behind DW_OP_stack_value. What describes a place instead (DW_OP_reg, DW_OP_piece) is not
// for it. A Machine is used once.
type Machine struct {
	Regs    Registers
	Mem     Memory
	Order   binary.ByteOrder
	PtrSize int
	// FrameBase and CFA are asked for when the expression does; nil is not known.
	FrameBase, CFA func() (uint64, error)

	stack []uint64
	r     buf
}

const (
	maxExprSteps = 4096
	maxExprStack = 256
)

// Run computes an expression. The error wraps phys.ErrUnsupported for what is not known here
// or not to be had, else the reason why memory is absent, or phys.ErrCorrupt.
func (m *Machine) Run(expr []byte) (uint64, error) {
	m.r = buf{what: "DWARF expression", b: expr, order: m.Order}
	for range maxExprSteps {
		if m.r.at >= len(m.r.b) || m.r.err != nil {
			v := m.pop()
			return v, m.r.err
		}
		m.step(m.r.u8())
	}
	m.r.fail(phys.ErrLimit, "more than %d steps", maxExprSteps)
	return 0, m.r.err
}

func (m *Machine) push(v uint64) {
	if m.PtrSize == 4 {
		v = uint64(uint32(v))
	}
	if len(m.stack) == maxExprStack {
		m.r.fail(phys.ErrLimit, "more than %d values", maxExprStack)
		return
	}
	m.stack = append(m.stack, v)
}

func (m *Machine) pop() uint64 {
	v := m.peek(0)
	if len(m.stack) > 0 {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v
}

// peek is the value n below the top.
func (m *Machine) peek(n int) uint64 {
	if n >= len(m.stack) {
		m.r.fail(phys.ErrCorrupt, "%d values on the stack", len(m.stack))
		return 0
	}
	return m.stack[len(m.stack)-1-n]
}

// step does one operation (7.7.1).
func (m *Machine) step(op byte) {
	r := &m.r
	switch {
	case op >= 0x30 && op < 0x50: // DW_OP_lit0 to DW_OP_lit31
		m.push(uint64(op - 0x30))
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
	case 0x9f: // DW_OP_stack_value: nothing comes behind it
		r.at = len(r.b)
	default:
		r.fail(phys.ErrUnsupported, "operation %#x", op)
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
		m.r.fail(phys.ErrUnsupported, "register %d is not known", n)
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
		m.push(r.uint(m.PtrSize))
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
		m.push(m.peek(0))
	case 0x13:
		m.pop()
	case 0x14:
		m.push(m.peek(1))
	case 0x15:
		m.push(m.peek(int(m.r.u8())))
	case 0x16:
		a, b := m.pop(), m.pop()
		m.push(a)
		m.push(b)
	case 0x17:
		a, b, c := m.pop(), m.pop(), m.pop()
		m.push(a)
		m.push(c)
		m.push(b)
	}
}

// arithmetic on one or two values; those with an operand behind them are with the others.
func (m *Machine) arithmetic(op byte) {
	switch op {
	case 0x23, 0x28:
		m.other(op)
		return
	case 0x19: // DW_OP_abs
		if v := int64(m.pop()); v < 0 {
			m.push(uint64(-v))
		} else {
			m.push(uint64(v))
		}
		return
	case 0x1f: // DW_OP_neg
		m.push(-m.pop())
		return
	case 0x20: // DW_OP_not
		m.push(^m.pop())
		return
	}
	b, a := m.pop(), m.pop()
	if (op == 0x1b || op == 0x1d) && b == 0 {
		m.r.fail(phys.ErrCorrupt, "division by zero")
		return
	}
	m.push(operate(op, a, b))
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
