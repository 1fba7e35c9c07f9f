package kernel

import (
	"context"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// maxList bounds a list: its elements are kept to find one that leads back to itself.
const maxList = 1 << 22

// List walks a struct list_head: each object is the type whose member the list goes
// through. The head is no object. The walk ends where the list closes; an error ends it
// too, and is phys.ErrCorrupt when the list leads back to one of its elements.
func (k *Kernel) List(ctx context.Context, head uint64, t *symbols.Type, member string) iter.Seq2[Object, error] {
	return k.chain(ctx, chain{head: head, t: t, member: member, end: func(at uint64) bool { return at == head }})
}

// HList walks a list that its head leads to and that does not come back: struct hlist_head,
// hlist_nulls_head (whose end is an odd number) or llist_head. Objects and errors are those
// of List.
func (k *Kernel) HList(ctx context.Context, head uint64, t *symbols.Type, member string) iter.Seq2[Object, error] {
	return k.chain(ctx, chain{head: head, t: t, member: member, end: func(at uint64) bool { return at == 0 || at&1 != 0 }})
}

// HListBL walks a struct hlist_bl_head, whose lowest bit is a lock.
func (k *Kernel) HListBL(ctx context.Context, head uint64, t *symbols.Type, member string) iter.Seq2[Object, error] {
	return k.chain(ctx, chain{head: head, lock: 1, t: t, member: member, end: func(at uint64) bool { return at == 0 }})
}

// chain is a list of any kind: each element begins with the address of the next one.
type chain struct {
	head   uint64 // where the address of the first one is
	lock   uint64 // bits of it that are no address
	t      *symbols.Type
	member string
	end    func(at uint64) bool
}

func (k *Kernel) chain(ctx context.Context, c chain) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		m, err := c.t.Member(c.member)
		if err != nil {
			yield(Object{}, err)
			return
		}
		seen := map[uint64]bool{}
		at, err := k.pointer(c.head)
		for at &^= c.lock; err != nil || !c.end(at); {
			var next uint64
			if err == nil {
				next, err = k.pointer(at) // nothing is an element that leads nowhere
			}
			if err = cut(ctx, err, seen, at); err != nil {
				yield(Object{}, fmt.Errorf("list at %#x, element %d: %w", c.head, len(seen), err))
				return
			}
			seen[at] = true
			if !yield(k.Object(c.t, k.clip(at-m.Offset/8)), nil) {
				return
			}
			at = next
		}
	}
}

// cut tells why a walk cannot go on at an element.
func cut(ctx context.Context, err error, seen map[uint64]bool, at uint64) error {
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case seen[at]:
		return fmt.Errorf("leads back to %#x: %w", at, phys.ErrCorrupt)
	case len(seen) >= maxList:
		return fmt.Errorf("more than %d elements: %w", maxList, phys.ErrLimit)
	}
	return nil
}
