package kernel

import (
	"context"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// MapleTree walks a struct maple_tree (6.1 on) in the order of its ranges. Objects are of
// type t. An error is about one node, and does not end the walk.
//
// A word that leads to a node (lib/maple_tree.c), which is aligned to 256 bytes:
//
//	| address | type, 4 bits | 0x4: full | 0x2: root | 0 |
//
// Slot i of a node holds the keys behind pivot i-1 up to pivot i; a pivot that is 0 or not
// there is the last key of the node. The slots of a dense node hold a key each.
func (k *Kernel) MapleTree(ctx context.Context, root Object, t *symbols.Type) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := k.tree(ctx, fmt.Sprintf("maple tree at %#x", root.Addr), t, yield)
		if err := w.maple(root); err != nil {
			w.root(err)
		}
	}
}

// MapleNodes is MapleTree from a word on that leads to a node, as the nodes above hold it:
// its lowest byte tells what kind the node is. The keys begin at 0.
func (k *Kernel) MapleNodes(ctx context.Context, word uint64, t *symbols.Type) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		m := maple{tree: k.tree(ctx, fmt.Sprintf("maple node at %#x", word), t, yield)}
		if err := m.shape(); err != nil {
			m.root(err)
			return
		}
		m.walk(word, 0, k.clip(^uint64(0)), 0)
	}
}

// maple yields all entries; an error is about the root.
func (w *tree) maple(root Object) error {
	head, err := root.Pointer("ma_root")
	if err != nil || head == 0 {
		return err
	}
	m := maple{tree: w}
	if !internal(head) || head <= internalEnd {
		m.slot(head, 0, 0)
		return nil
	}
	if err := m.shape(); err != nil {
		return err
	}
	m.walk(head, 0, w.k.clip(^uint64(0)), 0)
	return nil
}

// The numbers of enum maple_type: those below mapleRange are of leaves.
const (
	mapleDense = iota
	mapleLeaf
	mapleRange
	mapleArange
	mapleTypes

	mapleMask  = 0xff // of a word, what is no address
	mapleShift = 3    // to its type
	mapleType  = 0xf
)

// maple is how the nodes of a kernel's maple trees look.
type maple struct {
	*tree
	size  int // bytes of the longest node
	nodes [mapleTypes]mapleNode
}

// mapleNode is one kind of node: where its words are and how many.
type mapleNode struct{ pivot, pivots, slot, slots int }

func (m *maple) shape() error {
	ts, err := m.k.Types()
	if err != nil {
		return err
	}
	t, err := symbols.Find(ts, "struct maple_node", "mr64", "ma64")
	if err != nil {
		return err
	}
	for i, at := range [mapleTypes]string{mapleDense: "", mapleLeaf: "mr64.", mapleRange: "mr64.", mapleArange: "ma64."} {
		n := &m.nodes[i]
		if n.slot, n.slots, err = m.array(t, at+"slot"); err != nil {
			return err
		}
		if i == mapleDense {
			continue
		}
		if n.pivot, n.pivots, err = m.array(t, at+"pivot"); err != nil {
			return err
		}
	}
	return nil
}

// array tells where an array of words begins in a node, and how many it has, in words.
func (m *maple) array(t *symbols.Type, path string) (first, n int, err error) {
	a, err := t.Member(path)
	if err != nil {
		return 0, 0, err
	}
	word := uint64(m.k.ptrSize())
	at, count := a.Offset/8/word, a.Type().Underlying().Count
	if at+count > (mapleMask+1)/word {
		return 0, 0, fmt.Errorf("%s of %v: %d words: %w", path, t, count, phys.ErrUnsupported)
	}
	m.size = max(m.size, int(at+count))
	return int(at), int(count), nil
}

// walk yields what is below a word that leads to a node, which has the keys first to last.
func (m *maple) walk(word, first, last uint64, depth int) bool {
	node, kind := word&^mapleMask, word>>mapleShift&mapleType
	err := m.enter(node, depth)
	if err == nil && kind >= mapleTypes {
		err = fmt.Errorf("type %d: %w", kind, phys.ErrCorrupt)
	}
	if err != nil {
		return m.fail(node, err)
	}
	words, err := m.k.words(node, m.size)
	n := m.nodes[kind]
	for i := 0; i < n.slots && n.slot+i < len(words); i++ {
		end := last
		switch {
		case kind == mapleDense:
			end = first
		case i < n.pivots && (i == 0 || words[n.pivot+i] != 0):
			end = words[n.pivot+i]
		}
		if end < first || end > last {
			return m.fail(node, fmt.Errorf("pivot %d is %#x, of %#x to %#x: %w", i, end, first, last, phys.ErrCorrupt))
		}
		if !m.visit(words[n.slot+i], first, end, kind, depth) {
			return false
		}
		if first = end + 1; end == last {
			return true
		}
	}
	return err == nil || m.fail(node, err)
}

// visit yields what is in a slot: an entry, or the entries of the node below.
func (m *maple) visit(word, first, last, kind uint64, depth int) bool {
	if kind < mapleRange {
		return m.slot(word, first, last)
	}
	return word == 0 || m.walk(word, first, last, depth+1)
}

// slot yields an entry, where there is one: not in a gap, nor in a place that is reserved.
func (m *maple) slot(e, first, last uint64) bool {
	switch {
	case e == 0 || internal(e) && e <= internalEnd:
		return true
	case e&1 != 0:
		return m.entry(first, last, e>>1, true)
	}
	return m.entry(first, last, e, false)
}
