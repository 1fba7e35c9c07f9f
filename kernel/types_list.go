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
		first, err := k.pointer(c.head)
		if err != nil {
			yield(Object{}, fmt.Errorf("list at %#x: %w", c.head, err))
			return
		}
		for at, err := range k.links(ctx, first&^c.lock, 0, c.end) {
			if err != nil {
				yield(Object{}, fmt.Errorf("list at %#x, %w", c.head, err))
				return
			}
			if !yield(k.Object(c.t, k.clip(at-m.Offset/8)), nil) {
				return
			}
		}
	}
}

// links yields the addresses of elements that lead to each other by the address at an offset
// in each. An element that leads nowhere is none: it comes as an error.
func (k *Kernel) links(ctx context.Context, first, offset uint64, end func(at uint64) bool) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		seen := map[uint64]bool{}
		for at := first; !end(at); {
			next, err := k.pointer(k.clip(at + offset))
			if err = cut(ctx, err, seen, at); err != nil {
				yield(at, fmt.Errorf("element %d: %w", len(seen), err))
				return
			}
			seen[at] = true
			if !yield(at, nil) {
				return
			}
			at = next
		}
	}
}

// Link is a list that is told by addresses alone.
type Link struct {
	First uint64 // the link of the first element; the head, if Head
	Next  uint64 // where in a link the address of the next one is
	Back  uint64 // where the link is in an element
	Head  bool   // First is no element: the one it leads to is the first
	End   uint64 // the link that is not walked any more; 0: none
}

// Links yields the addresses of the elements of a list of any kind: it ends where it comes
// back to the first one, at NULL, at an odd number (hlist_nulls) or at Link.End. Errors are
// those of List.
func (k *Kernel) Links(ctx context.Context, l Link) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		first, started := l.First, false
		if l.Head {
			var err error
			if first, err = k.pointer(k.clip(l.First + l.Next)); err != nil {
				yield(0, fmt.Errorf("list at %#x: %w", l.First, err))
				return
			}
		}
		end := func(at uint64) bool {
			back := at == l.First && (l.Head || started)
			started = true
			return back || at == 0 || at&1 != 0 || l.End != 0 && at == l.End
		}
		for at, err := range k.links(ctx, first, l.Next, end) {
			if err != nil {
				err = fmt.Errorf("list at %#x, %w", l.First, err)
			}
			if !yield(k.clip(at-l.Back), err) {
				return
			}
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
