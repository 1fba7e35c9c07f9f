package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Entry is what an xarray, an IDR or a maple tree keeps under a key, or under all keys of a
// range.
type Entry struct {
	First, Last uint64 // the keys: both belong to the entry
	Object             // what it leads to
	Number      bool   // it leads nowhere: Addr is a number that is kept itself (xa_mk_value)
}

// maxEntries bounds a tree: an xarray holds a file's pages, and 64 Mi of them are 256 GiB.
const maxEntries = 1 << 26

// maxLevels bounds nodes below nodes: a key of 64 bits is told by 11 nodes of an xarray, and
// a maple tree has at most 31 (MAPLE_HEIGHT_MAX).
const maxLevels = 64

// tree is a walk over nodes that have one parent each. What cannot be read is an error, and
// the walk goes on beside it.
type tree struct {
	ctx   context.Context
	k     *Kernel
	what  string
	base  uint64 // added to keys
	t     *symbols.Type
	seen  map[uint64]bool // nodes
	count int
	yield func(Entry, error) bool
}

func (k *Kernel) tree(ctx context.Context, what string, t *symbols.Type, yield func(Entry, error) bool) *tree {
	return &tree{ctx: ctx, k: k, what: what, t: t, seen: map[uint64]bool{}, yield: yield}
}

// enter tells why a node cannot be looked at, and remembers it.
func (w *tree) enter(node uint64, depth int) error {
	err := cut(w.ctx, nil, w.seen, node)
	if err == nil && depth > maxLevels {
		err = fmt.Errorf("more than %d levels: %w", maxLevels, phys.ErrCorrupt)
	}
	w.seen[node] = true
	return err
}

// fail yields an error, and tells whether the walk goes on.
func (w *tree) fail(node uint64, err error) bool {
	w.count++
	return w.yield(Entry{}, fmt.Errorf("%s, node %#x: %w", w.what, node, err)) &&
		w.ctx.Err() == nil && !errors.Is(err, phys.ErrLimit)
}

// root yields an error about the whole tree.
func (w *tree) root(err error) { w.yield(Entry{}, fmt.Errorf("%s: %w", w.what, err)) }

// entry yields an entry, and tells whether the walk goes on.
func (w *tree) entry(first, last, at uint64, number bool) bool {
	if w.count++; w.count > maxEntries {
		w.yield(Entry{}, fmt.Errorf("%s: more than %d entries: %w", w.what, maxEntries, phys.ErrLimit))
		return false
	}
	return w.yield(Entry{First: w.base + first, Last: w.base + last, Object: w.k.Object(w.t, at), Number: number}, nil)
}

// words reads n longs; with an error come those before the absence.
func (k *Kernel) words(va uint64, n int) ([]uint64, error) {
	size := k.ptrSize()
	p := make([]byte, n*size)
	got, err := k.ReadVirt(p, va)
	list := make([]uint64, got/size)
	for i := range list {
		list[i] = bin.Uint(p[i*size:][:size], k.dump.Header.Order)
	}
	return list, err
}

// Both xarrays and maple trees tell by the two lowest bits what a word is.
const (
	wordBits     = 3
	wordInternal = 2    // and below internalEnd a mark of the tree's own
	internalEnd  = 4096 // above it the address of a node
)

// internal tells whether a word of an xarray or a maple tree belongs to the tree.
func internal(e uint64) bool { return e&wordBits == wordInternal }
