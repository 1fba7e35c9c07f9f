package symbols

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// kernelLike has the marks and the traps of a real image in little.
func kernelLike() *Table {
	return New([]Symbol{
		{Name: "fixed_percpu_data", Addr: 0, Type: 'A'},
		{Name: "cpu_tss_rw", Addr: 0x6000, Type: 'A'},
		{Name: "_stext", Addr: 0xffffffff81000000, Type: 'T'},
		{Name: "startup_64", Addr: 0xffffffff81000000, Type: 'T'},
		{Name: "helper", Addr: 0xffffffff81000100, Type: 't'},
		{Name: "ksys_read", Addr: 0xffffffff81000100, Type: 'T'},
		{Name: "$x", Addr: 0xffffffff81000180, Type: 't'},
		{Name: "__pfx_do_sys", Addr: 0xffffffff810001f0, Type: 't'},
		{Name: "do_sys", Addr: 0xffffffff81000200, Type: 't'},
		{Name: "__sched_text_start", Addr: 0xffffffff81000300, Type: 'T'},
		{Name: "schedule", Addr: 0xffffffff81000300, Type: 't'},
		{Name: "_etext", Addr: 0xffffffff81000400, Type: 'T'},
		{Name: "__log_buf", Addr: 0xffffffff82000000, Type: 't'},
		{Name: "helper", Addr: 0xffffffff82800000, Type: 'd'},
		{Name: "_end", Addr: 0xffffffff82900000, Type: 'B'},
		{Name: "mod_b", Addr: 0xffffffffc0002000, Type: 't', Module: "one"},
		{Name: "mod_a", Addr: 0xffffffffc0001000, Type: 'T', Module: "one"},
		{Name: "mod_c", Addr: 0xffffffffc0003000, Type: 't', Module: "two"},
	})
}

func TestAt(t *testing.T) {
	tab := kernelLike()
	for _, tt := range []struct {
		addr uint64
		want string // empty: ErrNoSymbol
	}{
		{0, ""},
		{0x6010, ""},
		{0xffffffff80ffffff, ""},
		{0xffffffff81000000, "startup_64+0x0"},
		{0xffffffff81000100, "helper+0x0"},
		{0xffffffff81000181, "helper+0x81"},
		{0xffffffff810001f8, "helper+0xf8"},
		{0xffffffff81000204, "do_sys+0x4"},
		{0xffffffff810003ff, "schedule+0xff"},
		{0xffffffff81000400, "_etext+0x0"},
		{0xffffffff81000401, ""},
		{0xffffffff82012345, "__log_buf+0x12345"},
		{0xffffffff82900000, "_end+0x0"},
		{0xffffffff82900001, ""},
		{0xffffffffc0001fff, "mod_a+0xfff"},
		{0xffffffffc0002001, "mod_b+0x1"},
		{0xffffffffc0012fff, "mod_c+0xffff"},
		{0xffffffffc0013000, ""},
		{^uint64(0), ""},
	} {
		s, off, err := tab.At(tt.addr)
		if tt.want == "" && !errors.Is(err, ErrNoSymbol) {
			t.Errorf("%#x: %s+%#x, want ErrNoSymbol", tt.addr, s.Name, off)
		}
		if got := fmt.Sprintf("%s+%#x", s.Name, off); tt.want != "" && (err != nil || got != tt.want) {
			t.Errorf("%#x: %s, %v, want %s", tt.addr, got, err, tt.want)
		}
	}
}

func TestSizes(t *testing.T) {
	tab := kernelLike()
	for name, want := range map[string]uint64{
		"fixed_percpu_data": 0x6000,
		"cpu_tss_rw":        0, // the next is no per-CPU offset
		"_stext":            0x100,
		"startup_64":        0x100,
		"_end":              0, // the next is in a module
		"mod_a":             0x1000,
		"mod_b":             0,
		"mod_c":             0,
	} {
		if s, err := tab.Lookup(name); err != nil || s.Size != want {
			t.Errorf("%s: size %#x, %v, want %#x", name, s.Size, err, want)
		}
	}
}

