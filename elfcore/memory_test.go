package elfcore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// model is memory byte by byte: what the interval algebra must be equal to.
type model struct {
	off [512]int // file offset of each byte, -1 if it is absent
	why [512]error
}

func newModel(pieces []Piece) *model {
	m := &model{}
	for a := range m.off {
		m.off[a], m.why[a] = -1, phys.ErrHole
		best := 3
		for _, p := range pieces {
			if !p.Span.Contains(phys.Addr(a)) {
				continue
			}
			rank := 0
			switch {
			case errors.Is(p.Why, phys.ErrLost):
				rank = 1
			case p.Why != nil:
				rank = 2
			}
			if rank < best {
				best, m.why[a] = rank, p.Why
				m.off[a] = int(p.Off) + a - int(p.Span.Start)
			}
		}
		if m.why[a] != nil {
			m.off[a] = -1
		}
	}
	return m
}

// first is the first absence in [a, a+n): how many bytes precede it, and why.
func (m *model) first(a, n int) (int, error) {
	for i := range n {
		if a+i >= len(m.why) {
			return i, phys.ErrHole
		}
		if m.why[a+i] != nil {
			return i, m.why[a+i]
		}
	}
	return n, nil
}

func randomPieces(rnd *rand.Rand) []Piece {
	pieces := make([]Piece, rnd.IntN(9))
	for i := range pieces {
		start := rnd.IntN(300)
		pieces[i] = Piece{Span: phys.Span{Start: phys.Addr(start), End: phys.Addr(start + rnd.IntN(200))}, Off: int64(rnd.IntN(500))}
		pieces[i].Why = []error{nil, nil, errTail, errCut}[rnd.IntN(4)]
	}
	return pieces
}

func TestMemoryAgainstByteMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	file := make([]byte, 1024)
	for i := range file {
		file[i] = byte(rnd.Uint32())
	}
	for round := range 3000 {
		pieces := randomPieces(rnd)
		want, m := newModel(pieces), NewMemory(bytes.NewReader(file), 16, pieces)
		for range 20 {
			a, n := rnd.IntN(500), rnd.IntN(300)
			buf := make([]byte, n)
			got, err := m.ReadPhys(buf, phys.Addr(a))
			wantN, wantErr := want.first(a, n)
			if got != wantN || phys.Reason(err) != phys.Reason(wantErr) || (err == nil) != (wantErr == nil) {
				t.Fatalf("round %d: ReadPhys(%d bytes at %d) = %d, %v; want %d, %v\n%v", round, n, a, got, err, wantN, wantErr, pieces)
			}
			for i, b := range buf[:got] {
				if b != file[want.off[a+i]] {
					t.Fatalf("round %d: byte %d is %#x, want %#x\n%v", round, a+i, b, file[want.off[a+i]], pieces)
				}
			}
			var pe *phys.PageError
			if err != nil && (!errors.As(err, &pe) || int(pe.Span.Start) != a+got || pe.Span.Len() == 0) {
				t.Fatalf("round %d: error %v does not say where", round, err)
			}
		}
		checkRuns(t, m)
		if round%8 == 0 {
			if err := dumptest.CheckBatches(m); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkRuns holds Runs against ReadPage: ascending, apart, each page once, same reason.
func checkRuns(t *testing.T, m *Memory) {
	t.Helper()
	next, buf := phys.PFN(0), make([]byte, m.PageSize())
	check := func(p phys.PFN, why error) {
		if n, err := m.ReadPage(p, buf); phys.Reason(err) != phys.Reason(why) || (err == nil) != (n == len(buf)) {
			t.Fatalf("page %d: run says %v, ReadPage %d bytes, %v", p, why, n, err)
		}
	}
	for run, err := range m.Runs() {
		if err != nil || run.Start < next || run.Len() == 0 || run.End > m.MaxPFN() {
			t.Fatalf("run %v after page %d, %v", run, next, err)
		}
		for ; next < run.Start; next++ {
			check(next, phys.ErrHole)
		}
		for ; next < run.End; next++ {
			check(next, run.Why)
		}
	}
	for ; next < m.MaxPFN()+2; next++ {
		check(next, phys.ErrHole)
	}
}

func TestRunsStop(t *testing.T) {
	m := NewMemory(bytes.NewReader(nil), 16, []Piece{{phys.Span{Start: 0, End: 64}, 0, nil}, {phys.Span{Start: 100, End: 200}, 0, nil}})
	count := 0
	for range m.Runs() {
		count++
		break
	}
	if count != 1 {
		t.Errorf("%d runs after break", count)
	}
}

func TestTopOfAddressSpace(t *testing.T) {
	pieces := Cut(^phys.Addr(0)-0x1fff, 0x10000, 0, 0x10000, 0x10000, errTail)
	m := NewMemory(bytes.NewReader(make([]byte, 0x10000)), 4096, pieces)
	if n, err := m.ReadPage(m.MaxPFN()-2, make([]byte, 4096)); n != 4096 || err != nil {
		t.Errorf("page below the top: %d, %v", n, err)
	}
	buf := make([]byte, 16)
	if n, err := m.ReadPhys(buf, ^phys.Addr(0)-3); n != 3 || !errors.Is(err, phys.ErrHole) {
		t.Errorf("read over the top: %d, %v", n, err)
	}
	if n, err := m.ReadPage(^phys.PFN(0), make([]byte, 4096)); n != 0 || !errors.Is(err, phys.ErrHole) {
		t.Errorf("page beyond the top: %d, %v", n, err)
	}
	checkTopRun(t, m)
}

func checkTopRun(t *testing.T, m *Memory) {
	t.Helper()
	var last phys.Run
	for run := range m.Runs() {
		last = run
	}
	if last.End != m.MaxPFN() {
		t.Errorf("last run ends at %#x, MaxPFN is %#x", last.End, m.MaxPFN())
	}
}

// failing gives err from off on.
type failing struct {
	off int64
	err error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if n := f.off - off; n < int64(len(p)) {
		return int(max(0, n)), f.err
	}
	return len(p), nil
}

func TestReadErrors(t *testing.T) {
	disk := errors.New("input/output error")
	for _, c := range []struct {
		err, reason error
		off         int64
	}{
		{disk, nil, 0x123},
		{io.EOF, phys.ErrLost, 0x123}, // became shorter while it was open
		{io.ErrUnexpectedEOF, nil, 0x123},
		{&bin.DecodeError{What: "chunk", Off: 0x77, Err: fmt.Errorf("bad: %w", phys.ErrCorrupt)}, phys.ErrCorrupt, 0x77},
	} {
		m := NewMemory(failing{0x123, c.err}, 4096, []Piece{{phys.Span{Start: 0, End: 0x1000}, 0x100, nil}})
		n, err := m.ReadPage(0, make([]byte, 4096))
		var pe *phys.PageError
		if n != 0x23 || phys.Reason(err) != c.reason || !errors.As(err, &pe) {
			t.Fatalf("%v: %d, %v", c.err, n, err)
		}
		if pe.Off != c.off || pe.Span != (phys.Span{Start: 0x23, End: 0x1000}) {
			t.Errorf("%v: offset %#x, span %v", c.err, pe.Off, pe.Span)
		}
	}
}

func TestHoleReason(t *testing.T) {
	m := NewMemory(bytes.NewReader(nil), 4096, nil)
	why := fmt.Errorf("in no record: %w", phys.ErrHole)
	m.Hole(why)
	if _, err := m.ReadPage(0, make([]byte, 4096)); !errors.Is(err, why) || m.MaxPFN() != 0 {
		t.Errorf("error %v, MaxPFN %d", err, m.MaxPFN())
	}
}

// TestManyReasons: the table of reasons is finite and never mixes two up.
func TestManyReasons(t *testing.T) {
	var pieces []Piece
	for i := range 400 {
		why := fmt.Errorf("entry %d: %w", i, phys.ErrCorrupt)
		pieces = append(pieces, Piece{phys.Span{Start: phys.Addr(i * 16), End: phys.Addr(i*16 + 16)}, 0, why})
	}
	m := NewMemory(bytes.NewReader(nil), 16, pieces)
	for p := range phys.PFN(400) {
		if _, err := m.ReadPage(p, make([]byte, 16)); !errors.Is(err, phys.ErrCorrupt) {
			t.Fatalf("page %d: %v", p, err)
		}
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	m := NewMemory(bytes.NewReader(make([]byte, 1<<20)), 4096, Cut(0x1000, 1<<20, 0, 1<<20, 1<<20, nil))
	buf := make([]byte, 4096)
	if n := testing.AllocsPerRun(100, func() { m.ReadPage(5, buf) }); n != 0 {
		t.Errorf("%v allocations a page", n)
	}
}

func BenchmarkReadPage(b *testing.B) {
	const segs = 1 << 16
	var pieces []Piece
	for i := range uint64(segs) {
		pieces = append(pieces, Piece{phys.Span{Start: phys.Addr(i * 3 * 4096), End: phys.Addr(i*3*4096 + 4096)}, int64(i % 256 * 4096), nil})
	}
	m := NewMemory(bytes.NewReader(make([]byte, 1<<20)), 4096, pieces)
	buf := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := m.ReadPage(phys.PFN(i*7919%segs*3), buf); err != nil {
			b.Fatal(err)
		}
	}
}
