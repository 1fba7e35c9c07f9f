package symbols

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// moduleForm is how some kernel lays out its modules.
type moduleForm struct {
	name  string
	abi   ABI
	shape shape
	extra int // pointers between syms and its number
}

func moduleForms() []moduleForm {
	var out []moduleForm
	for _, ptr := range []int{8, 4} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for i, s := range shapes {
				if i > 1 && (i == 2) != (ptr == 8) {
					continue // the two widths of the oldest form
				}
				out = append(out, moduleForm{fmt.Sprintf("shape %v, %d bytes %v", s, ptr, order), ABI{order, ptr}, s, i % 2})
			}
		}
	}
	return out
}

// arena is memory in which a test puts modules.
type arena struct {
	*image
	abi ABI
}

func (a arena) put(va, v uint64, size int) {
	p := a.b[va-a.va:]
	if size == 8 {
		a.abi.order().PutUint64(p, v)
		return
	}
	a.abi.order().PutUint32(p, uint32(v))
}

func (a arena) ptr(va, v uint64) { a.put(va, v, a.abi.ptr()) }

// The symbols of a test's module: a function, an exported one, one exported to GPL
// modules only, and what those leave in the tables.
func moduleSymbols(base uint64) []Symbol {
	return []Symbol{
		{Name: "__ksymtab_pub", Addr: base + 0x2000, Type: 'r'},
		{Name: "__ksymtab_gpl", Addr: base + 0x200c, Type: 'r'},
		{Name: "init", Addr: base + 0x1010, Type: 't'},
		{Name: "pub", Addr: base + 0x1020, Type: 'T'},
		{Name: "gpl", Addr: base + 0x1030, Type: 't'},
		{Name: ".L886\x021", Addr: base + 0x1034, Type: 't'}, // as RISC-V's assembler names labels
		{Name: "__this_module", Addr: base, Type: 'd'},
	}
}

// module writes a struct module at base and its tables behind, and links it to next.
func (a arena) module(f moduleForm, base, next uint64, name string) []Symbol {
	ptr := uint64(f.abi.ptr())
	a.ptr(base+ptr, next)
	copy(a.b[base+3*ptr-a.va:], name)
	at, syms := base+0x100, moduleSymbols(base)
	a.ptr(at-ptr, 0xffffffff00000000|base) // holders_dir
	a.ptr(at, base+0x2000)                 // syms
	a.put(at+uint64(2+f.extra)*ptr, 1, 4)  // num_syms
	at = base + 0x160
	a.put(at-4, 1, 4) // num_gpl_syms
	a.ptr(at, base+0x200c)
	at = base + 0x200
	symtab, strtab, typetab := base+0x400, base+0x600, base+0x700
	a.ptr(at, symtab)
	a.put(at+uint64(f.shape.num)*ptr, uint64(len(syms)+2), 4)
	a.ptr(at+uint64(f.shape.strtab)*ptr, strtab)
	if f.shape.typetab != 0 {
		a.ptr(at+uint64(f.shape.typetab)*ptr, typetab)
	}
	off := 1
	for i, s := range append(syms, Symbol{Name: "undefined", Type: 'U'}) {
		copy(a.b[strtab+uint64(off)-a.va:], s.Name)
		info := s.Type | 0x20
		if f.shape.typetab != 0 {
			a.b[typetab+uint64(i+1)-a.va], info = info, 0x12 // STB_GLOBAL, STT_FUNC
		}
		a.symbol(symtab+uint64(i+1)*(8+2*ptr), s, off, info)
		off += len(s.Name) + 1
	}
	for i := range syms {
		syms[i].Module = name
	}
	return syms
}

// symbol writes an Elf64_Sym or Elf32_Sym.
func (a arena) symbol(va uint64, s Symbol, name int, info byte) {
	a.put(va, uint64(name), 4)
	at, shndx := va+4, va+6
	if a.abi.ptr() == 4 {
		at, shndx = va+12, va+14
		a.put(va+4, s.Addr, 4)
	} else {
		a.put(va+8, s.Addr, 8)
	}
	a.b[at-a.va] = info
	if s.Type != 'U' {
		a.abi.order().PutUint16(a.b[shndx-a.va:], 1)
	}
}

// twoModules are a list of two modules and their symbols.
func twoModules(f moduleForm) (a arena, head uint64, want []Symbol) {
	va := uint64(0xffffffffc0100000)
	if f.abi.ptr() == 4 {
		va = 0xbf000000
	}
	a = arena{&image{va: va, b: make([]byte, 0x12000), absent: map[uint64]error{}}, f.abi}
	ptr := uint64(f.abi.ptr())
	a.ptr(va, va+0x1000+ptr)
	want = a.module(f, va+0x1000, va+0x8000+ptr, "newest")
	return a, va, append(want, a.module(f, va+0x8000, va, "oldest")...)
}

