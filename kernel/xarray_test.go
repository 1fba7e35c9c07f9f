package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// The structures as their kernels have them.
const (
	xarrayTypes = `struct xarray { int xa_lock; int xa_flags; char *xa_head; }
		struct xa_node { char shift; char offset; char count; char nr_values; xa_node *parent; xarray *array; long list[2]; char *slots[64]; long marks[3]; }
		struct idr { struct xarray idr_rt; int idr_base; int idr_next; }`
	radix419Types = `struct radix_tree_root { int xa_lock; int gfp_mask; struct radix_tree_node *rnode; }
		struct radix_tree_node { char shift; char offset; char count; char exceptional; struct radix_tree_node *parent; struct radix_tree_root *root; long list[2]; char *slots[64]; long tags[3]; }
		struct idr { struct radix_tree_root idr_rt; int idr_base; int idr_next; }`
	radix32Types = `struct radix_tree_root { int height; int gfp_mask; struct radix_tree_node *rnode; }
		struct radix_tree_node { int height; int count; long rcu[2]; char *slots[64]; long tags[2]; }
		struct idr { struct idr_layer *top; struct idr_layer *id_free; int layers; int id_free_cnt; }
		struct idr_layer { long bitmap; struct idr_layer *ary[64]; int count; int layer; }`
)

// entries are what a walk yields, as text, and its errors.
func entries(list iter.Seq2[kernel.Entry, error]) (got []string, err error) {
	for e, eerr := range list {
		switch {
		case eerr != nil:
			err = errors.Join(err, eerr)
		case e.Number:
			got = append(got, fmt.Sprintf("%d-%d is %d", e.First, e.Last, e.Addr))
		default:
			got = append(got, fmt.Sprintf("%d-%d at %#x", e.First, e.Last, e.Addr))
		}
	}
	return got, err
}

// wordMachine is a machine without page tables, with that width and byte order.
func wordMachine(t testing.TB, big bool, word int) *machine {
	if word == 4 {
		return bareMachine(t, "armv7l", binary.LittleEndian, 4, 0xc0000000, 0xc0008000)
	}
	if big {
		return bareMachine(t, "s390x", binary.BigEndian, 8, 1<<40, 1<<40+0x8000)
	}
	return bareMachine(t, "aarch64", binary.LittleEndian, 8, 1<<40, 1<<40+0x8000)
}

// slots writes words to the slots of a node by their index.
func (m *machine) slots(at uint64, words map[int]uint64) {
	for i, v := range words {
		m.put(at+uint64(i*m.word), m.long(v))
	}
}

// TestXArray walks every word that an xarray can have.
func TestXArray(t *testing.T) {
	for _, big := range []bool{false, true} {
		m := wordMachine(t, big, 8)
		ts := cTypes(t, m.order, m.word, xarrayTypes)
		node, root := find(t, ts, "struct xa_node"), m.make(find(t, ts, "struct xarray"))
		top, low, high := m.make(node), m.make(node), m.make(node)
		m.set(find(t, ts, "struct xarray"), root, "xa_head", top|2)
		m.set(node, top, "shift", 6)
		m.slots(top+40, map[int]uint64{0: low | 2, 1: 0x7000, 2: 1<<2 | 2, 3: high | 2, 63: 0x8001})
		m.slots(low+40, map[int]uint64{0: 0x1000, 4: 0x2000, 5: 4<<2 | 2, 6: 4<<2 | 2, 7: 0x3000, 8: 257<<2 | 2, 9: 256<<2 | 2, 10: 15})
		m.slots(high+40, map[int]uint64{63: 0x4000})
		k := m.typed(ts)
		array := k.Object(find(t, ts, "struct xarray"), root)
		got, err := entries(k.XArray(t.Context(), array, find(t, ts, "struct idr")))
		want := []string{
			"0-0 at 0x1000", "4-6 at 0x2000", "7-7 at 0x3000", "10-10 is 7",
			"64-191 at 0x7000", "255-255 at 0x4000", "4032-4095 is 16384",
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
	}
}

// TestXArrayRoot: one entry under key 0 needs no node.
func TestXArrayRoot(t *testing.T) {
	for head, want := range map[uint64][]string{0: nil, 0x5000: {"0-0 at 0x5000"}, 0x55: {"0-0 is 42"}} {
		m := wordMachine(t, false, 8)
		ts := cTypes(t, m.order, m.word, xarrayTypes)
		root := m.make(find(t, ts, "struct xarray"))
		m.set(find(t, ts, "struct xarray"), root, "xa_head", head)
		k := m.typed(ts)
		got, err := entries(k.XArray(t.Context(), k.Object(find(t, ts, "struct xarray"), root), find(t, ts, "struct idr")))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%#x: %q, %v", head, got, err)
		}
	}
}

