package vmcore

import (
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// counted is a container of pages of zeros that counts how often it is read. Odd pages
// above half are excluded.
type counted struct {
	max   phys.PFN
	reads atomic.Int64
}

func (c *counted) PageSize() int                    { return 4096 }
func (c *counted) MaxPFN() phys.PFN                 { return c.max }
func (c *counted) Runs() iter.Seq2[phys.Run, error] { return nil }

func (c *counted) ReadPage(p phys.PFN, b []byte) (int, error) {
	c.reads.Add(1)
	if p > c.max/2 && p%2 == 1 {
		return 0, &phys.PageError{Op: "read", Span: phys.PageSpan(p, 1, 4096), Err: phys.ErrExcluded}
	}
	clear(b)
	return len(b), nil
}

// readOnce reads a few bytes of a page, as a walk over structures does.
func readOnce(t *testing.T, k *cache, p phys.PFN) {
	t.Helper()
	b := make([]byte, 8)
	for off := range 3 {
		if n, err := k.read(b, p, 64*off); (err != nil) != (n < len(b)) {
			t.Fatalf("page %#x: %d bytes, %v", uint64(p), n, err)
		}
	}
}

// TestCacheScanResistant: what is used again and again stays while all of memory passes
// through, several times as much as the cache holds.
func TestCacheScanResistant(t *testing.T) {
	const holds = 6400
	c := &counted{max: 1 << 40}
	k := newCache(c, holds*4096)
	hot := func() int64 {
		before := c.reads.Load()
		for p := range phys.PFN(holds / 2) {
			readOnce(t, k, p)
		}
		return c.reads.Load() - before
	}
	hot()
	hot()
	for p := range phys.PFN(5 * holds) {
		readOnce(t, k, 1<<20+p)
	}
	for i := range k.shards {
		if s := &k.shards[i]; s.small.n > s.few+1 {
			t.Errorf("shard %d: %d pages that were used once, want %d", i, s.small.n, s.few)
		}
	}
	if again := hot(); again > holds/20 {
		t.Errorf("%d of %d pages had to be read again", again, holds/2)
	}
}

// TestCacheWholePages: of a page that is read as a whole its reader has what the cache would
// keep; it comes in when it is asked for again. One that is not there comes in at once.
func TestCacheWholePages(t *testing.T) {
	c := &counted{max: 100}
	k := newCache(c, 1<<20)
	page := make([]byte, 3*4096)
	for i, want := range []int64{1, 2, 2} {
		if n, err := k.read(page, 10, 0); n != 4096 || err != nil || c.reads.Load() != want {
			t.Errorf("read %d: %d bytes, %v, after %d reads of the container; want %d", i, n, err, c.reads.Load(), want)
		}
	}
	for range 3 {
		if _, err := k.read(page, 99, 0); phys.Reason(err) != phys.ErrExcluded || c.reads.Load() > 4 {
			t.Errorf("page 99: %v after %d reads of the container", err, c.reads.Load())
		}
	}
}

// TestCacheNegative: why a page is not there is remembered too.
func TestCacheNegative(t *testing.T) {
	c := &counted{max: 100}
	k := newCache(c, 1<<20)
	for range 5 {
		for p := range phys.PFN(100) {
			readOnce(t, k, p)
		}
	}
	if n := c.reads.Load(); n != 100 {
		t.Errorf("%d reads for 100 pages", n)
	}
	if _, err := k.read(make([]byte, 1), 99, 0); phys.Reason(err) != phys.ErrExcluded {
		t.Errorf("page 99: %v", err)
	}
}

// TestCacheBounded: slots, ghosts and buffers stay below the bound.
func TestCacheBounded(t *testing.T) {
	c := &counted{max: 1 << 40}
	k := newCache(c, 640*4096)
	for i := range uint64(20000) {
		readOnce(t, k, phys.PFN(i*i%5000))
	}
	for i := range k.shards {
		s := &k.shards[i]
		if len(s.slots) > 10 || s.small.n+s.main.n+len(s.free) != len(s.slots) || s.index.n > 20+1 || s.gone.n > 11 {
			t.Fatalf("shard %d: %d slots, %d and %d queued, %d in the index, %d ghosts", i, len(s.slots), s.small.n, s.main.n, s.index.n, s.gone.n)
		}
	}
}

// TestIndex: an index knows what a map knows.
func TestIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var x index
	m := make(map[phys.PFN]int32)
	for i := range 200000 {
		p := phys.PFN(r.IntN(700)) * shards
		if i%3 == 0 {
			p = lastPage - p
		}
		want, known := m[p]
		if !known {
			want = absent
		}
		switch at := x.at(p); {
		case at != want || x.n != len(m):
			t.Fatalf("step %d, page %#x: %d of %d pages, want %d of %d", i, uint64(p), at, x.n, want, len(m))
		case known && r.IntN(2) == 0:
			x.remove(p)
			delete(m, p)
		default:
			m[p] = asked + int32(r.IntN(3000))
			x.set(p, m[p])
		}
	}
}

// TestCacheFarPages: pages that the index has no room for are read each time.
func TestCacheFarPages(t *testing.T) {
	c := &counted{max: ^phys.PFN(0)}
	k := newCache(c, 1<<20)
	b := make([]byte, 8)
	for i := range int64(3) {
		if n, err := k.read(b, lastPage+2, 0); n != len(b) || err != nil || c.reads.Load() != i+1 {
			t.Errorf("read %d: %d bytes, %v, after %d reads of the container", i, n, err, c.reads.Load())
		}
	}
}
