package diskdump_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// tagged is a page that holds its own number.
func tagged(p phys.PFN) []byte {
	b := make([]byte, 4096)
	copy(b, fmt.Sprintf("page %#x", uint64(p)))
	return b
}

// scattered is an image of pages around every edge that the rank has: bytes, words, the
// blocks in which bitmaps are read, and the ends.
func scattered() *dumptest.Image {
	m := &dumptest.Image{PageSize: 4096}
	const block = 8 * 4096
	for _, edge := range []phys.PFN{8, 64, 1000, block, 2 * block, 17 * block, 40*block + 77} {
		for p := edge - 2; p <= edge+1; p++ {
			m.Set(p, tagged(p))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		p := phys.PFN(r.Uint64N(44 * block))
		m.Set(p, tagged(p))
	}
	m.Exclude(30*block-5, 31*block+5)
	return m
}

// TestRank: a page's descriptor is found over many blocks of the bitmap, from any page on.
func TestRank(t *testing.T) {
	m := scattered()
	o := dumptest.DefaultKDUMP()
	o.Codec = dumptest.Snappy
	for _, start := range []phys.PFN{0, 1, 63, 64, 65, 32767, 32768, 600000} {
		o.Split, o.Start, o.End = start != 0, start, m.Max()
		file, err := m.KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		f := openBytes(t, file)
		for _, p := range m.PFNs() {
			if p < start {
				continue
			}
			if got := pageOf(t, f, p); !bytes.Equal(got, tagged(p)) {
				t.Fatalf("part from %#x: page %#x holds %.12q", uint64(start), uint64(p), got)
			}
		}
	}
}

// TestRuns: the runs are the image's, over all its blocks.
func TestRuns(t *testing.T) {
	m := scattered()
	file, err := m.KDUMP(dumptest.DefaultKDUMP())
	if err != nil {
		t.Fatal(err)
	}
	f := openBytes(t, file)
	runs := dumptest.Whys(t, f)
	excluded := 0
	for p, run := range runs {
		if _, there := m.Pages[p]; there != (run.Why == nil) {
			t.Errorf("page %#x: run says %v", uint64(p), run.Why)
		}
		if phys.Reason(run.Why) == phys.ErrExcluded {
			excluded++
		}
	}
	c, err := f.Counts()
	want := diskdump.Counts{Present: uint64(len(m.Pages)), Excluded: uint64(excluded)}
	want.Hole = uint64(f.MaxPFN()) - want.Present - want.Excluded
	if err != nil || c != want || len(runs) != excluded+len(m.Pages) {
		t.Errorf("counts %+v, %v, want %+v; %d pages in runs", c, err, want, len(runs))
	}
	for run, err := range f.Runs() { // a walk can be left
		if err != nil || run.Len() == 0 {
			t.Errorf("first run %v, %v", run, err)
		}
		break
	}
}

// TestSingleBitmap: files with one bitmap have no word for excluded pages.
func TestSingleBitmap(t *testing.T) {
	for _, maxPFN := range []phys.PFN{70, 8*4096 - 1, 8 * 4096, 8*4096 + 1, 3 * 8 * 4096} {
		m := &dumptest.Image{PageSize: 4096, MaxPFN: maxPFN}
		m.Set(3, tagged(3))
		m.Set(maxPFN-1, tagged(maxPFN-1))
		o := dumptest.DefaultKDUMP()
		o.Single = true
		checkTagged(t, m, o)
	}
}

// TestBitmapSizes: makedumpfile's bitmaps can be larger than they need to be; an odd
// number of blocks is one bitmap, unless half of it would do.
func TestBitmapSizes(t *testing.T) {
	const perBlock = 8 * 4096
	tests := []struct {
		max    phys.PFN
		blocks int
		single bool
	}{
		{70, 2, false},
		{70, 4, false},
		{70, 16, false},
		{70, 3, false},
		{perBlock, 2, false},
		{perBlock + 1, 3, true},
		{perBlock + 9000, 3, true},
		{2 * perBlock, 3, true},
		{2 * perBlock, 4, false},
		{70, 1, true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d pages in %d blocks", tt.max, tt.blocks), func(t *testing.T) {
			m := &dumptest.Image{PageSize: 4096, MaxPFN: tt.max}
			m.Set(3, tagged(3))
			m.Set(tt.max-1, tagged(tt.max-1))
			o := dumptest.DefaultKDUMP()
			o.Single, o.BitmapBlocks = tt.single, tt.blocks
			checkTagged(t, m, o)
		})
	}
}

