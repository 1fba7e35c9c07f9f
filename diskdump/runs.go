package diskdump

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/kautopsy/kautopsy/phys"
)

// Counts are the pages of a file by state, from the bitmaps alone.
type Counts struct {
	Present, Excluded, Hole, Lost uint64
}

// Counts counts the pages by state; of a part of a split set, the pages of other parts are
// lost. It reads both bitmaps once, 64 MiB for 1 TiB of address space, on all processors;
// what it learns of the second one serves the page index too.
func (f *File) Counts() (Counts, error) {
	n, err := f.countAll()
	if err != nil {
		return n, err
	}
	here, err := f.partPages()
	n.Lost += n.Present - min(here, n.Present)
	n.Present = min(here, n.Present)
	return n, err
}

// countAll counts the pages of a whole dump as this file's bitmaps tell them.
func (f *File) countAll() (Counts, error) {
	c := counter{blocks: make([]uint64, f.dumped.blocks())}
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() { c.work(f) })
	}
	wait.Wait()
	n := Counts{Present: c.present.Load(), Excluded: c.excluded.Load()}
	if known := uint64(f.dumped.bytes) * 8; known < f.limit {
		n.Lost = f.limit - known
	}
	n.Hole = f.limit - n.Present - n.Excluded - n.Lost
	if err := c.err.Load(); err != nil {
		return n, *err
	}
	f.rank.fill(c.blocks)
	return n, nil
}

// counter is the shared state of one Counts: workers take pieces of the bitmaps in turn.
type counter struct {
	next              atomic.Int64
	present, excluded atomic.Uint64
	blocks            []uint64 // bits set in each block of the second bitmap
	err               atomic.Pointer[error]
}

// work counts pieces until there are none left.
func (c *counter) work(f *File) {
	const piece = scanBytes / blockBytes
	ram, dumped := make([]byte, scanBytes), make([]byte, scanBytes)
	for c.err.Load() == nil {
		n := c.next.Add(piece) - piece
		part := min(scanBytes, (f.dumped.blocks()-n)*blockBytes)
		if part <= 0 {
			return
		}
		err := f.ram.read(ram[:part], n*blockBytes)
		if err == nil {
			err = f.dumped.read(dumped[:part], n*blockBytes)
		}
		if err != nil {
			c.err.Store(&err)
			return
		}
		for at := int64(0); at < part; at += blockBytes {
			bits := count(dumped[at : at+blockBytes])
			c.blocks[n+at/blockBytes] = bits
			c.present.Add(bits)
		}
		c.excluded.Add(countAndNot(ram[:part], dumped[:part]))
	}
}

// countAndNot counts the bits that a has and b has not.
func countAndNot(a, b []byte) (n uint64) {
	for ; len(a) >= 16 && len(b) >= 16; a, b = a[16:], b[16:] {
		w0 := binary.LittleEndian.Uint64(a) &^ binary.LittleEndian.Uint64(b)
		w1 := binary.LittleEndian.Uint64(a[8:]) &^ binary.LittleEndian.Uint64(b[8:])
		n += uint64(bits.OnesCount64(w0) + bits.OnesCount64(w1))
	}
	for ; len(a) >= 8 && len(b) >= 8; a, b = a[8:], b[8:] {
		n += uint64(bits.OnesCount64(binary.LittleEndian.Uint64(a) &^ binary.LittleEndian.Uint64(b)))
	}
	return n
}

// eachBlock calls f with both bitmaps' blocks side by side, until it returns false.
func (f *File) eachBlock(do func(n int64, ram, dumped []byte) bool) error {
	last := f.dumped.blocks()
	ram, dumped := make([]byte, min(scanBytes, last*blockBytes)), make([]byte, min(scanBytes, last*blockBytes))
	for n := int64(0); n < last; {
		part := min(scanBytes, (last-n)*blockBytes)
		if err := f.ram.read(ram[:part], n*blockBytes); err != nil {
			return err
		}
		if err := f.dumped.read(dumped[:part], n*blockBytes); err != nil {
			return err
		}
		for at := int64(0); at < part; at += blockBytes {
			if !do(n, ram[at:at+blockBytes], dumped[at:at+blockBytes]) {
				return nil
			}
			n++
		}
	}
	return nil
}

// runBuilder joins pages of one state into runs.
type runBuilder struct {
	yield func(phys.Run, error) bool
	base  phys.PFN
	run   phys.Run
	open  bool
	done  bool
}

// add puts pages [p, p+n) with one state behind what came before.
func (r *runBuilder) add(p phys.PFN, n uint64, why error) {
	if r.open && r.run.End == p && r.run.Why == why {
		r.run.End += phys.PFN(n)
		return
	}
	r.flush()
	r.run, r.open = phys.Run{Start: p, End: p + phys.PFN(n), Why: why}, true
}

func (r *runBuilder) flush() {
	if r.open && !r.done {
		r.done = !r.yield(phys.Run{Start: r.run.Start + r.base, End: r.run.End + r.base, Why: r.run.Why}, nil)
	}
	r.open = false
}

// runs walks both bitmaps; loss tells for a page with a descriptor why its data is
// elsewhere, nil if it is here.
func (f *File) runs(loss func(phys.PFN) error, yield func(phys.Run, error) bool) {
	r := &runBuilder{yield: yield, base: f.base}
	excluded := f.whyAbsent(true)
	err := f.eachBlock(func(n int64, ram, dumped []byte) bool {
		for at := 0; at < blockBytes; at += 8 {
			have := binary.LittleEndian.Uint64(dumped[at:])
			left := binary.LittleEndian.Uint64(ram[at:]) &^ have
			if have|left == 0 {
				continue
			}
			r.word(phys.PFN(n*blockBits+int64(at)*8), have, left, excluded, loss)
		}
		return !r.done
	})
	if known := phys.PFN(f.dumped.bytes * 8); err == nil && uint64(known) < f.limit {
		r.add(known, f.limit-uint64(known), errCutBitmap)
	}
	r.flush()
	if err != nil && !r.done {
		yield(phys.Run{}, err)
	}
}

// word adds the 64 pages from p on: have are in the file, left are excluded.
func (r *runBuilder) word(p phys.PFN, have, left uint64, excluded error, loss func(phys.PFN) error) {
	for i := 0; i < 64; {
		bit := uint64(1) << i
		switch {
		case have&bit != 0:
			r.add(p+phys.PFN(i), 1, loss(p+phys.PFN(i)))
			i++
		case left&bit != 0:
			n := bits.TrailingZeros64(^(left >> i))
			r.add(p+phys.PFN(i), uint64(n), excluded)
			i += n
		default:
			rest := (have | left) >> i
			if rest == 0 {
				return
			}
			i += bits.TrailingZeros64(rest)
		}
	}
}
