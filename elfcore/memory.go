package elfcore

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Piece is a span of physical memory whose bytes lie one after the other at Off, or are
// absent for the reason Why.
type Piece struct {
	Span phys.Span
	Off  int64
	Why  error // nil: the bytes are in the file
}

// Cut divides memory of memsz bytes at start, filesz of them at file offset off, into
// the pieces of a file of the given size: what is there, what truncation cost, and what
// was never written (for the reason tail).
//
//	start        file's end     +filesz       +memsz
//	  |   there      |    lost     |    tail     |
func Cut(start phys.Addr, memsz uint64, off int64, filesz uint64, size int64, tail error) []Piece {
	end := addSat(start, memsz)
	data := min(addSat(start, filesz), end)
	var have uint64
	if off >= 0 && off < size {
		have = uint64(size - off)
	}
	there := min(addSat(start, have), data)
	return []Piece{
		{phys.Span{Start: start, End: there}, off, nil},
		{phys.Span{Start: there, End: data}, off, errCut},
		{phys.Span{Start: data, End: end}, -1, tail},
	}
}

// addSat stops at the end of the address space, whose last byte is given up for it.
func addSat(a phys.Addr, n uint64) phys.Addr {
	if uint64(a)+n < uint64(a) {
		return ^phys.Addr(0)
	}
	return a + phys.Addr(n)
}

// Reasons of absence that this package gives. Each wraps one of phys.
var (
	errCut  = fmt.Errorf("the file ends before it: %w", phys.ErrLost)
	errTail = fmt.Errorf("excluded or all zero: makedumpfile -E cannot tell: %w", phys.ErrExcluded)
)

// Memory is physical memory that lies in a file as it is: it implements vmcore.Container
// and phys.Reader. It holds no bytes of the memory and is safe for many goroutines.
type Memory struct {
	r        io.ReaderAt
	pageSize int
	extents  []extent // ascending, without overlap
	reasons  []error  // what extent.state means; reasons[0] is nil
	hole     error    // wraps phys.ErrHole
}

// extent is a Piece in 32 bytes: a dump can have millions.
type extent struct {
	start, end uint64 // half-open
	off        int64
	index      uint32 // place in the file: the lower one wins where two overlap
	state      uint8  // index into Memory.reasons
}

// NewMemory makes memory of pieces in any order. Where they overlap the one whose bytes
// are there wins, then the one that comes first. pageSize is a power of two.
func NewMemory(r io.ReaderAt, pageSize int, pieces []Piece) *Memory {
	m := &Memory{r: r, pageSize: pageSize, hole: phys.ErrHole}
	for i, p := range pieces {
		m.add(p, i)
	}
	m.resolve()
	return m
}

// Hole sets the reason of memory in no piece, for containers that leave out more than
// holes; it wraps phys.ErrHole. To be called before the first read.
func (m *Memory) Hole(why error) { m.hole = why }

func (m *Memory) add(p Piece, index int) {
	if p.Span.Len() == 0 {
		return
	}
	m.extents = append(m.extents, extent{
		start: uint64(p.Span.Start), end: uint64(p.Span.End),
		off: p.Off, index: uint32(index), state: m.state(p.Why),
	})
}

// state numbers a reason. The few that exist are compared by identity; when a damaged
// file makes too many, the rest keep the bare reason of phys.
func (m *Memory) state(why error) uint8 {
	if m.reasons == nil {
		m.reasons = []error{
			nil, phys.ErrCorrupt, phys.ErrLost, phys.ErrExcluded, phys.ErrHole,
			phys.ErrUnmapped, phys.ErrUnsupported, phys.ErrLimit,
		}
	}
	if i := slices.Index(m.reasons, why); i >= 0 {
		return uint8(i)
	}
	if len(m.reasons) > math.MaxUint8 {
		return uint8(max(1, slices.Index(m.reasons, phys.Reason(why))))
	}
	m.reasons = append(m.reasons, why)
	return uint8(len(m.reasons) - 1)
}

// PageSize is the size of pages in bytes.
func (m *Memory) PageSize() int { return m.pageSize }

// MaxPFN is one past the highest page of which anything is known.
func (m *Memory) MaxPFN() phys.PFN {
	if len(m.extents) == 0 {
		return 0
	}
	return phys.PFN((m.extents[len(m.extents)-1].end-1)/uint64(m.pageSize) + 1)
}

