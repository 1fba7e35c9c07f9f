package arch

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// fakeMem is physical memory in which a test builds page tables: what was written, zero
// in the rest of ram, and absent elsewhere.
type fakeMem struct {
	pages map[phys.PFN]*[4096]byte
	ram   []phys.Span
	why   map[phys.PFN]error // pages that cannot be read
}

func newFakeMem(ram ...phys.Span) *fakeMem {
	return &fakeMem{pages: map[phys.PFN]*[4096]byte{}, ram: ram, why: map[phys.PFN]error{}}
}

func (m *fakeMem) ReadPhys(p []byte, a phys.Addr) (n int, err error) {
	for n < len(p) {
		at := a + phys.Addr(n)
		page, err := m.page(at)
		if err != nil {
			return n, &phys.PageError{Op: "read", Span: phys.PageSpan(phys.PFN(at>>12), 1, 4096), Off: -1, Err: err}
		}
		n += copy(p[n:], page[at&0xfff:])
	}
	return n, nil
}

func (m *fakeMem) page(a phys.Addr) (*[4096]byte, error) {
	pfn := phys.PFN(a >> 12)
	if err := m.why[pfn]; err != nil {
		return nil, err
	}
	if page := m.pages[pfn]; page != nil {
		return page, nil
	}
	for _, s := range m.ram {
		if s.Contains(a) {
			return new([4096]byte), nil
		}
	}
	return nil, phys.ErrHole
}

func (m *fakeMem) put(a phys.Addr, v uint64, order binary.ByteOrder) {
	pfn := phys.PFN(a >> 12)
	if m.pages[pfn] == nil {
		m.pages[pfn] = new([4096]byte)
	}
	order.PutUint64(m.pages[pfn][a&0xfff:], v)
}

// tree builds page tables. encode makes an entry; tables are taken from free on.
type tree struct {
	mem    *fakeMem
	order  binary.ByteOrder
	levels []level
	root   phys.Addr
	free   phys.Addr
	encode func(l level, k kind, addr uint64) uint64
	next   map[phys.Addr]phys.Addr // where the entry at an address points
}

const tableBytes = 64 << 10 // as much as the largest table takes

// mapPage maps the page of 1<<shift bytes at va to pa.
func (b *tree) mapPage(va uint64, pa phys.Addr, shift uint) {
	if b.next == nil {
		b.next = map[phys.Addr]phys.Addr{}
	}
	base := b.root
	for _, l := range b.levels {
		at := l.entryAt(base, va)
		if l.shift == shift {
			b.mem.put(at, b.encode(l, leaf, uint64(pa)), b.order)
			return
		}
		if b.next[at] == 0 {
			b.next[at] = b.free
			b.mem.put(at, b.encode(l, inner, uint64(b.free)), b.order)
			b.free += tableBytes
		}
		base = b.next[at]
	}
}

// mapRun maps pages of 1<<shift bytes until n bytes are mapped.
func (b *tree) mapRun(va uint64, pa phys.Addr, n uint64, shift uint) {
	for off := uint64(0); off < n; off += 1 << shift {
		b.mapPage(va+off, pa+phys.Addr(off), shift)
	}
}

// hintsOf are hints of a VMCOREINFO with these keys.
func hintsOf(pageSize int, numbers map[string]uint64, symbols map[string]uint64) Hints {
	return Hints{
		PageSize: pageSize,
		Number:   func(k string) (int64, bool) { v, ok := numbers[k]; return int64(v), ok },
		Symbol:   func(k string) (uint64, bool) { v, ok := symbols[k]; return v, ok },
	}
}

// checkWalk walks va and checks where it leads.
func checkWalk(t *testing.T, s Space, va uint64, want phys.Addr, pageSize uint64) Walk {
	t.Helper()
	w, err := s.Walk(va)
	if err != nil {
		t.Errorf("walk %#x: %v", va, err)
	}
	if w.Addr != want || w.PageSize != pageSize {
		t.Errorf("walk %#x: physical %#x in a page of %#x, want %#x in %#x", va, w.Addr, w.PageSize, want, pageSize)
	}
	return w
}

// checkRule checks that a rule without page tables says what the page tables say.
func checkRule(t *testing.T, s Space, rule func(uint64) (phys.Addr, bool), va uint64) {
	t.Helper()
	w, err := s.Walk(va)
	got, ok := rule(va)
	if err != nil || !ok || got != w.Addr {
		t.Errorf("%#x: rule %#x, %t; walk %#x, %v", va, got, ok, w.Addr, err)
	}
}

// checkNoWalk checks that va does not translate, for what reason, and at which level.
func checkNoWalk(t *testing.T, s Space, va uint64, reason error, level string) {
	t.Helper()
	_, err := s.Walk(va)
	var we *WalkError
	if !errors.Is(err, reason) || !errors.As(err, &we) {
		t.Fatalf("walk %#x: %v, want a *WalkError that is %v", va, err, reason)
	}
	if we.VA != va || we.Level != level {
		t.Errorf("walk %#x: %v, want level %q", va, err, level)
	}
}

// fact finds what a Space says of itself.
func fact(s Space, name string) string {
	for _, f := range s.Describe() {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
