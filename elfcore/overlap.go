package elfcore

import (
	"cmp"
	"container/heap"
	"errors"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// resolve sorts the extents and cuts them where they overlap, so that each byte of
// memory belongs to one:
//
//	segment 1   |=== data ===|
//	segment 2        |=== data =======|--- tail ---|
//	segment 3                              |= data =|
//	extents     |     1      |   2    | 2t |    3   |
func (m *Memory) resolve() {
	slices.SortFunc(m.extents, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.index, b.index))
	})
	in := m.extents
	if overlap(in) {
		m.extents = make([]extent, 0, len(in))
		m.sweep(in)
		return
	}
	m.extents = in[:0] // merges in place: never longer than what it has read
	for _, e := range in {
		m.emit(e)
	}
}

func overlap(sorted []extent) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i].start < sorted[i-1].end {
			return true
		}
	}
	return false
}

// sweep walks the addresses upwards and keeps the extents that cover the current one in
// a heap, the best on top. Each turn of the loop pushes or pops one.
func (m *Memory) sweep(sorted []extent) {
	var h coverHeap
	h.rank = m.ranks()
	for at := uint64(0); len(sorted) > 0 || h.Len() > 0; {
		if h.Len() == 0 {
			at = sorted[0].start
		}
		for len(sorted) > 0 && sorted[0].start <= at {
			heap.Push(&h, sorted[0])
			sorted = sorted[1:]
		}
		best := h.all[0]
		if best.end <= at {
			heap.Pop(&h)
			continue
		}
		end := best.end
		if len(sorted) > 0 {
			end = min(end, sorted[0].start)
		}
		m.emit(best.slice(at, end))
		at = end
	}
}

// slice is the part of e from start to end.
func (e extent) slice(start, end uint64) extent {
	if e.state == 0 {
		e.off += int64(start - e.start)
	}
	e.start, e.end = start, end
	return e
}

// emit appends e, or lengthens the last extent when e goes on where that ends.
func (m *Memory) emit(e extent) {
	if n := len(m.extents); n > 0 {
		last := &m.extents[n-1]
		goesOn := last.end == e.start && last.state == e.state
		if goesOn && (e.state != 0 || last.off+int64(e.start-last.start) == e.off) {
			last.end = e.end
			return
		}
	}
	m.extents = append(m.extents, e)
}

// ranks orders the states: what is there, what an accident took, what was left out. Of
// a page that one segment lost and another one excludes, the loss is the news.
func (m *Memory) ranks() []int {
	ranks := make([]int, len(m.reasons))
	for i, why := range m.reasons {
		switch {
		case why == nil:
		case errors.Is(why, phys.ErrLost):
			ranks[i] = 1
		default:
			ranks[i] = 2
		}
	}
	return ranks
}

// coverHeap holds the extents that cover one address, the one to be read on top.
type coverHeap struct {
	all  []extent
	rank []int // by state
}

func (h *coverHeap) Len() int      { return len(h.all) }
func (h *coverHeap) Swap(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] }

func (h *coverHeap) Less(i, j int) bool {
	a, b := h.all[i], h.all[j]
	if h.rank[a.state] != h.rank[b.state] {
		return h.rank[a.state] < h.rank[b.state]
	}
	return a.index < b.index
}

// Push is called by container/heap.
func (h *coverHeap) Push(x any) { h.all = append(h.all, x.(extent)) }

// Pop is called by container/heap.
func (h *coverHeap) Pop() any {
	last := h.all[len(h.all)-1]
	h.all = h.all[:len(h.all)-1]
	return last
}
