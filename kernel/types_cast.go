package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/symbols"
)

// Cast is the object of a type that C spells so ("struct sock") at an address that somebody
// else's pointer gave: a void pointer, or one to the part that all of a family share. Of
// several types of that name the one with the members is taken. The error wraps
// symbols.ErrNoType or ErrNoMember.
func (k *Kernel) Cast(addr uint64, spelled string, members ...string) (Object, error) {
	ts, err := k.Types()
	if ts == nil {
		return Object{}, err
	}
	t, err := symbols.Find(ts, spelled, members...)
	if err != nil {
		return Object{}, err
	}
	return k.Object(t, addr), nil
}

// Variable is a variable of the kernel that somebody's knowledge gives a type, as C spells
// it: "struct resource", "struct kset *". Global knows the types of those that many ask for.
// The error is that of Symbol, or of Cast.
func (k *Kernel) Variable(name, spelled string) (Object, error) {
	s, err := k.Symbol(name)
	if err != nil {
		return Object{}, err
	}
	base := strings.TrimRight(spelled, "* ")
	o, err := k.Cast(s.Addr, base)
	if err != nil {
		return o, fmt.Errorf("variable %s: %w", name, err)
	}
	for range strings.Count(spelled, "*") {
		o = k.Object(o.Type.PointerTo(k.ptrSize()), s.Addr)
	}
	return o, nil
}

// CastIn is Cast to a type that a module brings, unless it is built into the kernel. Kernels
// before 5.11 do not keep the types of modules.
func (k *Kernel) CastIn(ctx context.Context, module string, addr uint64, spelled string) (Object, error) {
	o, err := k.Cast(addr, spelled)
	if !errors.Is(err, symbols.ErrNoType) {
		return o, err
	}
	for m, merr := range k.ModuleTypes(ctx) {
		if merr != nil || m.Name != module {
			continue
		}
		t, terr := symbols.Find(m.Types, spelled)
		if terr != nil {
			return o, terr
		}
		return k.Object(t, addr), nil
	}
	return o, err
}

// Around is the object of a type that C spells so and whose member o is: container_of.
func (o Object) Around(spelled, member string) (Object, error) {
	c, err := o.k.Cast(o.Addr, spelled, member)
	if err != nil {
		return c, err
	}
	m, err := c.Type.Member(member)
	if err != nil {
		return c, err
	}
	c.Addr = o.k.clip(o.Addr - m.Offset/8)
	return c, nil
}

// Through follows pointers from member to member: Through("d_sb", "s_type") is what C
// spells *o->d_sb->s_type. A NULL pointer is phys.ErrUnmapped.
func (o Object) Through(members ...string) (Object, error) {
	for _, m := range members {
		next, err := o.Follow(m)
		if err != nil {
			return Object{}, err
		}
		o = next
	}
	return o, nil
}
