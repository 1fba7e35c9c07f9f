package kernel

import (
	"context"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/symbols"
)

// RBTree walks a red-black tree in order, from its struct rb_root or rb_root_cached: each
// object is the type whose member, a struct rb_node or rb_node_linked (7.1 on), is in the
// tree. An error is about one
// node and all below it, and does not end the walk; it is phys.ErrCorrupt where a node leads
// back into the tree.
func (k *Kernel) RBTree(ctx context.Context, root uint64, t *symbols.Type, member string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		m, err := t.Member(member)
		if err != nil {
			yield(Object{}, err)
			return
		}
		top, err := k.pointer(root)
		if err != nil {
			yield(Object{}, fmt.Errorf("tree at %#x: %w", root, err))
			return
		}
		w := rbWalk{ctx: ctx, k: k, link: m.Type(), seen: map[uint64]bool{}}
		for at := top; at != 0 || len(w.path) > 0; {
			if err := w.down(at); err != nil {
				if !yield(Object{}, fmt.Errorf("tree at %#x, node %d: %w", root, len(w.seen), err)) || ctx.Err() != nil || len(w.seen) >= maxList {
					return
				}
			}
			if len(w.path) == 0 {
				return
			}
			n := w.path[len(w.path)-1]
			w.path = w.path[:len(w.path)-1]
			if !yield(k.Object(t, k.clip(n.at-m.Offset/8)), nil) {
				return
			}
			at = n.right
		}
	}
}

// rbNode is a node whose left side was walked.
type rbNode struct{ at, right uint64 }

type rbWalk struct {
	ctx  context.Context
	k    *Kernel
	link *symbols.Type // of the member
	seen map[uint64]bool
	path []rbNode
}

// down goes to the leftmost node below at; the nodes on the way are what comes next.
func (w *rbWalk) down(at uint64) error {
	for at != 0 {
		if err := cut(w.ctx, nil, w.seen, at); err != nil {
			return err
		}
		w.seen[at] = true
		f := w.k.Object(w.link, at).Fields()
		left, right := f.Pointer("rb_left", "node.rb_left"), f.Pointer("rb_right", "node.rb_right")
		if err := f.Err(); err != nil {
			return err
		}
		w.path = append(w.path, rbNode{at, right})
		at = left
	}
	return nil
}