// checkTagged writes an image of tagged pages, reads them back, and checks that nothing
// else is there.
func checkTagged(t *testing.T, m *dumptest.Image, o dumptest.KDUMP) {
	t.Helper()
	file, err := m.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	f := openBytes(t, file)
	for _, p := range m.PFNs() {
		if got := pageOf(t, f, p); !bytes.Equal(got, m.Pages[p]) {
			t.Errorf("page %#x holds %.12q", uint64(p), got)
		}
	}
	c, err := f.Counts()
	if err != nil || c.Present != uint64(len(m.Pages)) || f.MaxPFN() != m.Max() {
		t.Errorf("max %#x: %+v, %v", uint64(f.MaxPFN()), c, err)
	}
	if _, err := f.ReadPage(m.Max(), make([]byte, 4096)); phys.Reason(err) != phys.ErrHole {
		t.Errorf("page behind the last: %v", err)
	}
}

// TestBitsBehindMax: bits at and above max_mapnr do not count.
func TestBitsBehindMax(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096, MaxPFN: 70}
	m.Set(3, tagged(3))
	file, err := m.KDUMP(dumptest.DefaultKDUMP())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{2 * 4096, 3 * 4096} {
		for i := 9; i < 4096; i++ {
			file[at+i] = 0xff
		}
		file[at+8] |= 0xc0
	}
	c, err := openBytes(t, file).Counts()
	if want := (diskdump.Counts{Present: 1, Hole: 69}); err != nil || c != want {
		t.Errorf("%+v, %v, want %+v", c, err, want)
	}
}

// TestPFNBase: bit 0 is page 0 but for makedumpfile's dumps of 32-bit ARM.
func TestPFNBase(t *testing.T) {
	for _, relative := range []bool{true, false} {
		m := &dumptest.Image{PageSize: 4096}
		m.Set(0x40000, tagged(0x40000))
		m.Set(0x40009, tagged(0x40009))
		m.Exclude(0x40004, 0x40005)
		o := options(shape{dumptest.MainA, dumptest.SubPadded, "armv7l"}, binary.LittleEndian)
		o.PhysBase, o.Relative = 0x40000000, relative
		checkTagged(t, m, o)
	}
}

// TestLargePFN: the rarest machines have memory far up; nothing is sized by that.
func TestLargePFN(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096}
	m.Set(3, tagged(3))
	file, err := m.KDUMP(dumptest.DefaultKDUMP())
	if err != nil {
		t.Fatal(err)
	}
	fields := dumptest.MainB.Fields()
	dumptest.Put(file, binary.LittleEndian, fields, "bitmap_blocks", 1<<32-1)
	dumptest.Put(file, binary.LittleEndian, fields, "max_mapnr", 1<<32-1)
	dumptest.Put(file[4096:], binary.LittleEndian, dumptest.Sub64.Fields(6), "max_mapnr_64", 1<<46-1)
	f := openBytes(t, file)
	if len(f.Problems) == 0 || phys.Reason(f.Problems[0]) != phys.ErrLost {
		t.Errorf("problems %v, want lost bitmaps", f.Problems)
	}
	if _, err := f.ReadPage(1<<40, make([]byte, 4096)); phys.Reason(err) != phys.ErrLost {
		t.Errorf("page behind the cut: %v", err)
	}
	last := phys.Run{}
	for run, err := range f.Runs() {
		if err != nil {
			t.Fatal(err)
		}
		last = run
	}
	if last.End != f.MaxPFN() || phys.Reason(last.Why) != phys.ErrLost {
		t.Errorf("last run %v", last)
	}
}
