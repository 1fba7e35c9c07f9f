package dwarf

import (
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// PieceKind is where a part of a value is.
type PieceKind uint8

// The kinds of places (DWARF 5, 2.6.1).
const (
	PieceNone     PieceKind = iota // the compiler did not keep it
	PieceMemory                    // at Addr
	PieceRegister                  // in register Reg
	PieceValue                     // nowhere: it is the number Value
	PieceBytes                     // nowhere: the debug information has its bytes
	PiecePointer                   // a pointer that the compiler removed; what it led to is known
)

// Piece is a part of a value, or all of it.
type Piece struct {
	Kind   PieceKind
	Bits   uint64 // its width; 0 is all that is left of the value
	Skip   uint64 // bits of the place before it
	Addr   uint64
	Reg    int
	Value  uint64
	Bytes  []byte // in the machine's order
	Target int64  // of PiecePointer: the entry of what it led to, and Offset how far into it
	Offset int64
}

// ErrOptimised: the compiler kept no value of a variable, at this place in the code or
// anywhere.
var ErrOptimised = fmt.Errorf("optimised out: %w", phys.ErrUnsupported)

// RegisterError says that a value is in a register which nothing on the stack has kept: that
// is no fault of the compiler, the value was there.
type RegisterError struct{ Reg int }

func (e *RegisterError) Error() string { return fmt.Sprintf("register %d is not known", e.Reg) }

// Unwrap is phys.ErrUnsupported.
func (e *RegisterError) Unwrap() error { return phys.ErrUnsupported }

func (m *Machine) failRegister(n int) {
	if m.r.err == nil {
		m.r.err = fmt.Errorf("%s at %#x: %w", m.r.what, m.r.off(), &RegisterError{n})
	}
}

// maxPieces bounds those of one value: some tens of a large struct are seen.
const maxPieces = 1 << 10

// Locate computes where a value is. An empty expression is ErrOptimised.
func (m *Machine) Locate(expr []byte) ([]Piece, error) {
	m.stack = m.stack[:0]
	if len(expr) == 0 {
		return nil, ErrOptimised
	}
	if err := m.run(expr); err != nil {
		return nil, err
	}
	if m.pieces == nil || m.here != nil || len(m.stack) > 0 {
		m.finish(0, 0)
	}
	return m.pieces, m.r.err
}

// describe notes what the operations so far describe.
func (m *Machine) describe(p Piece) {
	if m.here != nil {
		m.r.fail(phys.ErrCorrupt, "a second place without DW_OP_piece")
		return
	}
	m.here = &p
}

// finish ends a piece: what was described, or the address, or the value on the stack.
func (m *Machine) finish(bits, skip uint64) {
	p := Piece{Kind: PieceNone}
	switch {
	case m.here != nil:
		p = *m.here
	case len(m.stack) > 0 && m.closing:
		p = Piece{Kind: PieceValue, Value: m.pop()}
	case len(m.stack) > 0:
		p = Piece{Kind: PieceMemory, Addr: m.pop()}
	}
	if len(m.pieces) == maxPieces {
		m.r.fail(phys.ErrLimit, "more than %d pieces", maxPieces)
		return
	}
	p.Bits, p.Skip = bits, skip
	m.pieces = append(m.pieces, p)
	m.here, m.closing, m.stack = nil, false, m.stack[:0]
}

// location does the operations that describe a place.
func (m *Machine) location(op byte) {
	r := &m.r
	switch op {
	case 0x90: // DW_OP_regx
		m.describe(Piece{Kind: PieceRegister, Reg: int(min(r.uleb(), maxFrameReg))})
	case 0x93: // DW_OP_piece
		m.finish(8*min(r.uleb(), maxPiece), 0)
	case 0x9d: // DW_OP_bit_piece
		bits := min(r.uleb(), 8*maxPiece)
		m.finish(bits, min(r.uleb(), 8*maxPiece))
	case 0x9e: // DW_OP_implicit_value
		m.describe(Piece{Kind: PieceBytes, Bytes: r.take(r.uleb())})
	case 0x9f: // DW_OP_stack_value
		m.closing = true
		m.peek(0)
	case 0xa0, 0xf2: // DW_OP_implicit_pointer, DW_OP_GNU_implicit_pointer
		if m.unit == nil {
			r.fail(phys.ErrUnsupported, "operation %#x", op)
			return
		}
		size := m.unit.offSize
		if m.unit.Version == 2 {
			size = m.unit.AddrSize
		}
		to := int64(r.uint(size))
		m.describe(Piece{Kind: PiecePointer, Target: to, Offset: r.sleb()})
	default:
		r.fail(phys.ErrUnsupported, "operation %#x", op)
	}
}

// typed does the operations on values that have a type; false for any other.
func (m *Machine) typed(op byte) bool {
	r := &m.r
	switch op {
	case 0xa4, 0xf4: // DW_OP_const_type
		t := m.baseType(r.uleb())
		b := r.take(uint64(r.u8()))
		if n := len(b); n != t.size && r.err == nil {
			r.fail(phys.ErrCorrupt, "a constant of %d bytes of a type of %d", n, t.size)
		}
		if r.err == nil {
			m.pushTyped(operand{t.fit(bin.Uint(b, r.order)), t})
		}
	case 0xa5, 0xf5: // DW_OP_regval_type
		n := int(min(r.uleb(), maxFrameReg))
		t := m.baseType(r.uleb())
		v, ok := m.Regs.Register(n)
		if !ok {
			m.failRegister(n)
		}
		m.pushTyped(operand{t.fit(v), t})
	case 0xa6, 0xf6: // DW_OP_deref_type
		size := int(r.u8())
		t := m.baseType(r.uleb())
		m.deref(size)
		m.pushTyped(operand{t.fit(m.pop()), t})
	case 0xa8, 0xf7, 0xa9, 0xf9: // DW_OP_convert, DW_OP_reinterpret
		t := m.baseType(r.uleb())
		v := m.pop()
		m.result(operand{t.fit(v), t})
	default:
		return false
	}
	return true
}

// encodings of DW_TAG_base_type that are whole numbers.
const (
	encAddress = 0x01
	encBoolean = 0x02
	encUTF     = 0x10
)

// baseType reads the DW_TAG_base_type at an offset of the unit; 0 is that of addresses.
func (m *Machine) baseType(off uint64) baseType {
	if off == 0 || m.r.err != nil {
		return baseType{}
	}
	if m.unit == nil {
		m.r.fail(phys.ErrUnsupported, "types are not known here")
		return baseType{}
	}
	e, err := m.unit.Entries()
	if err == nil {
		err = e.GoTo(m.unit.Off + int64(min(off, maxPiece)))
	}
	if err != nil {
		m.r.err = err
		return baseType{}
	}
	size, _ := e.Uint(AttrByteSize)
	enc, _ := e.Uint(AttrEncoding)
	t := baseType{int(min(size, 16)), false}
	switch enc {
	case encSigned, encSignedChar:
		t.signed = true
	case encUnsigned, encUnsignedChar, encAddress, encBoolean, encUTF:
	default:
		m.r.fail(phys.ErrUnsupported, "a base type of encoding %d", enc)
	}
	if e.Tag != TagBaseType || size != 1 && size != 2 && size != 4 && size != 8 {
		m.r.fail(phys.ErrUnsupported, "a number of %d bytes", size)
		return baseType{}
	}
	return t
}

// indexed is an element of .debug_addr.
func (m *Machine) indexed(i uint64) uint64 {
	if m.unit == nil {
		m.r.fail(phys.ErrUnsupported, "an index of .debug_addr")
		return 0
	}
	v, err := Value{u: m.unit, form: FormAddrx, num: i}.Address()
	if err != nil && m.r.err == nil {
		m.r.err = err
	}
	return v
}

// placed is where an address of the file is in the crashed machine.
func (m *Machine) placed(addr uint64) uint64 {
	if m.Place == nil || m.r.err != nil {
		return addr
	}
	v, err := m.Place(addr)
	if err != nil {
		m.r.err = err
	}
	return v
}

// entryValue pushes what a register had when the function was called. GCC writes registers
// only; what memory had then is gone.
func (m *Machine) entryValue(b []byte) {
	reg, ok := registerOf(b)
	if !ok {
		m.r.fail(phys.ErrUnsupported, "the value on entry of what is no register")
		return
	}
	m.passed(Passed{reg: reg})
}

// passed pushes what the caller passed.
func (m *Machine) passed(p Passed) {
	if m.Entry == nil {
		m.r.fail(phys.ErrUnsupported, "what the caller passed is not known")
	}
	if m.r.err != nil {
		return
	}
	v, err := m.Entry(p)
	if err != nil {
		m.r.err = err
	}
	m.push(v)
}

// registerOf is the register that an expression names, if that is all it does.
func registerOf(expr []byte) (reg int, ok bool) {
	if len(expr) == 1 && expr[0] >= 0x50 && expr[0] < 0x70 {
		return int(expr[0] - 0x50), true
	}
	if len(expr) > 1 && expr[0] == 0x90 {
		r := buf{what: "register", b: expr[1:]}
		n := r.uleb()
		return int(min(n, maxFrameReg)), r.err == nil && r.at == len(r.b)
	}
	return 0, false
}
