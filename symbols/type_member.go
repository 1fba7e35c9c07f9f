package symbols

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// ErrNoMember: the type has no member of that name. Kernels differ in it, so it is asked for
// the next form.
var ErrNoMember = errors.New("no such member")

// Member is a member of a struct or union, or what a path of names leads to in it.
type Member struct {
	Name   string // empty for an anonymous struct or union; the path of one that was asked for
	Offset uint64 // in bits from the begin of the type that was asked
	Bits   uint64 // width of a bitfield, 0 for every other member
	Ref
}

// Bytes is where the member lies: a bitfield in the fewest bytes that hold it.
func (m Member) Bytes() (off, size uint64) {
	if m.Bits == 0 {
		return m.Offset / 8, m.Type().Size()
	}
	off = m.Offset / 8
	return off, (m.Offset+m.Bits+7)/8 - off
}

// Uint is the value of an integer, pointer, enum or bitfield whose Bytes are p, in the byte
// order of the machine.
//
// Bits are counted as BTF does (btf_bitfield_show in kernel/bpf/btf.c): from the lowest of
// the first byte on little-endian machines, from the highest on big-endian ones.
//
//	offset 3, 10 bits   little endian   byte 1        byte 0      big endian   byte 0    byte 1
//	                                    ...vvvvv vvvvv...                      ...vvvvv vvvvv...
func (m Member) Uint(p []byte, order binary.ByteOrder) uint64 {
	if m.Bits == 0 {
		return bin.Uint(p, order)
	}
	var hi, lo uint64 // up to 9 bytes, as one number
	for i := range p {
		c := p[i]
		if order == binary.LittleEndian {
			c = p[len(p)-1-i]
		}
		hi, lo = hi<<8|lo>>56, lo<<8|uint64(c)
	}
	shift := m.Offset % 8
	if order != binary.LittleEndian {
		shift = uint64(8*len(p)) - shift - m.Bits
	}
	v := lo>>shift | hi<<(64-shift)
	return v & (^uint64(0) >> (64 - min(m.Bits, 64)))
}

// Int is the value with its sign.
func (m Member) Int(p []byte, order binary.ByteOrder) int64 {
	v, width := m.Uint(p, order), m.Bits
	if width == 0 {
		width = 8 * uint64(len(p))
	}
	if t := m.Type().Underlying(); !t.Signed || width == 0 || width >= 64 {
		return int64(v)
	}
	return int64(v<<(64-width)) >> (64 - width)
}

// Whole is the type itself as a member of nothing, at offset 0.
func (t *Type) Whole() Member { return Member{Ref: t.Ref()} }

// itself resolves to the type that is at hand.
type itself struct{ t *Type }

func (i itself) ByID(TypeID) (*Type, error) { return i.t, i.t.err }

// Member finds a member by its path: "mm", "thread.sp", "signal_struct.rlim[3].rlim_cur".
// Members of anonymous structs and unions are found as C finds them; pointers are not
// followed. The error wraps ErrNoMember, or the reason why a type on the way is unknown.
func (t *Type) Member(path string) (Member, error) {
	at := t.Whole()
	for rest, more := path, true; more; {
		var step string
		step, rest, more = strings.Cut(rest, ".")
		var err error
		if at, err = at.step(step); err != nil {
			return Member{}, fmt.Errorf("%v: %q: %w", t, path, err)
		}
	}
	at.Name = path
	return at, nil
}

// OneOf is the first of the paths that exists: names change from kernel to kernel. Its Name
// tells which. An error that wraps ErrNoMember lists all of them.
func (t *Type) OneOf(paths ...string) (Member, error) {
	for _, p := range paths {
		m, err := t.Member(p)
		if err == nil || !errors.Is(err, ErrNoMember) {
			return m, err
		}
	}
	return Member{}, fmt.Errorf("%v: none of %q: %w", t, paths, ErrNoMember)
}

// step goes on from m to "name", "name[3]" or "name[3][4]" in it.
func (m Member) step(s string) (Member, error) {
	name, index, indexed := strings.Cut(s, "[")
	look := search{name: name, left: maxVisits}
	t := m.Type().Underlying()
	found, ok := look.in(t, 0)
	switch {
	case t.err != nil:
		return Member{}, t.err
	case look.left < 0:
		return Member{}, fmt.Errorf("more than %d members: %w", maxVisits, phys.ErrLimit)
	case !ok:
		return Member{}, ErrNoMember
	}
	found.Offset += m.Offset
	if !indexed {
		return found, nil
	}
	return found.index(index)
}

// index goes on to an element; s is what follows the first bracket of "[3][4]".
func (m Member) index(s string) (Member, error) {
	for more := true; more; {
		var number string
		number, s, more = strings.Cut(s, "[")
		number, closed := strings.CutSuffix(number, "]")
		n, err := strconv.ParseUint(number, 0, 32)
		t := m.Type().Underlying()
		if err != nil || !closed || t.Kind != KindArray || t.Count > 0 && n >= t.Count {
			return Member{}, ErrNoMember
		}
		m.Ref = t.elem
		m.Offset += saturated(n, saturated(8, m.Type().Size()))
	}
	return m, nil
}

const (
	// maxVisits bounds the members that one name is looked for among: 900 are seen.
	maxVisits = 1 << 14
	// maxNesting bounds anonymous types in anonymous types: 6 are seen, and a damaged one
	// may contain itself.
	maxNesting = 32
)

// search looks for a member.
type search struct {
	name string
	left int // members that may still be looked at
}

// in looks through a type, then through its anonymous members.
func (s *search) in(t *Type, depth int) (Member, bool) {
	if !t.Aggregate() || depth > maxNesting {
		return Member{}, false
	}
	if s.left -= len(t.Members); s.left < 0 {
		return Member{}, false
	}
	for i := range t.Members {
		if m := &t.Members[i]; m.Name == s.name && s.name != "" {
			return *m, true
		}
	}
	for i := range t.Members {
		m := &t.Members[i]
		if m.Name != "" {
			continue
		}
		if found, ok := s.in(m.Type().Underlying(), depth+1); ok {
			found.Offset += m.Offset
			return found, true
		}
	}
	return Member{}, false
}

func (t *Type) endless() *Type {
	return &Type{Kind: KindInvalid, ID: t.ID, Name: t.Name, err: fmt.Errorf("type %d is made of itself: %w", t.ID, phys.ErrCorrupt)}
}
