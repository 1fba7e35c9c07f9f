package kernel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/bits"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// XArray walks a struct xarray in the order of its keys, or a struct radix_tree_root of a
// kernel that does not have xarrays yet. Objects are of type t. An error is about one node,
// and does not end the walk.
//
// The forms (lib/xarray.c, lib/radix-tree.c), of which the members tell:
//
//	4.20 …        xa_head; a node knows its shift, and its address + 2 is in the word above
//	4.7 … 4.19    rnode; a node knows its shift; address + 1
//	     … 4.6    rnode, height; a node does not know its shift; address + 1 in the root alone
//
// A number that is kept itself is shifted by one and marked 1 in an xarray, shifted by two
// and marked 2 before (3.1 on). An entry of several slots leaves in the others which it is
// in (CONFIG_XARRAY_MULTI), or where (4.6 to 4.19).
func (k *Kernel) XArray(ctx context.Context, root Object, t *symbols.Type) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := k.tree(ctx, fmt.Sprintf("xarray at %#x", root.Addr), t, yield)
		if err := w.xarray(root); err != nil {
			w.root(err)
		}
	}
}

// XANodes is XArray from a struct xa_node on; the first key of the node is 0.
func (k *Kernel) XANodes(ctx context.Context, node uint64, t *symbols.Type) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		x := radix{tree: k.tree(ctx, fmt.Sprintf("xarray node at %#x", node), t, yield)}
		err := x.shapeOfXArray()
		shift := 0
		if err == nil {
			shift, err = x.top(Object{}, node&^wordBits)
		}
		if err != nil {
			x.root(err)
			return
		}
		x.walk(node&^wordBits, 0, shift, 0)
	}
}

// xarray yields all entries; an error is about the root.
func (w *tree) xarray(root Object) error {
	x := radix{tree: w}
	var err error
	if root.Has("xa_head") {
		err = x.shapeOfXArray()
	} else {
		err = x.shapeOfRadix(root)
	}
	if err != nil {
		return err
	}
	head, err := root.Pointer("xa_head", "rnode")
	if err != nil || head == 0 {
		return err
	}
	if !x.node(head) {
		x.slot(head, 0, 0)
		return nil
	}
	top := head &^ wordBits
	shift, err := x.top(root, top)
	if err != nil {
		return err
	}
	x.walk(top, 0, shift, 0)
	return nil
}

// radix is how the nodes of a kernel's xarrays or radix trees look.
type radix struct {
	*tree
	typ         *symbols.Type // of a node
	mark        uint64        // of a word that leads to a node
	slots       uint64        // offset
	fanout, log int           // slots of a node
	silent      bool          // a node does not know its shift
}

func (x *radix) shapeOfXArray() error {
	ts, err := x.k.Types()
	if err != nil {
		return err
	}
	x.mark = wordInternal
	if x.typ, err = symbols.Find(ts, "struct xa_node", "slots", "shift"); err != nil {
		return err
	}
	return x.shape()
}

func (x *radix) shapeOfRadix(root Object) error {
	m, err := root.Type.Member("rnode")
	if err != nil {
		return err
	}
	x.mark, x.typ = 1, m.Type().Underlying().Elem().Underlying()
	return x.shape()
}

func (x *radix) shape() error {
	m, err := x.typ.Member("slots")
	if err != nil {
		return err
	}
	_, err = x.typ.Member("shift")
	if x.silent = errors.Is(err, symbols.ErrNoMember); err != nil && !x.silent {
		return err
	}
	n := m.Type().Underlying().Count
	if x.slots, x.log = m.Offset/8, bits.Len64(n)-1; n < 2 || n > 1<<10 || n != 1<<x.log {
		return fmt.Errorf("nodes of %d slots: %w", n, phys.ErrUnsupported)
	}
	x.fanout = int(n)
	return nil
}

// node tells whether a word leads to a node. With mark 1, no word below a page does.
func (x *radix) node(e uint64) bool { return e&wordBits == x.mark && e > internalEnd }

// top is the shift of the topmost node.
func (x *radix) top(root Object, node uint64) (int, error) {
	o, path, log := root, "height", x.log
	if !x.silent {
		o, path, log = x.k.Object(x.typ, node), "shift", 1
	}
	n, err := o.Uint(path)
	if err != nil {
		return 0, err
	}
	if x.silent {
		n--
	}
	if n >= 64 || int(n)*log >= 64 {
		return 0, fmt.Errorf("%s %d: %w", path, n, phys.ErrCorrupt)
	}
	return int(n) * log, nil
}

// walk yields what is below a node whose first key is first, and whose slots have 1<<shift
// keys each.
func (x *radix) walk(node, first uint64, shift, depth int) bool {
	err := x.enter(node, depth)
	if err == nil && !x.silent {
		err = x.agrees(node, shift)
	}
	if err != nil {
		return x.fail(node, err)
	}
	slots, err := x.k.words(node+x.slots, x.fanout)
	for i := 0; i < len(slots); i++ {
		e, from := slots[i], first+uint64(i)<<shift
		for at := i; i+1 < len(slots) && x.sibling(slots[i+1], node, at); {
			i++
		}
		switch last := first + uint64(i+1)<<shift - 1; {
		case x.none(e):
		case shift > 0 && x.leads(e):
			if !x.walk(e&^wordBits, from, shift-x.log, depth+1) {
				return false
			}
		case !x.slot(e, from, last):
			return false
		}
	}
	return err == nil || x.fail(node, err)
}

// agrees looks whether a node is where it belongs: one that was freed has another shift.
func (x *radix) agrees(node uint64, shift int) error {
	own, err := x.k.Object(x.typ, node).Uint("shift")
	if err == nil && (shift < 0 || own != uint64(shift)) {
		err = fmt.Errorf("shift %d, not %d: %w", own, shift, phys.ErrCorrupt)
	}
	return err
}

// leads tells whether a word above the lowest nodes leads to a node: all do where only the
// word in the root is marked.
func (x *radix) leads(e uint64) bool {
	return x.node(e) || x.silent && e&wordBits != wordInternal && e > internalEnd
}

// sibling tells whether a word says only that the entry of slot i is here too.
func (x *radix) sibling(e, node uint64, i int) bool {
	if x.mark == wordInternal {
		return e == uint64(i)<<2|wordInternal
	}
	return e == node+x.slots+uint64(i*x.k.ptrSize())|x.mark
}

// none tells whether a slot has no entry: nothing, a place that is reserved, or a walk that
// is told to begin again (all ones before 4.6).
func (x *radix) none(e uint64) bool {
	if x.mark == wordInternal {
		return e == 0 || internal(e) && e <= internalEnd
	}
	return e == 0 || e == x.mark || e == x.k.clip(^uint64(0))
}

// slot yields the entry of a slot.
func (x *radix) slot(e, first, last uint64) bool {
	switch {
	case x.node(e):
		return x.fail(e&^wordBits, fmt.Errorf("a node below the last level: %w", phys.ErrCorrupt))
	case x.mark == wordInternal && e&1 != 0:
		return x.entry(first, last, e>>1, true)
	case x.mark != wordInternal && e&wordBits == 2:
		return x.entry(first, last, e>>2, true)
	}
	return x.entry(first, last, e, false)
}