// find is the index of the extent that holds a, or of the next one above it.
func (m *Memory) find(a uint64) int {
	lo, hi := 0, len(m.extents)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if m.extents[mid].end <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// ReadPhys fills p with the memory at a, across segments. n bytes precede the first
// absence; the error's span reaches from there to where the memory's state changes.
func (m *Memory) ReadPhys(p []byte, a phys.Addr) (n int, err error) {
	for i := m.find(uint64(a)); n < len(p); i++ {
		at := uint64(a) + uint64(n)
		if at < uint64(a) || i == len(m.extents) || at < m.extents[i].start {
			return n, m.absent(at, i)
		}
		e := &m.extents[i]
		if e.state != 0 {
			return n, m.absent(at, i)
		}
		k, err := m.readExtent(e, p[n:], at)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Plain tells that the file has pages as they are.
func (m *Memory) Plain() bool { return true }

// ReadDirect reads a part of page p, from byte off on; false when not all of it is there.
func (m *Memory) ReadDirect(dst []byte, p phys.PFN, off int) bool {
	size := uint64(m.pageSize)
	if uint64(p) > ^uint64(0)/size {
		return false
	}
	a := uint64(p)*size + uint64(off)
	i := m.find(a)
	if i == len(m.extents) {
		return false
	}
	e := &m.extents[i]
	if e.state != 0 || e.start > a || e.end-a < uint64(len(dst)) {
		return false
	}
	n, _ := m.r.ReadAt(dst, e.off+int64(a-e.start))
	return n == len(dst)
}

// readExtent reads as much of p as the extent holds from address at on.
func (m *Memory) readExtent(e *extent, p []byte, at uint64) (int, error) {
	p = p[:min(uint64(len(p)), e.end-at)]
	off := e.off + int64(at-e.start)
	k, err := m.r.ReadAt(p, off)
	if k == len(p) {
		return k, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = errCut // it was longer when it was opened
	}
	var where *bin.DecodeError
	if errors.As(err, &where) { // r is not the file but decodes it
		off = where.Off - int64(k)
	}
	first := phys.Addr(at) + phys.Addr(k)
	return k, &phys.PageError{Op: "read", Span: phys.Span{Start: first, End: phys.Addr(at) + phys.Addr(len(p))}, Off: off + int64(k), Err: err}
}

// absent tells why the byte at a is not there, a being below or in extent i.
func (m *Memory) absent(a uint64, i int) error {
	e := &phys.PageError{Op: "read", Span: phys.Span{Start: phys.Addr(a), End: ^phys.Addr(0)}, Off: -1, Err: m.hole}
	switch {
	case i == len(m.extents):
	case a < m.extents[i].start:
		e.Span.End = phys.Addr(m.extents[i].start)
	default:
		e.Span.End, e.Err = phys.Addr(m.extents[i].end), m.reasons[m.extents[i].state]
	}
	return e
}

// ReadPage reads a page. A page that only in part belongs to a segment gives the bytes
// before the absence.
func (m *Memory) ReadPage(p phys.PFN, b []byte) (n int, err error) {
	if uint64(p) > ^uint64(0)/uint64(m.pageSize) {
		top := ^phys.Addr(0)
		return 0, &phys.PageError{Op: "read", Span: phys.Span{Start: top, End: top}, Off: -1, Err: m.hole}
	}
	return m.ReadPhys(b[:m.pageSize], phys.Addr(uint64(p)*uint64(m.pageSize)))
}

// Runs yields the pages by state. A page of several states has that of its first
// absence, as ReadPage gives it; so a page that a segment covers in part is yielded as a
// hole.
func (m *Memory) Runs() iter.Seq2[phys.Run, error] {
	return func(yield func(phys.Run, error) bool) {
		var run phys.Run
		more := true
		put := func(start, end uint64, why error) {
			switch {
			case !more || start >= end:
			case run.Len() > 0 && uint64(run.End) == start && run.Why == why:
				run.End = phys.PFN(end)
			default:
				more = run.Len() == 0 || yield(run, nil)
				run = phys.Run{Start: phys.PFN(start), End: phys.PFN(end), Why: why}
			}
		}
		size, next := uint64(m.pageSize), uint64(0) // next: first page not put yet
		for i := 0; i < len(m.extents) && more; i++ {
			e := &m.extents[i]
			first, last := e.start/size, e.end/size
			if e.start%size != 0 && first >= next {
				put(first, first+1, m.pageState(first))
				next = first + 1
			}
			put(max(first, next), last, m.reasons[e.state])
			next = max(next, last)
			if e.end%size != 0 && last >= next {
				put(last, last+1, m.pageState(last))
				next = last + 1
			}
		}
		if more && run.Len() > 0 {
			yield(run, nil)
		}
	}
}

// pageState is the reason of the first absence in a page, nil when it is whole.
func (m *Memory) pageState(page uint64) error {
	at, size := page*uint64(m.pageSize), uint64(m.pageSize)
	end := at + size - 1 // inclusive: the last page ends at 2^64
	for i := m.find(at); ; i++ {
		if i == len(m.extents) || m.extents[i].start > at {
			return m.hole
		}
		if why := m.reasons[m.extents[i].state]; why != nil || m.extents[i].end > end {
			return why
		}
		at = m.extents[i].end
	}
}
