package kernel_test

import (
	"context"
	"iter"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// FuzzTrees walks containers of all kinds through memory whose words lead to each other with
// any marks: every walk ends, and every error has its reason.
func FuzzTrees(f *testing.F) {
	ts := tinyTypes(f)
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 0x83, 0x92, 0xa1, 0xb0})
	f.Add([]byte("any text is a graph of nodes whose slots lead to each other"))
	f.Fuzz(func(t *testing.T, words []byte) {
		m := newMachine(t)
		at := m.pages(4)
		for i, c := range words[:min(len(words), 2048)] {
			v := at + uint64(c>>3)<<8
			m.put(at+uint64(8*i), m.long([]uint64{0, v, v | 1, v | 2, mapleWord(v, uint64(c>>3)%5), uint64(c) << 6, uint64(c), v + 8}[c%8]))
		}
		k := m.typed(ts)
		ctx, cancel := context.WithTimeout(t.Context(), fuzzTime)
		defer cancel()
		array, maple, idr := find(t, ts, "struct xarray"), find(t, ts, "struct maple_tree"), find(t, ts, "struct idr")
		task := find(t, ts, "struct task_struct")
		for root := at; root < at+512; root += 64 {
			walkAll(t, k.XArray(ctx, k.Object(array, root), task))
			walkAll(t, k.MapleTree(ctx, k.Object(maple, root), task))
			walkAll(t, k.IDR(ctx, k.Object(idr, root), task))
			walkAll(t, k.RBTree(ctx, root, task, "se.run_node"))
			walkAll(t, k.HList(ctx, root, task, "pid_links[0]"))
			walkAll(t, k.HListBL(ctx, root, task, "pid_links[0]"))
			walkAll(t, k.List(ctx, root, task, "tasks"))
		}
		if ctx.Err() != nil {
			t.Error(ctx.Err())
		}
	})
}

// walkAll goes to the end of a walk.
func walkAll[T kernel.Entry | kernel.Object](t *testing.T, list iter.Seq2[T, error]) {
	t.Helper()
	n := 0
	for _, err := range list {
		if n++; err != nil && phys.Reason(err) == nil {
			t.Errorf("an error without a reason: %v", err)
		}
	}
	if n > 1<<16 { // the memory has 2048 words
		t.Errorf("%d entries and errors", n)
	}
}
