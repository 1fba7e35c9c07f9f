package symbols

import (
	"fmt"
	"hash/maphash"
	"iter"
	"strings"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// maxTypeName bounds a name: the kernel accepts 511 bytes and NUL (KSYM_NAME_LEN).
const maxTypeName = 512

// name is the string at an offset of the string section, or of the base's before it. It is
// a piece of one string.
func (b *BTF) name(off uint32) (string, error) {
	if at := uint64(off); at != 0 && at < b.textAt {
		return b.base.name(off)
	}
	s, err := b.cut(uint64(off))
	if err == nil && !text(s) {
		err = fmt.Errorf("name at %#x is no text: %w", off, phys.ErrCorrupt)
	}
	if err != nil {
		return "", err
	}
	return s, nil
}

// cut cuts a string out of the text of this BTF itself.
func (b *BTF) cut(off uint64) (string, error) {
	if off == 0 {
		return "", nil
	}
	at := off - b.textAt
	if at >= uint64(len(b.text)) {
		return "", fmt.Errorf("name at %#x of %#x bytes: %w", off, b.textAt+uint64(len(b.text)), phys.ErrCorrupt)
	}
	s := b.text[at:min(at+maxTypeName, uint64(len(b.text)))]
	n := strings.IndexByte(s, 0)
	if g := b.strings.lost(b.strings.va+at, b.strings.va+at+uint64(max(n, 0))+1); g != nil {
		return "", fmt.Errorf("name at %#x: %w", g.from, g.err)
	}
	if n < 0 {
		return "", fmt.Errorf("name at %#x has no end: %w", off, phys.ErrCorrupt)
	}
	return s[:n], nil
}

// text tells whether a name may be shown: integers have spaces in theirs.
func text(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

// maxSame bounds the types of one name: 30 are seen.
const maxSame = 1 << 12

// ByName gives all types of that name and kind: first those of the module itself, then
// those of the kernel. When a part of the types is absent, the error says that too.
func (b *BTF) ByName(name string, kind Kind) ([]*Type, error) {
	var found []*Type
	for in := b; in != nil; in = in.base {
		for id := range in.named(name, kind) {
			if found = append(found, in.resolve(id)); len(found) == maxSame {
				return found, nil
			}
		}
	}
	switch {
	case found != nil:
		return found, nil
	case b.lost != nil:
		return nil, fmt.Errorf("%v %s: %w (%w)", kind, name, ErrNoType, b.lost)
	}
	return nil, fmt.Errorf("%v %s: %w", kind, name, ErrNoType)
}

// named gives the types of this BTF itself with that name and kind.
func (b *BTF) named(name string, kind Kind) iter.Seq[TypeID] {
	b.names.Do(b.indexNames)
	return func(yield func(TypeID) bool) {
		x := &b.names
		for i := x.heads[maphash.String(x.seed, name)&x.mask()]; i != 0; i = x.next[i] {
			if s, err := b.name(b.nameOff(i - 1)); err != nil || s != name {
				continue
			}
			k, ok := b.info(b.types.b[b.at[i-1]:]).known()
			if ok && k.kind == kind && !yield(b.first+TypeID(i-1)) {
				return
			}
		}
	}
}

// nameOff is where the name of the i-th type is.
func (b *BTF) nameOff(i uint32) uint32 { return b.abi.order().Uint32(b.types.b[b.at[i]:]) }

// typeNames finds types by name: lists of those whose names have a hash in common. A number
// in it is that of a type of this BTF counted from 1 on.
type typeNames struct {
	sync.Once
	seed  maphash.Seed
	heads []uint32 // by hash; 0 ends a list
	next  []uint32 // by number
}

func (x *typeNames) mask() uint64 { return uint64(len(x.heads) - 1) }

// indexNames makes the lists, from the last type to the first, so that they begin with the
// first. Names that cannot be read are in none.
func (b *BTF) indexNames() {
	x, n := &b.names, uint32(b.end()-b.first)
	x.seed, x.heads, x.next = maphash.MakeSeed(), make([]uint32, slotsFor(int(n/2))), make([]uint32, n+1)
	for i := n; i > 0; i-- {
		if s, err := b.name(b.nameOff(i - 1)); err == nil && s != "" {
			h := maphash.String(x.seed, s) & x.mask()
			x.next[i], x.heads[h] = x.heads[h], i
		}
	}
}
