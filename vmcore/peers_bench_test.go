package vmcore_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// The benchmarks below make the same reads as testdata/peers/kdumpscan.c, with the same
// checksum: build that, run both in turn on one dump and compare. KAUTOPSY_BENCH names the
// dumps, separated by colons; -cpu 1,2 gives the threads. Files are mapped, as libkdumpfile
// maps them.

// benchDumps are the dumps that KAUTOPSY_BENCH names, or the committed one.
func benchDumps() []string {
	if list := os.Getenv("KAUTOPSY_BENCH"); list != "" {
		return filepath.SplitList(list)
	}
	return []string{"../testdata/tiny/vmcore.zlib"}
}

// cpuTime is the time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchReads runs reads on each dump, of which pages are in the file, and reports decoded bytes for a second of CPU time.
func benchReads(b *testing.B, reads func(b *testing.B, d *vmcore.Dump, pages []phys.PFN) (bytes, sum uint64)) {
	for _, name := range benchDumps() {
		b.Run(filepath.Base(name), func(b *testing.B) {
			d, err := vmcore.Open(name, &vmcore.Options{Map: true})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			pages := presentPages(b, d)
			b.ReportAllocs()
			before, total := cpuTime(), uint64(0)
			for b.Loop() {
				n, sum := reads(b, d, pages)
				total += n
				b.SetBytes(int64(n))
				if total == n {
					b.Logf("%d bytes, checksum %016x", n, sum)
				}
			}
			b.ReportMetric(float64(total)/1e6/(cpuTime()-before).Seconds(), "MB/cpu-s")
		})
	}
}

// BenchmarkScan reads each page once, in order; the pages are looked at in the workers.
func BenchmarkScan(b *testing.B) {
	benchReads(b, func(b *testing.B, d *vmcore.Dump, _ []phys.PFN) (bytes, sum uint64) {
		var n, s atomic.Uint64
		err := d.Scan(b.Context(), func(batch *vmcore.Batch) error {
			for i, data := range batch.Data {
				if batch.Err[i] != nil {
					return batch.Err[i]
				}
				n.Add(uint64(len(data)))
				s.Add(look(batch.PFN[i], data))
			}
			return nil
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
		return n.Load(), s.Load()
	})
}

// quiet: only the first word of each read counts, as with kdumpscan -q.
var quiet = os.Getenv("KAUTOPSY_BENCH_SUM") == ""

// look is the part of a read in the checksum.
func look(p phys.PFN, data []byte) (sum uint64) {
	if quiet {
		return binary.LittleEndian.Uint64(data)
	}
	for i := uint64(0); len(data) >= 8; i, data = i+1, data[8:] {
		sum += binary.LittleEndian.Uint64(data) * (2*i + 1)
	}
	return mix(sum ^ mix(uint64(p)))
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// presentPages are the pages in the file.
func presentPages(b testing.TB, d *vmcore.Dump) (pages []phys.PFN) {
	for run, err := range d.Runs() {
		if err != nil {
			b.Fatal(err)
		}
		for p := run.Start; run.Why == nil && p < run.End; p++ {
			pages = append(pages, p)
		}
	}
	return pages
}

// BenchmarkRandom reads as many pages as there are, through the page cache: any (uniform),
// a few often (zipf), or 8 bytes a time that tell where the next ones are (chase).
func BenchmarkRandom(b *testing.B) {
	zipf := func(i, n uint64) uint64 {
		u := float64(mix(i)>>11) / (1 << 53)
		return mix(uint64(math.Floor(math.Exp(u*math.Log(float64(n)))))) % n
	}
	for name, choose := range map[string]func(i, n uint64) uint64{
		"uniform": func(i, n uint64) uint64 { return mix(i) % n },
		"zipf":    zipf,
		"chase":   nil,
	} {
		b.Run(name, func(b *testing.B) {
			benchReads(b, func(b *testing.B, d *vmcore.Dump, pages []phys.PFN) (bytes, sum uint64) {
				var n, s atomic.Uint64
				var wait sync.WaitGroup
				threads := runtime.GOMAXPROCS(0)
				for k := range threads {
					from, to := len(pages)*k/threads, len(pages)*(k+1)/threads
					wait.Go(func() {
						got, sum := uint64(0), uint64(0)
						if choose == nil {
							got, sum = chase(b, d, pages, uint64(k), to-from)
						} else {
							got, sum = chosen(b, d, pages, uint64(from), uint64(to), choose)
						}
						n.Add(got)
						s.Add(sum)
					})
				}
				wait.Wait()
				return n.Load(), s.Load()
			})
		})
	}
}

// chosen makes reads [from, to) of whole pages.
func chosen(b *testing.B, d *vmcore.Dump, pages []phys.PFN, from, to uint64, choose func(i, n uint64) uint64) (bytes, sum uint64) {
	buf := make([]byte, d.PageSize())
	for i := from; i < to; i++ {
		p := pages[choose(i, uint64(len(pages)))]
		n, err := d.ReadPhys(buf, phys.PageSpan(p, 1, len(buf)).Start)
		if err != nil {
			b.Error(err)
			return bytes, sum
		}
		bytes += uint64(n)
		sum += look(p, buf)
	}
	return bytes, sum
}

// chase makes reads of 8 bytes, each of which has a say in where the next one is.
func chase(b *testing.B, d *vmcore.Dump, pages []phys.PFN, at uint64, reads int) (bytes, sum uint64) {
	var buf [8]byte
	words := uint64(d.PageSize() / len(buf))
	for range reads {
		at = mix(at)
		p := pages[at%uint64(len(pages))]
		n, err := d.ReadPhys(buf[:], phys.PageSpan(p, 1, d.PageSize()).Start+phys.Addr((at>>40)%words*8))
		if err != nil {
			b.Error(err)
			return bytes, sum
		}
		bytes += uint64(n)
		sum += look(p, buf[:])
		at ^= binary.LittleEndian.Uint64(buf[:])
	}
	return bytes, sum
}
