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
	return func(yield func(Object, error) bool) {
		m, err := t.Member(member)
		if err != nil {
			yield(Object{}, err)
			return
		}
		seen := map[uint64]bool{}
		for at, err := k.pointer(head); err != nil || at != head; {
			var next uint64
			if err == nil {
				next, err = k.pointer(at) // nothing is an element that leads nowhere
			}
			if err = cut(ctx, err, seen, at); err != nil {
				yield(Object{}, fmt.Errorf("list at %#x, element %d: %w", head, len(seen), err))
				return
			}
			seen[at] = true
			if !yield(k.Object(t, at-m.Offset/8), nil) {
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
