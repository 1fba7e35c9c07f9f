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

// IDR walks a struct idr in the order of its numbers: an xarray or radix tree since 4.11
// (0a835c4f090a) whose keys begin at idr_base (4.16 on), and layers of its own before.
// Objects are of type t. An error is about one node, and does not end the walk.
func (k *Kernel) IDR(ctx context.Context, idr Object, t *symbols.Type) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := k.tree(ctx, fmt.Sprintf("IDR at %#x", idr.Addr), t, yield)
		root, err := idr.Member("idr_rt")
		switch {
		case errors.Is(err, symbols.ErrNoMember):
			err = w.layers(idr)
		case err == nil:
			if w.base, err = idr.Uint("idr_base"); err == nil || errors.Is(err, symbols.ErrNoMember) {
				err = w.xarray(root)
			}
		}
		if err != nil {
			w.root(err)
		}
	}
}

// layers walks struct idr_layer, of which idr.layers stand below each other.
func (w *tree) layers(idr Object) error {
	top, err := idr.Pointer("top")
	if err != nil || top == 0 {
		return err
	}
	m, err := idr.Type.Member("top")
	if err != nil {
		return err
	}
	l := layers{tree: w}
	ary, err := m.Type().Underlying().Elem().Member("ary")
	if err != nil {
		return err
	}
	n := ary.Type().Underlying().Count
	if l.ary, l.log = ary.Offset/8, bits.Len64(n)-1; n < 2 || n > 1<<10 || n != 1<<l.log {
		return fmt.Errorf("layers of %d slots: %w", n, phys.ErrUnsupported)
	}
	height, err := idr.Uint("layers")
	if err != nil {
		return err
	}
	if height == 0 || height > 64/uint64(l.log) {
		return fmt.Errorf("%d layers: %w", height, phys.ErrCorrupt)
	}
	l.walk(top, 0, int(height)-1)
	return nil
}

type layers struct {
	*tree
	ary uint64 // offset
	log int    // slots of a layer
}

// walk yields what is below a layer; the lowest one is number 0.
func (l *layers) walk(at, first uint64, layer int) bool {
	if err := l.enter(at, 0); err != nil {
		return l.fail(at, err)
	}
	slots, err := l.k.words(at+l.ary, 1<<l.log)
	for i, e := range slots {
		key := first + uint64(i)<<(layer*l.log)
		switch {
		case e == 0:
		case layer > 0:
			if !l.walk(e, key, layer-1) {
				return false
			}
		case !l.entry(key, key, e, false):
			return false
		}
	}
	return err == nil || l.fail(at, err)
}
