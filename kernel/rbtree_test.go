package kernel_test

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// itemTypes: something that is in a tree and on lists.
const itemTypes = `struct rb_node { long __rb_parent_color; struct rb_node *rb_right; struct rb_node *rb_left; }
	struct rb_node_linked { struct rb_node node; struct rb_node_linked *prev; struct rb_node_linked *next; }
	struct hlist_node { struct hlist_node *next; struct hlist_node *pprev; }
	struct item { long key; struct rb_node rb; struct rb_node_linked linked; struct hlist_node link; }`

// keys are those of the items that a walk yields.
func keys(t *testing.T, list iter.Seq2[kernel.Object, error]) (got []uint64, err error) {
	t.Helper()
	for o, oerr := range list {
		if oerr != nil {
			err = errors.Join(err, oerr)
			continue
		}
		key, kerr := o.Uint("key")
		if kerr != nil {
			t.Error(kerr)
		}
		got = append(got, key)
	}
	return got, err
}

// TestRBTree walks a tree of two shapes of nodes, on 32 and 64 bits.
func TestRBTree(t *testing.T) {
	for _, word := range []int{4, 8} {
		for member, links := range map[string]string{"rb": "rb.", "linked": "linked.node."} {
			m := wordMachine(t, false, word)
			ts := cTypes(t, m.order, m.word, itemTypes)
			item, root := find(t, ts, "struct item"), m.alloc(16)
			node, err := item.Member(member)
			if err != nil {
				t.Fatal(err)
			}
			var build func(from, to uint64) uint64 // a balanced tree of these keys
			build = func(from, to uint64) uint64 {
				if from == to {
					return 0
				}
				at, mid := m.make(item), (from+to)/2
				m.set(item, at, "key", mid)
				m.set(item, at, links+"rb_left", build(from, mid))
				m.set(item, at, links+"rb_right", build(mid+1, to))
				return at + node.Offset/8
			}
			m.put(root, m.long(build(0, 100)))
			k := m.typed(ts)
			got, err := keys(t, k.RBTree(t.Context(), root, item, member))
			if len(got) != 100 || !slices.IsSorted(got) || err != nil {
				t.Errorf("%s, %d bytes: %d, %v", member, word, got, err)
			}
		}
	}
}

// TestRBTreeDamaged: a node that is lost costs what is below it.
func TestRBTreeDamaged(t *testing.T) {
	m := newMachine(t)
	ts := cTypes(t, m.order, m.word, itemTypes)
	item, root := find(t, ts, "struct item"), m.alloc(16)
	var at [5]uint64
	for i := range at {
		at[i] = m.make(item)
		m.set(item, at[i], "key", uint64(i))
	}
	gone := m.page()
	m.exclude(gone)
	m.put(root, m.long(at[2]+8))
	m.set(item, at[2], "rb.rb_left", at[0]+8)
	m.set(item, at[0], "rb.rb_right", gone)
	m.set(item, at[2], "rb.rb_right", at[4]+8)
	m.set(item, at[4], "rb.rb_left", at[3]+8)
	m.set(item, at[3], "rb.rb_left", at[2]+8)
	m.set(item, at[4], "rb.rb_right", at[1]+8)
	k := m.typed(ts)
	got, err := keys(t, k.RBTree(t.Context(), root, item, "rb"))
	if !slices.Equal(got, []uint64{0, 2, 3, 4, 1}) || !errors.Is(err, phys.ErrExcluded) || !errors.Is(err, phys.ErrCorrupt) {
		t.Error(got, err)
	}
	for range k.RBTree(t.Context(), root, item, "rb") {
		break
	}
	ctx, cancel := contextAfter(t)
	cancel()
	if got, err := keys(t, k.RBTree(ctx, root, item, "rb")); len(got) != 0 || !errors.Is(err, ctx.Err()) {
		t.Error(got, err)
	}
	if _, err := keys(t, k.RBTree(t.Context(), gone, item, "rb")); !errors.Is(err, phys.ErrExcluded) {
		t.Error(err)
	}
}

// TestHList walks lists with an end, and one with a lock in its head.
func TestHList(t *testing.T) {
	m := newMachine(t)
	ts := cTypes(t, m.order, m.word, itemTypes)
	item, head := find(t, ts, "struct item"), m.alloc(32)
	link, err := item.Member("link")
	if err != nil {
		t.Fatal(err)
	}
	a, b := m.make(item), m.make(item)
	m.set(item, a, "key", 1)
	m.set(item, b, "key", 2)
	m.set(item, a, "link.next", b+link.Offset/8)
	m.put(head, m.long(a+link.Offset/8))
	m.put(head+8, m.long(a+link.Offset/8|1))
	for _, end := range []uint64{0, 15, a + link.Offset/8} {
		m.set(item, b, "link.next", end)
		k := m.typed(ts)
		got, err := keys(t, k.HList(t.Context(), head, item, "link"))
		if !slices.Equal(got, []uint64{1, 2}) || errors.Is(err, phys.ErrCorrupt) != (end > 15) {
			t.Errorf("end %#x: %d, %v", end, got, err)
		}
		if got, err = keys(t, k.HListBL(t.Context(), head+8, item, "link")); end == 0 && (len(got) != 2 || err != nil) {
			t.Errorf("with a lock: %d, %v", got, err)
		}
	}
}

// TestLinks walks lists by addresses alone: rings with their head and without, forwards and
// backwards, and lists that end.
func TestLinks(t *testing.T) {
	m := newMachine(t)
	head, a, b := m.alloc(16), m.alloc(32)+16, m.alloc(32)+16
	link := func(at, next, prev uint64) {
		m.put(at, m.long(next))
		m.put(at+8, m.long(prev))
	}
	link(head, a, b)
	link(a, b, head)
	link(b, head, a)
	single := m.alloc(16)
	link(single, single+8, 0)
	k := m.kernel()
	for _, c := range []struct {
		what string
		l    kernel.Link
		want []uint64
	}{
		{"from the head", kernel.Link{First: head, Head: true, Back: 16}, []uint64{a - 16, b - 16}},
		{"backwards", kernel.Link{First: head, Head: true, Back: 16, Next: 8}, []uint64{b - 16, a - 16}},
		{"from an element", kernel.Link{First: a}, []uint64{a, b, head}},
		{"to an end", kernel.Link{First: a, End: head}, []uint64{a, b}},
		{"to NULL", kernel.Link{First: single}, []uint64{single, single + 8}},
		{"nothing", kernel.Link{}, nil},
	} {
		var got []uint64
		for at, err := range k.Links(t.Context(), c.l) {
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			got = append(got, at)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %#x, not %#x", c.what, got, c.want)
		}
	}
	link(b, a, a)
	link(single, b, 0)
	k = m.kernel()
	var err error
	for _, err = range k.Links(t.Context(), kernel.Link{First: single}) {
		if err != nil {
			break
		}
	}
	if !errors.Is(err, phys.ErrCorrupt) {
		t.Errorf("a list that does not come back to its first element: %v", err)
	}
}