func TestLookup(t *testing.T) {
	tab := kernelLike()
	if _, err := tab.Lookup("nothing"); !errors.Is(err, ErrNoSymbol) {
		t.Errorf("error %v", err)
	}
	if s, err := tab.Lookup("mod_b"); err != nil || s.Module != "one" || s.Addr != 0xffffffffc0002000 {
		t.Errorf("mod_b: %v, %v", s, err)
	}
	var types []byte
	for s := range tab.Named("helper") {
		types = append(types, s.Type)
	}
	if string(types) != "td" {
		t.Errorf("helper: %q", types)
	}
	two := New([]Symbol{{Name: "x", Addr: 1, Type: 't'}, {Name: "x", Addr: 2, Type: 'T'}})
	if s, _ := two.Lookup("x"); s.Addr != 2 {
		t.Errorf("the local x was taken: %v", s)
	}
}

// TestManyOfOneName: the assembler's labels of a riscv64 kernel. Each sought behind all
// those before it, these would take minutes.
func TestManyOfOneName(t *testing.T) {
	const labels = 500_000
	var syms []Symbol
	for i := range uint64(labels) {
		syms = append(syms, Symbol{Name: ".L0 ", Addr: 0x1000 + i, Type: 't'})
	}
	syms = append(syms, Symbol{Name: "panic", Addr: 0x1000 + labels, Type: 'T'})
	table := New(syms)
	if s, err := table.Lookup("panic"); err != nil || s.Addr != 0x1000+labels {
		t.Errorf("panic: %v, %v", s, err)
	}
	next := uint64(0x1000)
	for s := range table.Named(".L0 ") {
		if s.Addr != next {
			t.Fatalf("label at %#x behind that at %#x", s.Addr, next-1)
		}
		next++
	}
	if next != 0x1000+labels {
		t.Errorf("%d labels of %d", next-0x1000, labels)
	}
}

func TestMerge(t *testing.T) {
	a := New([]Symbol{{Name: "a", Addr: 0x10, Type: 'T'}})
	b := New([]Symbol{{Name: "b", Addr: 0x30, Type: 't', Module: "m"}, {Name: "c", Addr: 0x20, Type: 't', Module: "m"}})
	all := Merge(a, nil, b)
	want := []Symbol{
		{Name: "a", Addr: 0x10, Type: 'T'},
		{Name: "b", Addr: 0x30, Type: 't', Module: "m"},
		{Name: "c", Addr: 0x20, Type: 't', Module: "m", Size: 0x10},
	}
	if got := slices.Collect(all.All()); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if n := Merge().Len(); n != 0 {
		t.Errorf("nothing merged has %d symbols", n)
	}
	if _, _, err := Merge().At(0); !errors.Is(err, ErrNoSymbol) {
		t.Errorf("empty table: %v", err)
	}
}

func TestManyGoroutines(t *testing.T) {
	tab := kernelLike()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if s, err := tab.Lookup("schedule"); err != nil || s.Type != 't' {
				t.Error(s, err)
			}
			if s, _, err := tab.At(0xffffffff81000204); err != nil || s.Name != "do_sys" {
				t.Error(s, err)
			}
		})
	}
	wg.Wait()
}

// A walk over all symbols takes no memory; a question by name or address a handful of bytes.
func TestAllocs(t *testing.T) {
	tab := kernelLike()
	tab.prepare()
	if n := testing.AllocsPerRun(10, func() {
		for s := range tab.Match("sys") {
			if s.Name == "" {
				t.Error("no name")
			}
		}
	}); n > 4 {
		t.Errorf("Match: %v allocations", n)
	}
	if n := testing.AllocsPerRun(10, func() {
		if _, _, err := tab.At(0xffffffff81000204); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("At: %v allocations", n)
	}
}

func benchTable(b *testing.B) *Table {
	m, im, _ := build(recipe{order: order64, coding: "base relative", wide: true, align: 8}, 100_000)
	t, err := Kallsyms(m, im)
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func BenchmarkAt(b *testing.B) {
	t := benchTable(b)
	t.prepare()
	b.ReportAllocs()
	addr := t.addr[50_000]
	for b.Loop() {
		if _, _, err := t.At(addr + 4); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	t := benchTable(b)
	t.prepare()
	b.ReportAllocs()
	name := t.name(70_000)
	for b.Loop() {
		if _, err := t.Lookup(name); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstLookup makes the index of names.
func BenchmarkFirstLookup(b *testing.B) {
	t := benchTable(b)
	b.ReportAllocs()
	for b.Loop() {
		fresh := &Table{text: t.text, pos: t.pos, addr: t.addr, parts: t.parts}
		if _, err := fresh.Lookup("_stext"); err != nil {
			b.Fatal(err)
		}
	}
}
