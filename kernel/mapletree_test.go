package kernel_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/phys"
)

// mapleWord is a word that leads to a node.
func mapleWord(node, kind uint64) uint64 { return node | kind<<3 | 4 }

// TestMapleTree walks nodes of all kinds.
func TestMapleTree(t *testing.T) {
	m := wordMachine(t, false, 8)
	ts := tinyTypes(t)
	typ := find(t, ts, "struct maple_tree")
	root := m.make(typ)
	node := func(pivots, slots map[int]uint64, slot int) uint64 {
		m.next = (m.next + 255) &^ 255
		at := m.alloc(256)
		m.slots(at+8, pivots)
		m.slots(at+uint64(8*slot), slots)
		return at
	}
	const dense, leaf, inner, arange = 0, 1, 2, 3
	first := node(map[int]uint64{0: 0xf, 1: 0x1f, 2: 0x2f}, map[int]uint64{1: 0x1000, 2: 257<<2 | 2, 3: 0x2000}, 16)
	second := node(nil, map[int]uint64{0: 0x3000, 2: 0x4000, 30: 0x5000, 29: 13}, 1)
	last := node(map[int]uint64{0: 0x1ff}, map[int]uint64{0: 0x6000, 1: 0}, 16)
	middle := node(map[int]uint64{0: 0x3f, 1: 0x5d}, map[int]uint64{0: mapleWord(first, leaf), 1: mapleWord(second, dense)}, 16)
	top := node(map[int]uint64{0: 0x5d}, map[int]uint64{0: mapleWord(middle, inner), 1: mapleWord(last, leaf)}, 10)
	m.set(typ, root, "ma_root", top|arange<<3|2)
	k := m.typed(ts)
	got, err := entries(k.MapleTree(t.Context(), k.Object(typ, root), typ))
	want := []string{
		"16-31 at 0x1000", "48-63 at 0x2000", "64-64 at 0x3000", "66-66 at 0x4000", "93-93 is 6",
		"94-511 at 0x6000",
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

// TestMapleTreeRoot: a root can be an entry.
func TestMapleTreeRoot(t *testing.T) {
	for head, want := range map[uint64]string{0: "[]", 0x5000: "[0-0 at 0x5000]", 0x55: "[0-0 is 42]", 257<<2 | 2: "[]"} {
		m := wordMachine(t, false, 8)
		ts := tinyTypes(t)
		typ := find(t, ts, "struct maple_tree")
		root := m.make(typ)
		m.set(typ, root, "ma_root", head)
		k := m.typed(ts)
		if got, err := entries(k.MapleTree(t.Context(), k.Object(typ, root), typ)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%#x: %q, %v", head, got, err)
		}
	}
}

// TestMapleTreeDamaged: a node is told that is not there, leads back, is of no known kind,
// or has pivots that do not ascend; what is beside it is found.
func TestMapleTreeDamaged(t *testing.T) {
	m := newMachine(t)
	ts := tinyTypes(t)
	typ := find(t, ts, "struct maple_tree")
	root, page, gone := m.make(typ), m.page(), m.page()
	m.exclude(gone)
	top, bad, good := page, page+256, page+512
	m.set(typ, root, "ma_root", mapleWord(top, 2)|2)
	m.slots(top+8, map[int]uint64{0: 9, 1: 19, 2: 29, 3: 39, 4: 49, 5: 59})
	m.slots(top+128, map[int]uint64{
		0: mapleWord(gone, 1), 1: mapleWord(top, 1), 2: mapleWord(good+256, 9), 3: mapleWord(bad, 1), 4: 0, 5: mapleWord(good, 1),
	})
	m.slots(bad+8, map[int]uint64{0: 35, 1: 32})
	m.slots(bad+128, map[int]uint64{0: 0x1000, 1: 0x2000})
	m.slots(good+8, map[int]uint64{0: 59})
	m.slots(good+128, map[int]uint64{0: 0x3000})
	k := m.typed(ts)
	got, err := entries(k.MapleTree(t.Context(), k.Object(typ, root), typ))
	if d := cmp.Diff([]string{"30-35 at 0x1000", "50-59 at 0x3000"}, got); d != "" {
		t.Error(d)
	}
	if !errors.Is(err, phys.ErrExcluded) || !errors.Is(err, phys.ErrCorrupt) {
		t.Error(err)
	}
}
