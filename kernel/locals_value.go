package kernel

import (
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// value reads a variable from its pieces.
func (f *localFrame) value(l *Local, pieces []dwarf.Piece) {
	k := f.u.k
	if len(pieces) == 1 && pieces[0].Kind == dwarf.PieceMemory && pieces[0].Bits == 0 {
		l.InMemory = true
		l.Value = k.Object(l.Type, k.clip(pieces[0].Addr)).Value()
	} else {
		l.Value, l.Err = f.assemble(l, pieces)
	}
	if l.Err == nil && l.Value.Absent() && l.Type.Size() > 0 {
		l.Err = l.Value.Lost()[0]
	}
}

// assemble puts a value together.
func (f *localFrame) assemble(l *Local, pieces []dwarf.Piece) (Value, error) {
	o := f.u.k.Object(l.Type, 0)
	size := l.Type.Size()
	if size > maxValue {
		return Value{}, fmt.Errorf("%d bytes: %w", size, phys.ErrLimit)
	}
	r := valueReader{o: o, left: maxParts, b: make([]byte, size)}
	at := uint64(0)
	for _, p := range pieces {
		n := p.Bits / 8
		if p.Bits == 0 {
			n = size - at
		}
		if p.Bits%8 != 0 || p.Skip%8 != 0 {
			return Value{}, fmt.Errorf("pieces of %d bits, %d bits into their place: %w", p.Bits, p.Skip, phys.ErrUnsupported)
		}
		n = min(n, size-at)
		if err := f.piece(r.b[at:at+n], p); err != nil {
			r.lost = append(r.lost, lostBytes{at, at + n, f.named(err)})
		}
		if at += n; len(pieces) == 1 && p.Kind == dwarf.PieceRegister {
			l.Register = f.form.name(p.Reg)
		}
	}
	if at < size {
		r.lost = append(r.lost, lostBytes{at, size, dwarf.ErrOptimised})
	}
	return r.value(o.m, 0), nil
}

// piece reads one piece.
func (f *localFrame) piece(b []byte, p dwarf.Piece) error {
	k := f.u.k
	skip := p.Skip / 8
	switch p.Kind {
	case dwarf.PieceMemory:
		_, err := k.ReadVirt(b, k.clip(p.Addr+skip))
		return err
	case dwarf.PieceBytes:
		return take(b, p.Bytes, skip)
	case dwarf.PiecePointer:
		return fmt.Errorf("a pointer: %w", dwarf.ErrOptimised)
	case dwarf.PieceNone:
		return dwarf.ErrOptimised
	}
	v, ok := p.Value, true
	if p.Kind == dwarf.PieceRegister {
		v, ok = f.frames[f.n].regs.Register(p.Reg)
	}
	if !ok {
		return &dwarf.RegisterError{Reg: p.Reg}
	}
	// A type that is smaller than a register is in its low bytes, on machines of either order.
	word := make([]byte, 8)
	bin.PutUint(word, v, k.dump.Header.Order)
	if k.dump.Header.Order.Uint16([]byte{0, 1}) == 1 && len(b) < 8 {
		word = word[8-len(b):]
	}
	return take(b, word, skip)
}

var errShort = errors.New("the debug information gives fewer bytes than its type has")

// take copies bytes of a place into a value.
func take(b, from []byte, skip uint64) error {
	if skip > uint64(len(from)) || uint64(len(from))-skip < uint64(len(b)) {
		return fmt.Errorf("%w: %w", errShort, phys.ErrCorrupt)
	}
	copy(b, from[skip:])
	return nil
}
