package kernel

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Value is what an object holds, with all that it is made of.
type Value struct {
	Name string // of a member; empty for an anonymous one, an element, and what was asked
	Object
	Offset uint64  // in bits from the begin of the object that was asked
	Bits   uint64  // width of a bitfield
	Number uint64  // of an integer, enum or pointer
	Text   string  // of an array of characters up to its NULs, or what a char pointer leads to
	IsText bool    // whether there is a Text
	Parts  []Value // members, or the elements of an array
	Count  uint64  // so many elements in a row are the same; 1 for all else
	More   bool    // there are parts that were not read any more
	Err    error   // why it could not be read; a part that could not be read has its own
}

const (
	// maxValue bounds the memory of one value: struct rq, the largest asked for, has 4 KiB.
	maxValue = 16 << 20
	// maxParts bounds the members and elements of one value, the same ones counted once.
	maxParts = 1 << 16
)

// Value reads all of an object.
func (o Object) Value() Value {
	_, size := o.m.Bytes()
	if size > maxValue {
		return Value{Object: o, Count: 1, Err: o.wrap(fmt.Errorf("%d bytes: %w", size, phys.ErrLimit))}
	}
	r := valueReader{o: o, left: maxParts}
	r.read(size)
	return r.value(o.m, 0)
}

// valueReader takes values from memory that was read at once.
type valueReader struct {
	o    Object
	b    []byte
	lost []lostBytes
	left int // parts that may still be made
}

// lostBytes are bytes that could not be read.
type lostBytes struct {
	from, to uint64
	err      error
}

// read reads what there is; a page that is absent does not cost those behind it.
func (r *valueReader) read(size uint64) {
	r.b = make([]byte, size)
	page := uint64(r.o.k.PageSize())
	for at := uint64(0); at < size; {
		n, err := r.o.k.ReadVirt(r.b[at:], r.o.k.clip(r.o.Addr+at))
		at += uint64(n)
		if err == nil {
			return
		}
		next := min(size, at+page-(r.o.Addr+at)%page)
		r.lost = append(r.lost, lostBytes{at, next, err})
		at = next
	}
}

// absent tells why a part of the bytes could not be read.
func (r *valueReader) absent(off, size uint64) error {
	for _, l := range r.lost {
		if off < l.to && off+size > l.from {
			return l.err
		}
	}
	return nil
}

// maxInside bounds types inside types: a damaged one may contain itself.
const maxInside = 64

// value takes one value, whose offset is that from the object.
func (r *valueReader) value(m symbols.Member, depth int) Value {
	off, size := m.Bytes()
	v := Value{Name: m.Name, Offset: m.Offset, Bits: m.Bits, Count: 1}
	own := m
	own.Offset %= 8
	v.Object = Object{Type: m.Type(), Addr: r.o.k.clip(r.o.Addr + off), k: r.o.k, m: own}
	if depth == 0 {
		v.Name = ""
	}
	if r.left--; r.left < 0 || depth > maxInside || off+size > uint64(len(r.b)) {
		v.Err = v.wrap(fmt.Errorf("too much in it: %w", phys.ErrLimit))
		return v
	}
	switch t := v.Type.Underlying(); t.Kind {
	case symbols.KindInvalid:
		v.Err = v.wrap(t.Err())
	case symbols.KindInt, symbols.KindPointer, symbols.KindEnum, symbols.KindFloat:
		r.scalar(&v, m, t, r.b[off:off+size])
	case symbols.KindStruct, symbols.KindUnion:
		for _, part := range t.Members {
			if v.More = r.left <= 0; v.More {
				break
			}
			part.Offset += m.Offset
			v.Parts = append(v.Parts, r.value(part, depth+1))
		}
	case symbols.KindArray:
		r.array(&v, m, t, depth)
	}
	return v
}

// scalar takes a number.
func (r *valueReader) scalar(v *Value, m symbols.Member, t *symbols.Type, b []byte) {
	off, size := m.Bytes()
	if v.Err = r.absent(off, size); v.Err != nil {
		return
	}
	if size > maxScalar || m.Bits == 0 && size&(size-1) != 0 {
		v.Err = v.wrap(fmt.Errorf("a number of %d bytes: %w", size, phys.ErrUnsupported))
		return
	}
	v.Number = m.Uint(b, r.o.k.dump.Header.Order)
	if t.Signed {
		v.Number = uint64(m.Int(b, r.o.k.dump.Header.Order))
	}
	if t.Kind != symbols.KindPointer || v.Number == 0 {
		return
	}
	plain, name := character(t.Elem()), unsignedCharacter(t.Elem())
	if !plain && !name {
		return
	}
	if s, err := r.o.k.text(v.Number); err == nil && (plain || s != "" && !strings.ContainsFunc(s, notText)) {
		v.Text, v.IsText = s, true
	}
}

// unsignedCharacter tells whether a type is C's unsigned char by that name, as that of
// qstr.name: u8 and its like are for data.
func unsignedCharacter(t *symbols.Type) bool {
	return strings.TrimPrefix(t.String(), "const ") == "unsigned char"
}

// notText tells whether a character is in no name.
func notText(c rune) bool { return c == unicode.ReplacementChar || unicode.IsControl(c) }

// character tells whether a type is C's char.
func character(t *symbols.Type) bool {
	u := t.Underlying()
	return u.Kind == symbols.KindInt && u.Size() == 1 && u.Name == "char"
}

// array takes the elements of an array, those that are the same in a row once.
func (r *valueReader) array(v *Value, m symbols.Member, t *symbols.Type, depth int) {
	elem := t.Elem()
	size := elem.Size()
	off, all := m.Bytes()
	if size == 0 || t.Count == 0 {
		return
	}
	b := r.b[off : off+all]
	if character(elem) && r.absent(off, all) == nil {
		v.Text, v.IsText = string(bytes.TrimRight(b, "\x00")), true
		return
	}
	for i := uint64(0); i < t.Count; {
		if v.More = r.left <= 0; v.More {
			return
		}
		next := i + 1
		for next < t.Count && bytes.Equal(b[i*size:][:size], b[next*size:][:size]) &&
			(len(r.lost) == 0 || r.absent(off+i*size, (next+1-i)*size) == nil) {
			next++
		}
		part := elem.Whole()
		part.Offset = m.Offset + 8*i*size
		p := r.value(part, depth+1)
		p.Count = next - i
		i = next
		if n := len(v.Parts); n > 0 && phys.Reason(p.Err) != nil && phys.Reason(p.Err) == phys.Reason(v.Parts[n-1].Err) {
			v.Parts[n-1].Count += p.Count // absent for one reason: said once
			continue
		}
		v.Parts = append(v.Parts, p)
	}
}

// Lost are the errors in a value, each reason once.
func (v Value) Lost() (errs []error) {
	seen := map[error]bool{}
	v.lost(seen, &errs)
	return errs
}

func (v Value) lost(seen map[error]bool, errs *[]error) {
	if v.Err != nil && !seen[phys.Reason(v.Err)] {
		seen[phys.Reason(v.Err)] = true
		*errs = append(*errs, v.Err)
	}
	for _, p := range v.Parts {
		p.lost(seen, errs)
	}
}

// Absent tells whether nothing of the value could be read. Parts that take no memory, empty structs
// and arrays without a length, do not count.
func (v Value) Absent() bool {
	absent := v.Err != nil
	for _, p := range v.Parts {
		if _, size := p.m.Bytes(); size == 0 {
			continue
		}
		if !p.Absent() {
			return false
		}
		absent = true
	}
	return absent
}
