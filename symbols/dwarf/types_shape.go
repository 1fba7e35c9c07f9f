package dwarf

import (
	"encoding/binary"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// aggregate reads a struct, class or union and its members.
func (r *typeReader) aggregate(typ symbols.Type) *symbols.Type {
	union := r.e.Tag == TagUnionType
	if r.uint(AttrDeclaration, 0) != 0 {
		return symbols.MakeForward(r.id, typ.Name, union)
	}
	typ.Kind = symbols.KindStruct
	if union {
		typ.Kind = symbols.KindUnion
	}
	size := r.uint(AttrByteSize, 0)
	for range r.children() {
		if r.e.Tag == TagMember {
			r.member(&typ)
		}
	}
	return symbols.Make(typ, size, symbols.Ref{})
}

// member reads DW_TAG_member. A static one, of C++, is no part of the object.
func (r *typeReader) member(typ *symbols.Type) {
	if r.e.Has(AttrExternal) || r.e.Has(AttrDeclaration) {
		return
	}
	name, err := r.e.Name()
	if err != nil {
		r.fail(err)
	}
	m := symbols.Member{Name: name, Ref: r.ref(), Bits: r.uint(AttrBitSize, 0)}
	m.Offset = 8 * r.location()
	if at, ok := r.e.Attr(AttrDataBitOffset); ok { // DWARF 4 on, from the begin of the struct
		m.Offset = at.Uint()
	} else if at, ok := r.e.Attr(AttrBitOffset); ok {
		m.Offset += r.oldBits(m, at.Uint())
	}
	typ.Members = append(typ.Members, m)
}

// location is DW_AT_data_member_location in bytes: a number, or before DWARF 3 an
// expression that adds one (DW_OP_plus_uconst).
func (r *typeReader) location() uint64 {
	const plusUconst = 0x23
	v, ok := r.e.Attr(AttrDataMemberLoc)
	if !ok {
		return 0
	}
	b := v.Bytes()
	if b == nil {
		return v.Uint()
	}
	in := buf{what: "member location", b: b, order: r.e.r.order}
	if op := in.u8(); op != plusUconst {
		r.fail(wrong(".debug_info", r.e.Off, phys.ErrUnsupported, "member location by operation %#x", op))
		return 0
	}
	n := in.uleb()
	if in.err != nil {
		r.fail(in.err)
	}
	return n
}

// oldBits makes an offset of a bitfield, from the member's first bit, of the one that was
// written until DWARF 3: from the highest bit of the storage unit, on machines of either
// order.
//
//	little endian, 32-bit unit, offset 22, 3 bits:   31 … 10|9 8 7|6 … 0      bit 7
func (r *typeReader) oldBits(m symbols.Member, at uint64) uint64 {
	if r.e.r.order == binary.ByteOrder(binary.BigEndian) {
		return at
	}
	unit := r.uint(AttrByteSize, 0)
	if unit == 0 {
		unit = m.Type().Size()
	}
	return 8*unit - at - m.Bits
}

// enum reads an enum. Where nothing says whether it is signed, a negative constant does.
func (r *typeReader) enum(typ symbols.Type) *symbols.Type {
	typ.Kind = symbols.KindEnum
	enc := r.uint(AttrEncoding, 0)
	size := r.uint(AttrByteSize, 4)
	negative := false
	for range r.children() {
		if r.e.Tag != TagEnumerator {
			continue
		}
		name, err := r.e.Name()
		if err != nil {
			r.fail(err)
		}
		v := int64(r.uint(AttrConstValue, 0))
		negative = negative || v < 0
		typ.Values = append(typ.Values, symbols.Enumerator{Name: name, Value: v})
	}
	typ.Signed = enc == encSigned || enc == encSignedChar || negative && enc != encUnsigned && enc != encUnsignedChar
	return symbols.Make(typ, size, symbols.Ref{})
}

// maxDimensions bounds an array's: 4 are seen.
const maxDimensions = 16

// array reads an array: one of arrays where it has several dimensions.
func (r *typeReader) array(typ symbols.Type) *symbols.Type {
	elem := r.ref()
	var counts []uint64
	for range r.children() {
		if r.e.Tag != TagSubrangeType {
			continue
		}
		if len(counts) == maxDimensions {
			r.fail(wrong(".debug_info", r.e.Off, phys.ErrLimit, "more than %d dimensions", maxDimensions))
			return nil
		}
		counts = append(counts, r.count())
	}
	if counts == nil {
		counts = []uint64{0}
	}
	typ.Kind = symbols.KindArray
	var made *symbols.Type
	for _, n := range slices.Backward(counts) {
		typ.Count = n
		made = symbols.Make(typ, 0, elem)
		elem = made.Ref()
	}
	return made
}

// count is the number of elements, 0 where it is not known: of a flexible array, and where
// an expression gives it.
func (r *typeReader) count() uint64 {
	if n, ok := r.e.Attr(AttrCount); ok {
		if n.Class() != ClassConstant {
			return 0
		}
		return n.Uint()
	}
	v, ok := r.e.Attr(AttrUpperBound)
	if !ok || v.Class() != ClassConstant || v.Form() == FormData4 && v.Uint() == 1<<32-1 {
		return 0
	}
	return v.Uint() + 1 // -1, of no elements, becomes 0
}
