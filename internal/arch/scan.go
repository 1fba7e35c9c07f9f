package arch

import (
	"errors"

	"github.com/kautopsy/kautopsy/phys"
)

// scanBudget bounds the pages that a search through page tables visits. A kernel image
// of 256 MiB in 4 KiB pages has as many.
const scanBudget = 1 << 16

// scanner searches page tables for what they map. It is for the making of a Space only.
type scanner struct {
	tables tables
	budget int
}

func (t tables) scanner() *scanner {
	t.mem = &memo{mem: t.mem}
	return &scanner{t, scanBudget}
}

// next finds the first page in [va, end) that is mapped: the address at which the page
// begins, and the page. Its error wraps phys.ErrUnmapped when there is none,
// phys.ErrLimit when the budget is spent, or says which table could not be read.
func (s *scanner) next(va, end uint64) (uint64, entry, error) {
	for va < end {
		if s.budget--; s.budget < 0 {
			return 0, entry{}, &WalkError{VA: va, Err: phys.ErrLimit}
		}
		e, at, err := s.tables.descend(va, func(Step) {})
		if err == nil {
			return va &^ (e.size - 1), e, nil
		}
		if !errors.Is(err, phys.ErrUnmapped) {
			return 0, entry{}, err
		}
		va = saturate(va|(at.size()-1), 1)
	}
	return 0, entry{}, &WalkError{VA: va, Err: phys.ErrUnmapped}
}

// extent narrows w to the kernel image round anchor: the pages that lie at w's distance
// from their physical address, with holes of at most gap bytes between them. Kernels
// unmap their init sections, and a hole may be given to others. ok is false, and w as it
// was, when the tables do not tell or the anchor is not in w: VMCOREINFO may be damaged.
func (t tables) extent(w window, anchor, gap uint64) (narrow window, ok bool) {
	if anchor < w.start || anchor >= w.end {
		return w, false
	}
	s := t.scanner()
	first, e, err := s.next(anchor, saturate(anchor, 1))
	if err != nil || uint64(e.addr) != first-w.delta {
		return w, false
	}
	start, err := s.lowest(w, first, gap)
	if err != nil {
		return w, false
	}
	end, err := s.highest(w, saturate(first, e.size), gap)
	if err != nil {
		return w, false
	}
	return window{max(start, w.start), min(end, w.end), w.delta}, true
}

// lowest is where the pages of w that reach down from start begin.
func (s *scanner) lowest(w window, start, gap uint64) (uint64, error) {
	for {
		at, _, err := s.nextOf(w.delta, max(start-min(gap, start), w.start), start)
		if errors.Is(err, phys.ErrUnmapped) {
			return start, nil
		}
		if err != nil {
			return 0, err
		}
		start = at
	}
}

// highest is where the pages of w that reach up from end stop.
func (s *scanner) highest(w window, end, gap uint64) (uint64, error) {
	for {
		at, e, err := s.nextOf(w.delta, end, min(saturate(end, gap), w.end))
		if errors.Is(err, phys.ErrUnmapped) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		end = saturate(at, e.size)
	}
}

// nextOf finds the first page in [va, end) that lies at distance delta from its physical
// address.
func (s *scanner) nextOf(delta, va, end uint64) (uint64, entry, error) {
	for {
		at, e, err := s.next(va, end)
		if err != nil || uint64(e.addr) == at-delta {
			return at, e, err
		}
		va = saturate(at, e.size)
	}
}

// aliased tells whether the tables map physical memory at a also at the distance delta.
func (t tables) aliased(a phys.Addr, delta uint64) bool {
	got, err := t.translate(uint64(a) + delta)
	return err == nil && got == a
}

// linear finds a map of physical memory in [start, end): the distance between the virtual
// and the physical address of the first page under an entry of the root, if the root
// itself is mapped at that distance too.
func (t tables) linear(start, end uint64) (delta uint64, ok bool) {
	levels, err := t.format.levels(t, start)
	if err != nil || len(levels) == 0 {
		return 0, false
	}
	s, slot := t.scanner(), levels[0].size()
	for va := start; va < end; {
		next := saturate(va|(slot-1), 1)
		at, e, err := s.next(va, min(next, end))
		if delta = at - uint64(e.addr); err == nil && t.aliased(t.root, delta) {
			return delta, true
		}
		if errors.Is(err, phys.ErrLimit) {
			break
		}
		va = next
	}
	return 0, false
}

// memo keeps the tables that were read last: a scan comes back to the same few, one a
// level, and a page of a dump is dear to decompress. It is for one goroutine.
type memo struct {
	mem  phys.Reader
	kept [8]memoPage
	next int
}

type memoPage struct {
	base phys.Addr
	b    []byte
}

const memoSize = 4096

// ReadPhys reads through the kept pages. A page that cannot be read whole is not kept.
func (m *memo) ReadPhys(p []byte, a phys.Addr) (int, error) {
	base := a &^ (memoSize - 1)
	off := int(a - base)
	if off+len(p) > memoSize {
		return m.mem.ReadPhys(p, a)
	}
	for _, k := range m.kept {
		if k.b != nil && k.base == base {
			return copy(p, k.b[off:]), nil
		}
	}
	b := make([]byte, memoSize)
	if _, err := m.mem.ReadPhys(b, base); err != nil {
		return m.mem.ReadPhys(p, a)
	}
	m.kept[m.next] = memoPage{base, b}
	m.next = (m.next + 1) % len(m.kept)
	return copy(p, b[off:]), nil
}