// collect reads the symbols of all modules.
func collect(m Memory, abi ABI, head uint64) (syms []Symbol, names []string, errs []error) {
	for mod, err := range Modules(m, abi, head) {
		names = append(names, mod.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t, err := ModuleSymbols(m, abi, mod)
		if err != nil {
			errs = append(errs, err)
		}
		if t != nil {
			syms = append(syms, bare(t)...)
		}
	}
	return syms, names, errs
}

func TestModules(t *testing.T) {
	for _, f := range moduleForms() {
		a, head, want := twoModules(f)
		got, names, errs := collect(a, f.abi, head)
		if !slices.Equal(got, want) || !slices.Equal(names, []string{"newest", "oldest"}) || errs != nil {
			t.Errorf("%s: %v\n got %v\nwant %v", f.name, errs, got, want)
		}
	}
}

func TestModulesHarmed(t *testing.T) {
	const newest, oldest = 0x1000, 0x8000
	for _, tt := range []struct {
		name  string
		harm  func(a arena)
		want  error
		names string
	}{
		{"a list that ends nowhere", func(a arena) { a.ptr(a.va+newest+8, 0x1234) }, phys.ErrHole, "[newest ]"},
		{"a list in a circle", func(a arena) { a.ptr(a.va+oldest+8, a.va+newest+8) }, phys.ErrCorrupt, "[newest oldest ]"},
		{"no name", func(a arena) { clear(a.b[newest+24:][:56]) }, phys.ErrCorrupt, "[]"},
		{"a name with control characters", func(a arena) { a.b[newest+24] = 27 }, phys.ErrCorrupt, "[]"},
		{"symbols of another module", func(a arena) { a.ptr(a.va+newest+0x200, a.va+oldest+0x400) }, phys.ErrUnsupported, "[newest oldest]"},
		{"no null symbol", func(a arena) { a.b[newest+0x400] = 1 }, phys.ErrUnsupported, "[newest oldest]"},
		{"no letters", func(a arena) { clear(a.b[newest+0x700:][:8]) }, phys.ErrUnsupported, "[newest oldest]"},
		{"too many symbols", func(a arena) { a.put(a.va+newest+0x208, maxModSyms+1, 4) }, phys.ErrUnsupported, "[newest oldest]"},
		{"an absent page", func(a arena) { a.absent[a.va+newest] = phys.ErrLost }, phys.ErrLost, "[]"},
	} {
		f := moduleForms()[0]
		a, head, _ := twoModules(f)
		tt.harm(a)
		_, names, errs := collect(a, f.abi, head)
		if len(errs) != 1 || phys.Reason(errs[0]) != tt.want {
			t.Errorf("%s: errors %v", tt.name, errs)
		}
		if fmt.Sprint(names) != tt.names {
			t.Errorf("%s: modules %v", tt.name, names)
		}
	}
}

// A module that exports to GPL modules only shows no capital letter: the pointer to its
// entries is gpl_syms, with its number before it.
func TestExportsToGPLOnly(t *testing.T) {
	for _, f := range moduleForms() {
		a, head, want := twoModules(f)
		for _, base := range []uint64{a.va + 0x1000, a.va + 0x8000} {
			a.ptr(base+0x100, 0)
		}
		for i := range want {
			want[i].Type |= 0x20
		}
		if got, _, errs := collect(a, f.abi, head); !slices.Equal(got, want) || errs != nil {
			t.Errorf("%s: %v, got %v", f.name, errs, got)
		}
	}
}

// An absence in a symbol table costs the symbols in it and nothing else.
func TestModuleSymbolsPartial(t *testing.T) {
	f := moduleForms()[0]
	a, head, _ := twoModules(f)
	var m Module
	for m = range Modules(a, f.abi, head) {
		break
	}
	far := m.Addr + 0x6000 // a place whose next page will be absent
	at := far + minPage - 24*4
	copy(a.b[at-a.va:], a.b[m.Symtab-a.va:][:24*8])
	a.absent[far+minPage] = phys.ErrExcluded
	m.Symtab = at
	got, err := ModuleSymbols(a, f.abi, m)
	if !errors.Is(err, phys.ErrExcluded) || got == nil || got.Len() != 3 {
		t.Errorf("error %v, table %v", err, got)
	}
}

func FuzzModules(f *testing.F) {
	for _, form := range moduleForms() {
		a, _, _ := twoModules(form)
		f.Add(a.b[:0x2000], form.abi.PtrSize == 4)
	}
	f.Fuzz(func(t *testing.T, b []byte, short bool) {
		m := &image{va: 0xbf000000, b: b}
		abi := ABI{PtrSize: 8}
		if short {
			abi.PtrSize = 4
		} else {
			m.va = 0xffffffffc0100000
		}
		for mod, err := range Modules(m, abi, m.va) {
			if err != nil {
				if phys.Reason(err) == nil {
					t.Fatalf("error without a reason: %v", err)
				}
				continue
			}
			tab, err := ModuleSymbols(m, abi, mod)
			if tab == nil {
				t.Fatalf("%s was found and cannot be read: %v", mod.Name, err)
			}
			for s := range tab.All() {
				if s.Name == "" || !printable(s.Name) && !strings.HasPrefix(s.Name, localLabel) || s.Module != mod.Name {
					t.Fatalf("bad symbol %q", s)
				}
			}
		}
	})
}