// TestRadixTree walks the two forms from before xarrays, the older one on 32 bits.
func TestRadixTree(t *testing.T) {
	m := wordMachine(t, false, 8)
	ts := cTypes(t, m.order, m.word, radix419Types)
	typ, node := find(t, ts, "struct radix_tree_root"), find(t, ts, "struct radix_tree_node")
	root, top, low := m.make(typ), m.make(node), m.make(node)
	m.set(typ, root, "rnode", top|1)
	m.set(node, top, "shift", 6)
	m.slots(top+40, map[int]uint64{1: low | 1, 2: 0x6000, 3: (top + 40 + 2*8) | 1})
	m.slots(low+40, map[int]uint64{0: 0x1000, 1: 1, 2: 9<<2 | 2, 3: 0x2000, 4: (low + 40 + 3*8) | 1})
	k := m.typed(ts)
	got, err := entries(k.XArray(t.Context(), k.Object(typ, root), typ))
	want := []string{"64-64 at 0x1000", "66-66 is 9", "67-68 at 0x2000", "128-255 at 0x6000"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("4.19: %v\n%s", err, d)
	}

	m = wordMachine(t, false, 4)
	ts = cTypes(t, m.order, m.word, radix32Types)
	typ, node = find(t, ts, "struct radix_tree_root"), find(t, ts, "struct radix_tree_node")
	root, top, low = m.make(typ), m.make(node), m.make(node)
	m.set(typ, root, "height", 2)
	m.set(typ, root, "rnode", top|1)
	m.slots(top+16, map[int]uint64{2: low})
	m.slots(low+16, map[int]uint64{0: 0x1000, 1: 9<<2 | 2, 2: 0xffffffff, 63: 0x2000})
	k = m.typed(ts)
	got, err = entries(k.XArray(t.Context(), k.Object(typ, root), typ))
	want = []string{"128-128 at 0x1000", "129-129 is 9", "191-191 at 0x2000"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("2.6.32: %v\n%s", err, d)
	}
}

// TestIDR walks IDRs with a base, and those of layers.
func TestIDR(t *testing.T) {
	for _, types := range []string{xarrayTypes, radix419Types} {
		m := wordMachine(t, false, 8)
		ts := cTypes(t, m.order, m.word, types)
		typ := find(t, ts, "struct idr")
		idr := m.make(typ)
		m.set(typ, idr, "idr_base", 100)
		m.put(idr+8, m.long(0x9000))
		k := m.typed(ts)
		got, err := entries(k.IDR(t.Context(), k.Object(typ, idr), typ))
		if err != nil || !slices.Equal(got, []string{"100-100 at 0x9000"}) {
			t.Errorf("%q, %v", got, err)
		}
	}
	m := wordMachine(t, false, 4)
	ts := cTypes(t, m.order, m.word, radix32Types)
	typ, layer := find(t, ts, "struct idr"), find(t, ts, "struct idr_layer")
	idr, top, low := m.make(typ), m.make(layer), m.make(layer)
	m.set(typ, idr, "top", top)
	m.set(typ, idr, "layers", 2)
	m.set(layer, top, "ary[3]", low)
	m.set(layer, low, "ary[5]", 0xc1)
	k := m.typed(ts)
	got, err := entries(k.IDR(t.Context(), k.Object(typ, idr), typ))
	if err != nil || !slices.Equal(got, []string{"197-197 at 0xc1"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestXArrayDamaged: what cannot be read is told with its reason, and what is beside it is
// found.
func TestXArrayDamaged(t *testing.T) {
	m := newMachine(t)
	ts := cTypes(t, m.order, m.word, xarrayTypes)
	typ, node := find(t, ts, "struct xarray"), find(t, ts, "struct xa_node")
	root, top, good, bad := m.make(typ), m.make(node), m.make(node), m.make(node)
	gone, lost, cut := m.page(), m.page(), m.page()
	m.exclude(gone)
	m.lose(lost)
	m.set(typ, root, "xa_head", top|2)
	m.set(node, top, "shift", 6)
	m.set(node, bad, "shift", 12)
	half := cut + pageSize - 40 - 8*8
	m.page()
	m.lose(cut + pageSize)
	m.put(half+40, m.long(0x3000))
	m.slots(top+40, map[int]uint64{0: good | 2, 1: bad | 2, 2: gone | 2, 3: lost | 2, 4: top | 2, 5: half | 2, 6: 0x2000})
	m.slots(good+40, map[int]uint64{0: 0x1000, 1: good | 2})
	k := m.typed(ts)
	got, err := entries(k.XArray(t.Context(), k.Object(typ, root), typ))
	if d := cmp.Diff([]string{"0-0 at 0x1000", "320-320 at 0x3000", "384-447 at 0x2000"}, got); d != "" {
		t.Error(d)
	}
	for _, reason := range []error{phys.ErrCorrupt, phys.ErrExcluded, phys.ErrLost} {
		if !errors.Is(err, reason) {
			t.Errorf("%v is not among %v", reason, err)
		}
	}
	ctx, cancel := contextAfter(t)
	cancel()
	if _, err := entries(k.XArray(ctx, k.Object(typ, root), typ)); !errors.Is(err, ctx.Err()) {
		t.Errorf("cancelled: %v", err)
	}
}
