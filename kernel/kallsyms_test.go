package kernel_test

import (
	"cmp"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// variable puts b somewhere and gives it a name in kallsyms.
func (m *machine) variable(name string, b []byte) (va uint64) {
	va = m.object(b)
	m.syms = append(m.syms, symbols.Symbol{Name: name, Addr: va, Type: 'D'})
	return va
}

// emptyModules is the list of modules of a kernel that has none.
func (m *machine) emptyModules() {
	head := m.variable("modules", make([]byte, 2*m.word))
	m.put(head, append(m.long(head), m.long(head)...))
}

// kallsyms writes the symbol table as 6.4 to 6.19 lay it out, each token one character.
func (m *machine) kallsyms() {
	m.syms = append(m.syms, symbols.Symbol{Name: "_stext", Addr: x86Image, Type: 'T'})
	slices.SortFunc(m.syms, func(a, b symbols.Symbol) int { return cmp.Compare(a.Addr, b.Addr) })
	var names, markers, offsets []byte
	for i, s := range m.syms {
		if i%256 == 0 {
			markers = append(markers, m.u32(uint32(len(names)))...)
		}
		names = append(append(names, byte(1+len(s.Name)), s.Type), s.Name...)
		offsets = append(offsets, m.u32(uint32(s.Addr-x86Image))...)
	}
	var tokens, index []byte
	for c := range 256 {
		index = m.order.AppendUint16(index, uint16(len(tokens)))
		if c > ' ' && c < 0x7f {
			tokens = append(tokens, byte(c))
		}
		tokens = append(tokens, 0)
	}
	m.pages(1)
	for _, part := range []struct {
		name string
		b    []byte
	}{
		{"num_syms", m.u32(uint32(len(m.syms)))},
		{"names", names},
		{"markers", markers},
		{"token_table", tokens},
		{"token_index", index},
		{"offsets", offsets},
		{"relative_base", m.long(x86Image)},
	} {
		m.next = (m.next + 7) &^ 7
		m.put(m.next, part.b)
		m.symbol("kallsyms_"+part.name, m.next)
		m.next += uint64(len(part.b))
	}
}

// TestSymbols finds names by the tables in memory.
func TestSymbols(t *testing.T) {
	m := newMachine(t)
	jiffies := m.variable("jiffies", m.long(7))
	m.kallsyms()
	k := m.kernel()
	if s, err := k.Symbol("jiffies"); s.Addr != jiffies || s.Type != 'D' || err != nil {
		t.Errorf("jiffies: %v, %v", s, err)
	}
	if _, err := k.Symbol("no_such"); !errors.Is(err, symbols.ErrNoSymbol) {
		t.Errorf("no_such: %v", err)
	}
	table, err := k.Symbols()
	if err != nil || table.Len() != 2 {
		t.Fatalf("%d symbols, %v", table.Len(), err)
	}
	all, err := k.AllSymbols(t.Context())
	if all.Len() != 2 || phys.Reason(err) != phys.ErrUnsupported { // it has no list of modules
		t.Errorf("%d symbols, %v", all.Len(), err)
	}
}

// TestModulesEmpty: a list head that points at itself is no module.
func TestModulesEmpty(t *testing.T) {
	m := newMachine(t)
	m.emptyModules()
	m.kallsyms()
	if mods, err := m.kernel().Modules(t.Context()); len(mods) != 0 || err != nil {
		t.Errorf("%d modules, %v", len(mods), err)
	}
}

// TestSymbolsLost: without the tables there is a reason and no symbol.
func TestSymbolsLost(t *testing.T) {
	m := newMachine(t)
	m.variable("jiffies", m.long(7))
	m.kallsyms()
	m.lose(m.next - 1)
	k := m.kernel()
	if table, err := k.Symbols(); table != nil || phys.Reason(err) != phys.ErrLost {
		t.Errorf("table %v, %v", table, err)
	}
	if _, err := k.Symbol("jiffies"); phys.Reason(err) != phys.ErrLost {
		t.Errorf("jiffies: %v", err)
	}
	if mods, err := k.Modules(t.Context()); mods != nil || phys.Reason(err) != phys.ErrLost {
		t.Errorf("modules %v, %v", mods, err)
	}
}
