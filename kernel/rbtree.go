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
		for at, err := range k.rbNodes(ctx, root, m.Type(), false) {
			o := Object{}
			if err == nil {
				o = k.Object(t, k.clip(at-m.Offset/8))
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// RBNodes yields the addresses of the nodes of a red-black tree in order, from its root or,
// if node is set, from one of its nodes. Errors are those of RBTree.
func (k *Kernel) RBNodes(ctx context.Context, root uint64, node bool) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		ts, err := k.Types()
		if ts == nil {
			yield(0, err)
			return
		}
		link, err := symbols.Find(ts, "struct rb_node", "rb_left", "rb_right")
		if err != nil {
			yield(0, err)
			return
		}
		for at, err := range k.rbNodes(ctx, root, link, node) {
			if !yield(at, err) {
				return
			}
		}
	}
}

// rbNodes walks nodes of a type, from the root or a node.
func (k *Kernel) rbNodes(ctx context.Context, root uint64, link *symbols.Type, node bool) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		top := root
		if !node {
			var err error
			if top, err = k.pointer(root); err != nil {
				yield(0, fmt.Errorf("tree at %#x: %w", root, err))
				return
			}
		}
		w := rbWalk{ctx: ctx, k: k, link: link, seen: map[uint64]bool{}}
		for at := top; at != 0 || len(w.path) > 0; {
			if err := w.down(at); err != nil {
				if !yield(0, fmt.Errorf("tree at %#x, node %d: %w", root, len(w.seen), err)) || ctx.Err() != nil || len(w.seen) >= maxList {
					return
				}
			}
			if len(w.path) == 0 {
				return
			}
			n := w.path[len(w.path)-1]
			w.path = w.path[:len(w.path)-1]
			if !yield(n.at, nil) {
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
