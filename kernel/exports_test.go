package kernel_test

import (
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestExports hides the variables of a kernel that names them, and looks for those that it
// exports: each must lie where kallsyms says. In a kernel that really has none the types
// tell whether what was found is right.
func TestExports(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		all, err := g.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		if g.Name == "arm64" {
			exportsByTypes(t, g)
			return
		}
		if g.Exports() != nil {
			t.Error("a kernel that names its data is not asked for exports")
		}
		etext, err := g.Symbol("_etext")
		if err != nil {
			t.Fatal(err)
		}
		var functions []symbols.Symbol
		for s := range all.All() {
			if s.Type|0x20 == 't' && s.Addr < etext.Addr {
				functions = append(functions, s)
			}
		}
		space, err := g.Space()
		if err != nil {
			t.Fatal(err)
		}
		im := symbols.Image{}
		im.Start, im.End = space.ImageRange()
		found, err := symbols.Exports(g.Kernel, im, symbols.New(functions))
		if err != nil {
			t.Fatal(err)
		}
		for s := range found.All() {
			same := false
			for want := range all.Named(s.Name) {
				same = same || want.Addr == s.Addr
			}
			if !same {
				t.Errorf("%s at %#x", s.Name, s.Addr)
			}
		}
		if _, err := found.Lookup("init_task"); err != nil || found.Len() < 100 {
			t.Errorf("%d exported variables, %v", found.Len(), err)
		}
	})
}

// exportsByTypes follows pointers from exported variables.
func exportsByTypes(t *testing.T, g guesttest.Guest) {
	t.Helper()
	ts, err := g.Types()
	if err != nil {
		t.Fatal(err)
	}
	task, err := g.Global(ts, "init_task")
	if err != nil {
		t.Fatal(err)
	}
	if comm, err := task.Text("comm"); comm != "swapper/0" || err != nil {
		t.Errorf("init_task is %q, %v", comm, err)
	}
	node, err := g.Global(ts, "node_data")
	if err != nil {
		t.Fatal(err)
	}
	if first, err := node.Index(0); err != nil {
		t.Error(err)
	} else if first, err = first.Follow(); err != nil {
		t.Error(err)
	} else if id, err := first.Int("node_id"); id != 0 || err != nil {
		t.Errorf("the first node is %d, %v", id, err)
	}
	info, err := g.Info()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Symbol("node_states"); err != nil {
		t.Error(err)
	}
	if s, err := g.Symbol("vm_node_stat"); err != nil || s.Addr == 0 || info == nil {
		t.Error(s, err)
	}
}
