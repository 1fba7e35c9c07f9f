package symbols

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
)

// ErrNoSymbol: no symbol of that name, or none that covers that address. It is an
// answer, not damage: the tables that were read do not have it.
var ErrNoSymbol = errors.New("no such symbol")

// Symbol is one line of /proc/kallsyms.
type Symbol struct {
	Name   string
	Addr   uint64 // virtual address; a per-CPU offset for type A of kernels before 6.15
	Size   uint64 // bytes to the next higher address, 0 when unknown: kallsyms keeps no sizes
	Type   byte   // nm's letter as /proc/kallsyms prints it
	Module string // empty for the kernel itself
}

// String prints the symbol as /proc/kallsyms does: "ffffffffc0123000 t name\t[module]".
func (s Symbol) String() string {
	if s.Module == "" {
		return fmt.Sprintf("%016x %c %s", s.Addr, s.Type, s.Name)
	}
	return fmt.Sprintf("%016x %c %s\t[%s]", s.Addr, s.Type, s.Name, s.Module)
}

// Global tells whether the symbol is visible outside of its source file. Weak symbols
// count as global.
func (s Symbol) Global() bool { return global(s.Type) }

// absolute symbols before 6.15 are per-CPU offsets counted from 0.
func absolute(typ byte) bool { return typ == 'A' || typ == 'a' }

func global(typ byte) bool {
	return typ >= 'A' && typ <= 'Z' || typ == 'w' || typ == 'v' || typ == 'u'
}

// Table is an immutable set of symbols. It is safe for many goroutines.
//
// The symbols stay in the order in which they came, which for kallsyms is the order of
// /proc/kallsyms. A name is a piece of one string, so that 200,000 symbols take some
// eight megabytes and walking over them takes no memory at all.
type Table struct {
	text   string   // of each symbol its type letter and its name, without separators
	pos    []uint32 // where each symbol's text begins; one entry more than symbols
	addr   []uint64
	byAddr []uint32 // symbol numbers by address; nil while addr itself is sorted
	parts  []part

	once sync.Once // guards what follows, made by the first question that needs it
	find nameIndex
	lim  limits
}

// part is a run of symbols that belong to one module, or to the kernel.
type part struct {
	end    int // one past the last symbol
	module string
}

// New makes a table of symbols that another source gave: vmlinux, System.map, BPF
// programs. Symbols of one module should stand together. Their sizes are not kept, a
// size is always the way to the next address.
func New(syms []Symbol) *Table {
	var t Table
	var text strings.Builder
	for i, s := range syms {
		t.pos = append(t.pos, uint32(text.Len()))
		text.WriteByte(s.Type)
		text.WriteString(s.Name)
		t.addr = append(t.addr, s.Addr)
		t.extend(i+1, s.Module)
	}
	t.text = text.String()
	return t.finish()
}

// Merge joins tables into one; the order of symbols is that of the arguments. nil tables
// are left out.
func Merge(tables ...*Table) *Table {
	var t Table
	var text strings.Builder
	for _, from := range tables {
		if from == nil {
			continue
		}
		shift, first := uint32(text.Len()), len(t.addr)
		text.WriteString(from.text)
		for _, p := range from.pos[:from.Len()] {
			t.pos = append(t.pos, p+shift)
		}
		t.addr = append(t.addr, from.addr...)
		for _, p := range from.parts {
			t.extend(first+p.end, p.module)
		}
	}
	t.text = text.String()
	return t.finish()
}

// extend says that the symbols up to end belong to module.
func (t *Table) extend(end int, module string) {
	if n := len(t.parts); n > 0 && t.parts[n-1].module == module {
		t.parts[n-1].end = end
		return
	}
	t.parts = append(t.parts, part{end, module})
}

// finish closes the text and sorts by address where the symbols are not sorted already.
func (t *Table) finish() *Table {
	t.pos = append(t.pos, uint32(len(t.text)))
	if slices.IsSorted(t.addr) {
		return t
	}
	t.byAddr = make([]uint32, len(t.addr))
	for i := range t.byAddr {
		t.byAddr[i] = uint32(i)
	}
	slices.SortStableFunc(t.byAddr, func(a, b uint32) int { return cmp.Compare(t.addr[a], t.addr[b]) })
	return t
}

// Len is the number of symbols.
func (t *Table) Len() int { return len(t.addr) }

// All gives every symbol in the order of /proc/kallsyms.
func (t *Table) All() iter.Seq[Symbol] {
	return t.only(func(string) bool { return true })
}

// Match gives the symbols whose name contains the pattern, as crash's "sym -q" does, in
// the order of /proc/kallsyms.
func (t *Table) Match(pattern string) iter.Seq[Symbol] {
	return t.only(func(name string) bool { return strings.Contains(name, pattern) })
}

func (t *Table) only(want func(name string) bool) iter.Seq[Symbol] {
	return func(yield func(Symbol) bool) {
		for i := range t.addr {
			if want(t.name(i)) && !yield(t.symbol(i)) {
				return
			}
		}
	}
}

// Lookup gives the symbol of that name. Where several have it the first global one is
// taken, else the first; Named gives all of them. The error wraps ErrNoSymbol.
func (t *Table) Lookup(name string) (Symbol, error) {
	first := -1
	for i := range t.named(name) {
		if global(t.typ(i)) {
			return t.symbol(i), nil
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return Symbol{}, fmt.Errorf("%q: %w", name, ErrNoSymbol)
	}
	return t.symbol(first), nil
}

// Named gives all symbols of that name in the order of /proc/kallsyms: static functions
// and variables of one name are common.
func (t *Table) Named(name string) iter.Seq[Symbol] {
	return func(yield func(Symbol) bool) {
		for i := range t.named(name) {
			if !yield(t.symbol(i)) {
				return
			}
		}
	}
}

func (t *Table) typ(i int) byte { return t.text[t.pos[i]] }

func (t *Table) name(i int) string { return t.text[t.pos[i]+1 : t.pos[i+1]] }

// symbol makes the i-th symbol in kallsyms order.
func (t *Table) symbol(i int) Symbol {
	return Symbol{t.name(i), t.addr[i], t.size(i), t.typ(i), t.module(i)}
}

func (t *Table) module(i int) string {
	if len(t.parts) == 1 || i < t.parts[0].end {
		return t.parts[0].module
	}
	return t.parts[sort.Search(len(t.parts), func(k int) bool { return i < t.parts[k].end })].module
}

// size is the way to the next higher address. It is unknown for the last symbol, for the
// last one of the kernel or of a module, and for the last per-CPU offset.
func (t *Table) size(i int) uint64 {
	k := t.above(t.addr[i], i)
	if k == t.Len() {
		return 0
	}
	next := t.nth(k)
	if t.module(next) != t.module(i) || absolute(t.typ(next)) != absolute(t.typ(i)) {
		return 0
	}
	return t.addr[next] - t.addr[i]
}

// nth is the number of the k-th symbol by address.
func (t *Table) nth(k int) int {
	if t.byAddr == nil {
		return k
	}
	return int(t.byAddr[k])
}

// above is the place in address order of the first symbol that is higher than addr. It
// is looked for close behind place near first.
func (t *Table) above(addr uint64, near int) int {
	if t.byAddr == nil {
		for k := near; k < min(near+8, t.Len()); k++ {
			if t.addr[k] > addr {
				return k
			}
		}
	}
	return sort.Search(t.Len(), func(k int) bool { return t.addr[t.nth(k)] > addr })
}
