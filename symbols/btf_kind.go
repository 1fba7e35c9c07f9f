package symbols

import (
	"cmp"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// btfInfo is the info word of a btf_type.
type btfInfo uint32

func (b *BTF) info(raw []byte) btfInfo { return btfInfo(b.abi.order().Uint32(raw[4:])) }

func (i btfInfo) kind() uint8 { return uint8(i>>24) & 0x7f }

func (i btfInfo) vlen() uint64 { return uint64(i & 0xffffff) }

// flag: of a struct, that its members have bitfields in their offsets; of an enum, that it
// is signed; of a forward declaration, that it is of a union.
func (i btfInfo) flag() bool { return i>>31 == 1 }

func (i btfInfo) name() string { return fmt.Sprintf("BTF kind %d", i.kind()) }

// btfKind is one kind of BTF: what follows the 12 bytes of btf_type, once and for each of
// vlen, and how a Type is made of it.
type btfKind struct {
	kind       Kind
	info, elem uint64
	fill       func(*btfReader)
}

// btfKinds are the kinds by number, with the release of Linux that brought them. What the
// third word is, a size or a type, the fill functions know.
var btfKinds = [...]btfKind{
	1:  {KindInt, 4, 0, (*btfReader).integer}, // 4.18
	2:  {KindPointer, 0, 0, (*btfReader).pointer},
	3:  {KindArray, 12, 0, (*btfReader).array},
	4:  {KindStruct, 0, 12, (*btfReader).members},
	5:  {KindUnion, 0, 12, (*btfReader).members},
	6:  {KindEnum, 0, 8, (*btfReader).enum},
	7:  {KindForward, 0, 0, (*btfReader).forward},
	8:  {KindTypedef, 0, 0, (*btfReader).refer},
	9:  {KindVolatile, 0, 0, (*btfReader).refer},
	10: {KindConst, 0, 0, (*btfReader).refer},
	11: {KindRestrict, 0, 0, (*btfReader).refer},
	12: {KindFunc, 0, 0, (*btfReader).refer},      // 5.0
	13: {KindFuncProto, 0, 8, (*btfReader).proto}, // 5.0
	14: {KindVar, 4, 0, (*btfReader).refer},       // 5.2
	15: {KindDataSec, 0, 12, (*btfReader).vars},   // 5.2
	16: {KindFloat, 0, 0, (*btfReader).sized},     // 5.13
	17: {KindDeclTag, 4, 0, (*btfReader).refer},   // 5.16
	18: {KindTag, 0, 0, (*btfReader).refer},       // 5.17
	19: {KindEnum, 0, 12, (*btfReader).enum64},    // 6.0
}

// known gives the kind if it is one of those.
func (i btfInfo) known() (*btfKind, bool) {
	if k := int(i.kind()); k > 0 && k < len(btfKinds) {
		return &btfKinds[k], true
	}
	return nil, false
}

// kindSize is the number of bytes of a type. Of a kind that is not known here the layout
// section tells it, if there is one.
func (b *BTF) kindSize(i btfInfo) (uint64, error) {
	if k, ok := i.known(); ok {
		return btfTypeSize + k.info + i.vlen()*k.elem, nil
	}
	const entry = 4
	at := b.layout.va + entry*uint64(i.kind())
	if i.kind() == 0 || at+entry > b.layout.end() {
		return 0, fmt.Errorf("%s: %w", i.name(), unknownKind(i))
	}
	raw, err := b.layout.bytes("btf_layout", at, at+entry)
	if err != nil {
		return 0, err
	}
	return btfTypeSize + uint64(raw[0]) + i.vlen()*uint64(raw[1]), nil
}

// unknownKind: 0 is no kind in any kernel.
func unknownKind(i btfInfo) error {
	if i.kind() == 0 {
		return phys.ErrCorrupt
	}
	return phys.ErrUnsupported
}

// btfReader makes one Type.
type btfReader struct {
	b    *BTF
	t    *Type
	c    *bin.Cursor // behind the three words
	info btfInfo
	word uint32 // the third: size or type
	err  error  // of a name
}

// inflate makes the type of a number of this BTF itself.
func (b *BTF) inflate(id TypeID) *Type {
	t := &Type{ID: id}
	if err := b.fill(t); err != nil {
		return &Type{ID: id, Name: t.Name, err: fmt.Errorf("BTF type %d: %w", id, err)}
	}
	return t
}

func (b *BTF) fill(t *Type) error {
	if t.ID >= b.end() {
		if b.lost != nil {
			return b.lost
		}
		return fmt.Errorf("the last is %d: %w", b.end()-1, phys.ErrCorrupt)
	}
	from, end := b.at[t.ID-b.first], b.at[t.ID-b.first+1]
	raw, err := b.types.bytes("btf_type", b.types.va+uint64(from), b.types.va+uint64(end))
	if err != nil {
		return err
	}
	r := btfReader{b: b, t: t, info: b.info(raw), word: b.abi.order().Uint32(raw[8:])}
	if r.t.Name, err = b.name(b.abi.order().Uint32(raw)); err != nil {
		return err
	}
	k, ok := r.info.known()
	if !ok {
		return fmt.Errorf("%s %q: %w", r.info.name(), t.Name, phys.ErrUnsupported)
	}
	t.Kind = k.kind
	r.c = bin.NewCursor("btf_type", raw[btfTypeSize:], int64(from+btfTypeSize), b.abi.order())
	k.fill(&r)
	return cmp.Or(r.err, r.c.Err())
}
