package mm_test

import (
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

// TestPlaces asks for addresses that every guest has.
func TestPlaces(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		m := mm.New(g.Kernel)
		describe := func(va uint64, kind mm.PlaceKind, says string) mm.Place {
			t.Helper()
			p := m.Describe(t.Context(), va)
			if p.Kind != kind || !strings.Contains(p.Text, says) || p.Why != nil && g.Name != "arm64" {
				t.Errorf("%#x: %s, %q, %v; want %s, %q", va, p.Kind, p.Text, p.Why, kind, says)
			}
			return p
		}
		init := guesttest.Tasks(t, g.Kernel)[1]
		if p := describe(init.Addr, mm.PlaceSlab, ": task 1 ("); p.Task == nil || p.Task.PID != 1 || p.Slab.Addr != init.Addr {
			t.Errorf("task_struct of init: %+v", p)
		}
		if p := describe(init.Addr+72, mm.PlaceSlab, "0x48 into it"); p.Offset != 72 {
			t.Errorf("offset %d", p.Offset)
		}
		at, err := init.Pointer("stack")
		if err != nil {
			t.Fatal(err)
		}
		if p := describe(at+16384-0x100, mm.PlaceStack, "kernel stack of task 1 ("); p.Task.PID != 1 || p.Offset != 16384-0x100 {
			t.Errorf("stack of init: %+v", p)
		}
		if p := describe(structPage(t, m, init.Addr), mm.PlaceStructPage, "slab of task_struct"); p.Page.Type != "slab" {
			t.Errorf("struct page: %+v", p.Page)
		}
		moduleFunction(t, g, describe)
		describe(0, mm.PlaceNull, "NULL")
		describe(0x28, mm.PlaceNull, "NULL + 0x28")
		describe(^uint64(21), mm.PlaceError, "ERR_PTR(-EINVAL)")
		describe(0xdead000000000100, mm.PlacePoison, "LIST_POISON1")
		describe(0xdead000000000122+8, mm.PlacePoison, "LIST_POISON2+0x8")
		describe(0x6b6b6b6b6b6b6b6b+0x38, mm.PlacePoison, "POISON_FREE+0x38")
		describe(0xa56b6b6b6b6b6b6b, mm.PlacePoison, "freed")
		describe(0x4141414141414141, mm.PlaceNonCanonical, `"AAAAAAAA"`)
		describe(0x00007f0012345678, mm.PlaceUser, "user space")
		vmallocArea(t, g, m, describe)
	})
}

// structPage is the address of the struct page of a slab's first frame.
func structPage(t *testing.T, m *mm.Memory, va uint64) uint64 {
	t.Helper()
	o, err := m.ObjectAt(t.Context(), va)
	if err != nil {
		t.Fatal(err)
	}
	return o.Page.Addr
}

type describer func(va uint64, kind mm.PlaceKind, says string) mm.Place

// moduleFunction asks for a function of the first module that has one.
func moduleFunction(t *testing.T, g guesttest.Guest, describe describer) {
	t.Helper()
	mods, err := g.Modules(t.Context())
	if err != nil || len(mods) == 0 {
		t.Fatal(len(mods), err)
	}
	for s := range mods[0].Symbols.All() {
		if s.Type|0x20 == 't' && s.Size > 8 && !strings.HasPrefix(s.Name, "__pfx_") && !strings.Contains(s.Name, "$") {
			if p := describe(s.Addr+4, mm.PlaceModule, "code of module "+mods[0].Name); p.Module != mods[0].Name || p.Symbol == nil {
				t.Errorf("%+v", p)
			}
			return
		}
	}
	t.Errorf("module %s has no function", mods[0].Name)
}

// vmallocArea asks for an area that is no stack and no module, and for its guard page.
func vmallocArea(t *testing.T, g guesttest.Guest, m *mm.Memory, describe describer) {
	t.Helper()
	areas, err := m.Areas(t.Context())
	if err != nil || len(areas) < 20 {
		t.Fatal(len(areas), err)
	}
	for _, a := range areas {
		if a.Flags&2 == 0 || a.Pages == 0 || m.Describe(t.Context(), a.Start).Kind != mm.PlaceVmalloc {
			continue
		}
		if p := describe(a.Start+8, mm.PlaceVmalloc, "vmalloc by "); p.Area.Start != a.Start || p.Offset != 8 || p.Phys == nil {
			t.Errorf("%+v", p)
		}
		describe(a.End-8, mm.PlaceVmalloc, "guard page")
		return
	}
	t.Error("no area by vmalloc")
}

// TestPlacesNamed asks for variables, where the kernel names them.
func TestPlacesNamed(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if g.Name == "arm64" {
			t.Log("its kallsyms names functions only")
			return
		}
		m := mm.New(g.Kernel)
		for _, name := range []string{"init_task", "jiffies"} {
			s, err := g.Symbol(name)
			if err != nil {
				t.Fatal(err)
			}
			p := m.Describe(t.Context(), s.Addr)
			if p.Kind != mm.PlaceSymbol || p.Text != name+", data of the kernel" || p.Phys == nil {
				t.Errorf("%s: %s, %q", name, p.Kind, p.Text)
			}
		}
		ts, err := g.Types()
		if err != nil {
			t.Fatal(err)
		}
		rq, err := g.PerCPU(ts, "runqueues", 1)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Describe(t.Context(), rq.Addr+8); p.CPU != 1 || p.Kind != mm.PlacePerCPU || p.Text != "per-CPU variable runqueues+0x8 of CPU 1" {
			t.Errorf("runqueues of CPU 1: %s, %q", p.Kind, p.Text)
		}
	})
}

// TestPlacePhys: a physical address is what its address in the direct map is.
func TestPlacePhys(t *testing.T) {
	g := guesttest.Tiny(t)
	m := mm.New(g.Kernel)
	init := guesttest.Tasks(t, g.Kernel)[1]
	a, err := g.Translate(init.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if p := m.DescribePhys(t.Context(), a); p.Addr != init.Addr || p.Task == nil || p.Task.PID != 1 {
		t.Errorf("%+v", p)
	}
	if p := m.DescribePhys(t.Context(), phys.Addr(1<<40)); p.Kind != mm.PlaceUnmapped {
		t.Errorf("%+v", p)
	}
}
