package vmcore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// memoryOf is a dump of n pages of noise, and what it holds.
func memoryOf(t testing.TB, n int, cacheBytes int64) (*vmcore.Dump, []byte) {
	t.Helper()
	m := &dumptest.Image{PageSize: 4096}
	var all []byte
	for p := range n {
		b := dumptest.Random(4096, uint64(p))
		m.Set(phys.PFN(p), b)
		all = append(all, b...)
	}
	file, err := m.KDUMP(dumptest.DefaultKDUMP())
	if err != nil {
		t.Fatal(err)
	}
	return openBytes(t, file, &vmcore.Options{CacheBytes: cacheBytes}), all
}

// TestCacheRace: many readers of a cache that holds a page a shard read what is there.
func TestCacheRace(t *testing.T) {
	for _, bytes := range []int64{1, 64 << 10, 0} {
		t.Run(fmt.Sprint(bytes), func(t *testing.T) {
			d, all := memoryOf(t, 200, bytes)
			var wg sync.WaitGroup
			for g := range 64 {
				wg.Go(func() {
					if err := readAround(d, all, uint64(g)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// readAround reads runs of random length at random places.
func readAround(d *vmcore.Dump, all []byte, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 9000)
	for range 20 {
		at, n := r.IntN(len(all)), r.IntN(len(b))
		got, err := d.ReadPhys(b[:n], phys.Addr(at))
		want := all[at:min(at+n, len(all))]
		if !bytes.Equal(b[:got], want) {
			return fmt.Errorf("%d bytes at %#x: have %d, %w, or wrong ones", n, at, got, err)
		}
		if (err != nil) != (got < n) {
			return fmt.Errorf("%d of %d bytes at %#x beside error %w", got, n, at, err)
		}
	}
	return nil
}

// TestCacheOwner: what was read belongs to the caller.
func TestCacheOwner(t *testing.T) {
	d, all := memoryOf(t, 2, 0)
	b := make([]byte, 4096)
	for range 3 {
		if n, err := d.ReadPhys(b, 0); n != 4096 || err != nil || !bytes.Equal(b, all[:4096]) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		clear(b)
	}
}

// BenchmarkReadPhys reads eight bytes of pages that are in the cache.
func BenchmarkReadPhys(b *testing.B) {
	d, _ := memoryOf(b, 64, 0)
	buf := make([]byte, 8)
	b.SetBytes(8)
	b.ReportAllocs()
	at := phys.Addr(0)
	for b.Loop() {
		if _, err := d.ReadPhys(buf, at%(64*4096)); err != nil {
			b.Fatal(err)
		}
		at += 4096
	}
}
