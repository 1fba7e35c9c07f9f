package mm_test

import (
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

// everything is more memory than a machine has.
var everything = phys.Span{End: 1 << 52}

// TestPageRuns: makedumpfile -d 31 made these dumps, by a version that knows the kernel. Each
// frame that it kept is of a class that is kept, each that it left out of one that is left
// out. The memory map itself is in the dump.
func TestPageRuns(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if g.Name == "arm64" {
			t.Log("a dump of all memory: nothing was left out")
			return
		}
		out := excluded(t, mm.New(g.Kernel), 31)
		frames, wrong := 0, 0
		for r := range g.Dump().Runs() {
			if r.Why != nil && !errors.Is(r.Why, phys.ErrExcluded) {
				continue
			}
			for pfn := r.Start; pfn < r.End; pfn++ {
				if frames++; out[uint64(pfn)] != (r.Why != nil) {
					wrong++
				}
			}
		}
		if wrong != 0 || frames < 20000 {
			t.Errorf("%d of %d frames are not as makedumpfile has them", wrong, frames)
		}
	})
}

// excluded are the frames that a filter leaves out. The runs must join in order.
func excluded(t *testing.T, m *mm.Memory, level int) map[uint64]bool {
	t.Helper()
	out := make(map[uint64]bool)
	last := phys.Addr(0)
	for r, err := range m.PageRuns(t.Context(), everything) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Span.Start < last || r.Span.Len() == 0 {
			t.Errorf("run %v behind %#x", r.Span, uint64(last))
		}
		last = r.Span.End
		for a := r.Span.Start; a < r.Span.End; a += 4096 {
			out[uint64(a)>>12] = r.Class.Excluded(level)
		}
	}
	return out
}

// TestPageRunsWithin: a part of memory is classified as the whole is.
func TestPageRunsWithin(t *testing.T) {
	m := mm.New(guesttest.Tiny(t).Kernel)
	whole := make(map[phys.Addr]mm.Class)
	for r := range m.PageRuns(t.Context(), everything) {
		for a := r.Span.Start; a < r.Span.End; a += 4096 {
			whole[a] = r.Class
		}
	}
	part := phys.Span{Start: 0x200000, End: 0x205001}
	n := 0
	for r, err := range m.PageRuns(t.Context(), part) {
		if err != nil {
			t.Fatal(err)
		}
		for a := r.Span.Start; a < r.Span.End; a += 4096 {
			if n++; whole[a] != r.Class {
				t.Errorf("%#x is %v, and %v in the whole", uint64(a), r.Class, whole[a])
			}
		}
	}
	if n != 6 {
		t.Errorf("%d frames in %v", n, part)
	}
}

// TestPageRunsARM64: a dump of all memory has as much free memory in it as the kernel counts,
// and as much memory of processes.
func TestPageRunsARM64(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if g.Name != "arm64" {
			t.Log("see TestPageRuns")
			return
		}
		m := mm.New(g.Kernel)
		count := make(map[mm.Class]uint64)
		for r, err := range m.PageRuns(t.Context(), everything) {
			if err != nil {
				t.Fatal(err)
			}
			count[r.Class] += r.Span.Len() / 4096
		}
		nodes, err := m.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		free := uint64(0)
		for _, z := range nodes[0].Zones {
			free += z.FreePages()
		}
		anon, _ := m.Vmstat(t.Context())
		user, _ := anon.Get("NR_ANON_MAPPED")
		if count[mm.ClassFree] != free || int64(count[mm.ClassUser]) < user || int64(count[mm.ClassUser]) > user+100 {
			t.Errorf("%v; the zones have %d free pages, %d are of processes", count, free, user)
		}
	})
}

// TestPageRunsLost: struct pages that are gone are told with their span, and nothing is said
// of the frames that they describe; all other frames are as they were.
func TestPageRunsLost(t *testing.T) {
	page, err := mm.New(guesttest.Tiny(t).Kernel).PageOf(t.Context(), 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	k := guesttest.Altered(t, func(_ *kernel.Kernel, m guesttest.Memory) { m.Lose(page.Addr) })
	runs, lost := uint64(0), 0
	for r, err := range mm.New(k).PageRuns(t.Context(), phys.Span{End: 0x8000000}) {
		switch {
		case errors.Is(err, phys.ErrLost):
			lost++
		case err != nil:
			t.Error(err)
		default:
			runs += r.Span.Len() / 4096
		}
	}
	if lost != 1 || runs < 0x8000-70 || runs > 0x8000-60 {
		t.Errorf("%d errors, %#x frames with a class", lost, runs)
	}
}

// TestLevels are the bits of -d.
func TestLevels(t *testing.T) {
	for c, levels := range map[mm.Class][]int{
		mm.ClassKernel: {}, mm.ClassCache: {2, 4}, mm.ClassCachePrivate: {4}, mm.ClassUser: {8}, mm.ClassFree: {16},
		mm.ClassPoisoned: {2, 4, 8, 16}, mm.ClassOffline: {2, 4, 8, 16},
	} {
		want := 0
		for _, l := range levels {
			want |= l
		}
		for _, l := range []int{1, 2, 4, 8, 16} {
			if c.Excluded(l) != (want&l != 0) {
				t.Errorf("%v at -d %d: %t", c, l, c.Excluded(l))
			}
		}
	}
}
