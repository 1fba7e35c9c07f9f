package diskdump_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// many is a dump of 300 pages in one codec, a tenth of them zero.
func many(t testing.TB, codec dumptest.Codec) (*diskdump.File, *dumptest.Image) {
	t.Helper()
	m := &dumptest.Image{PageSize: 4096}
	for p := range phys.PFN(300) {
		m.Set(p, dumptest.Random(4096, uint64(p)))
		if p%10 == 0 {
			m.Set(p, make([]byte, 4096))
		}
	}
	o := dumptest.DefaultKDUMP()
	o.Codec = codec
	file, err := m.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	return openBytes(t, file), m
}

// TestConcurrent reads one file from many goroutines in different orders.
func TestConcurrent(t *testing.T) {
	f, m := many(t, dumptest.Mixed)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			b := make([]byte, f.PageSize())
			for range 400 {
				p := phys.PFN(r.Uint64N(300))
				if n, err := f.ReadPage(p, b); err != nil || n != len(b) || !bytes.Equal(b, m.Pages[p]) {
					t.Errorf("page %d: %d bytes, %v", p, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestReadPageAllocs: a warm read takes no memory. zlib's tables grow with the codes that
// they meet, so it is warm after all pages.
func TestReadPageAllocs(t *testing.T) {
	if dumptest.Race {
		t.Skip("the race detector makes sync.Pool drop what is put into it")
	}
	// A collection empties the pool of decoders, and so does another number of processors.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, codec := range dumptest.Codecs() {
		f, _ := many(t, codec)
		b := make([]byte, f.PageSize())
		next := 0
		read := func() {
			if _, err := f.ReadPage(phys.PFN(next%60), b); err != nil {
				t.Fatal(err)
			}
			next++
		}
		for range 120 {
			read()
		}
		if n := testing.AllocsPerRun(60, read); n >= 1 {
			t.Errorf("%s: %.1f allocations a page", codec, n)
		}
	}
}

// BenchmarkReadPage reads pages in order, one codec each.
func BenchmarkReadPage(b *testing.B) {
	for _, codec := range dumptest.Codecs() {
		b.Run(string(codec), func(b *testing.B) {
			f, _ := many(b, codec)
			page := make([]byte, f.PageSize())
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for p := phys.PFN(1); b.Loop(); p = p%298 + 1 {
				if _, err := f.ReadPage(p, page); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a dump whose bitmaps span a number of pages and finds its first
// page, which builds the rank.
func BenchmarkOpen(b *testing.B) {
	for _, bits := range []int{16, 24} {
		b.Run(fmt.Sprintf("2^%d", bits), func(b *testing.B) {
			m := &dumptest.Image{PageSize: 4096, MaxPFN: 1 << bits}
			m.Set(3, tagged(3))
			file, err := m.KDUMP(dumptest.DefaultKDUMP())
			if err != nil {
				b.Fatal(err)
			}
			page := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := openBytes(b, file).ReadPage(3, page); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFlatten indexes a stream of 4 KiB records in random order.
func BenchmarkFlatten(b *testing.B) {
	stream := dumptest.Flatten(make([]byte, 16<<20), dumptest.Flat{Shuffle: 1})
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := diskdump.Flatten(bytes.NewReader(stream), int64(len(stream))); err != nil {
			b.Fatal(err)
		}
	}
}

// counting counts the reads of a file.
type counting struct {
	*bytes.Reader
	reads int
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	c.reads++
	return c.Reader.ReadAt(b, off)
}

// TestFewReads: pages that are asked for in order are read from the file in large pieces,
// alone and together, and the zero pages between them take no read each.
func TestFewReads(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096}
	for p := range phys.PFN(1000) {
		m.Set(p, make([]byte, 4096))
		if p%3 != 0 {
			m.Set(p, dumptest.Fill(4096, fmt.Sprintf("page %d ", p)))
		}
	}
	for _, codec := range []dumptest.Codec{dumptest.LZO, dumptest.Raw} {
		o := dumptest.DefaultKDUMP()
		o.Codec = codec
		file, err := m.KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		singly, together := &counting{Reader: bytes.NewReader(file)}, &counting{Reader: bytes.NewReader(file)}
		one, err1 := diskdump.New(singly, int64(len(file)))
		all, err2 := diskdump.New(together, int64(len(file)))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		var b phys.Batch
		for p := range phys.PFN(1000) {
			pageOf(t, one, p)
			if b.PFN = append(b.PFN, p); len(b.PFN) == 50 {
				all.ReadPages(&b)
				b.PFN = b.PFN[:0]
			}
		}
		if !dumptest.Race && singly.reads > 90 || together.reads > 70 {
			t.Errorf("%s: %d reads for 1000 pages one by one, %d for batches of 50", codec, singly.reads, together.reads)
		}
	}
}
