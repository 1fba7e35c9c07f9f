package sched

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// irqDescs yields the struct irq_desc by number.
func (r *reader) irqDescs(ctx context.Context, t *symbols.Type) func(func(kernel.Entry, error) bool) {
	if o, err := r.k.Global(r.ts, "sparse_irqs"); err == nil {
		return r.k.MapleTree(ctx, o, t)
	}
	if o, err := r.k.Global(r.ts, "irq_desc_tree"); err == nil {
		return r.k.XArray(ctx, o, t)
	}
	if _, err := r.k.Symbol("irq_desc"); errors.Is(err, symbols.ErrNoSymbol) { // it does not name its data
		if o, err := r.findSparseIRQs(ctx, t); err == nil {
			return r.k.MapleTree(ctx, o, t)
		}
		if o, err := r.findIRQDescTree(ctx, t); err == nil {
			return r.k.XArray(ctx, o, t)
		}
	}
	return func(yield func(kernel.Entry, error) bool) {
		array, err := r.k.Global(r.ts, "irq_desc")
		if err != nil {
			yield(kernel.Entry{}, fmt.Errorf("neither sparse_irqs nor irq_desc_tree: %w", err))
			return
		}
		s, err := r.k.Symbol("irq_desc")
		if err != nil {
			yield(kernel.Entry{}, err)
			return
		}
		const most = 1 << 16
		for i := uint64(0); i < min(s.Size/max(1, t.Size()), most); i++ {
			o, err := array.Index(i)
			if !yield(kernel.Entry{First: i, Last: i, Object: o}, err) || err != nil {
				return
			}
		}
	}
}

// findIRQDescTree finds irq_desc_tree in a kernel that does not name its data: the first
// node of an xarray leads back to it, and what is below are interrupts by their number.
func (r *reader) findIRQDescTree(ctx context.Context, t *symbols.Type) (kernel.Object, error) {
	tree, err := symbols.Find(r.ts, "struct xarray", "xa_head")
	if err != nil {
		return kernel.Object{}, err
	}
	node, err := r.k.Cast(0, "struct xa_node", "array", "parent")
	if err != nil {
		return kernel.Object{}, err
	}
	return r.k.Find(tree, "xa_head", func(v uint64) bool { return v&3 == 2 && v >= 1<<63 }, func(o kernel.Object) bool {
		at, err := o.Pointer("xa_head")
		if err != nil {
			return false
		}
		top := r.k.Object(node.Type, at-2)
		back, err := top.Pointer("array")
		if err != nil || back != o.Addr {
			return false
		}
		return ofIRQs(r.k.XArray(ctx, o, t))
	})
}

// findSparseIRQs finds sparse_irqs likewise: the first node of a maple tree has the tree for
// its parent (lib/maple_tree.c, ma_set_root).
func (r *reader) findSparseIRQs(ctx context.Context, t *symbols.Type) (kernel.Object, error) {
	tree, err := symbols.Find(r.ts, "struct maple_tree", "ma_root")
	if err != nil {
		return kernel.Object{}, err
	}
	node, err := r.k.Cast(0, "struct maple_node", "parent")
	if err != nil {
		return kernel.Object{}, err
	}
	const nodeBits = 0xff
	return r.k.Find(tree, "ma_root", func(v uint64) bool { return v&3 == 2 && v&nodeBits != 2 && v >= 1<<63 }, func(o kernel.Object) bool {
		at, err := o.Pointer("ma_root")
		if err != nil {
			return false
		}
		back, err := r.k.Object(node.Type, at&^nodeBits).Pointer("parent")
		return err == nil && back == o.Addr|1 && ofIRQs(r.k.MapleTree(ctx, o, t))
	})
}

// ofIRQs tells whether a container has interrupts by their number.
func ofIRQs(entries func(func(kernel.Entry, error) bool)) bool {
	const enough = 3
	n := 0
	for e, err := range entries {
		if err != nil || e.Number {
			return false
		}
		no, err := e.Uint("irq_data.irq")
		if err != nil || no != e.First {
			return false
		}
		if n++; n == enough {
			return true
		}
	}
	return false
}
