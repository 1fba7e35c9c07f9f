package sched

import (
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestFound: what is found by its shape is what the symbols lead to, where there are some.
func TestFound(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if testing.Short() && g.Name != "tiny" {
			t.Skip("looks at whole images: not with -short")
		}
		r, err := newReader(t.Context(), g.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		desc, err := symbols.Find(r.ts, "struct irq_desc", "irq_data")
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]uint64{}
		tree, err1 := r.findIRQDescTree(t.Context(), desc)
		sparse, err2 := r.findSparseIRQs(t.Context(), desc)
		found["irq_desc_tree"], found["sparse_irqs"] = tree.Addr, sparse.Addr
		if (err1 == nil) == (err2 == nil) {
			t.Errorf("irq_desc_tree %#x (%v) and sparse_irqs %#x (%v)", tree.Addr, err1, sparse.Addr, err2)
		}
		action, err := symbols.Find(r.ts, "struct softirq_action", "action")
		if err != nil {
			t.Fatal(err)
		}
		if found["softirq_vec"], err = r.findSoftIRQs(action, symbols.ErrNoSymbol); err != nil {
			t.Error(err)
		}
		wheels, err := r.findWheels(t.Context())
		if err != nil || len(wheels) != 2 {
			t.Fatalf("wheels of %d CPUs: %v", len(wheels), err)
		}
		for name, at := range found {
			s, err := g.Symbol(name)
			if errors.Is(err, symbols.ErrNoSymbol) {
				continue
			}
			if err != nil || s.Addr != at {
				t.Errorf("%s at %#x, found at %#x: %v", name, s.Addr, at, err)
			}
		}
		named, err := r.wheels(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for cpu := range wheels {
			if len(wheels[cpu]) != len(named[cpu]) || wheels[cpu][0].Addr != named[cpu][0].Addr {
				t.Errorf("CPU %d: %d wheels from %#x on, found %d from %#x on", cpu, len(named[cpu]), named[cpu][0].Addr, len(wheels[cpu]), wheels[cpu][0].Addr)
			}
		}
	})
}
