package diskdump_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// spread is a dump whose pages lie far enough apart for parts to begin inside of words.
const spread = `format kdump codec zlib maxpfn 200
page 1-3 fill "low "
page 65 zero
page 70-77 random 5
page 100-110 excluded
page 130 fill "high "
page 190-199 random 50`

func spreadExpect(t *testing.T) dumptest.Expect {
	t.Helper()
	e, err := dumptest.ParseExpect(`page 1-3 fill "low "
page 65 zero
page 70-77 random 5
page 100-110 excluded
page 130 fill "high "
page 190-199 random 50`)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// parts writes the spread dump cut at bounds, each part in another codec.
func parts(t testing.TB, bounds ...phys.PFN) []*diskdump.File {
	t.Helper()
	r := parse(t, spread)
	var out []*diskdump.File
	for i := range len(bounds) + 1 {
		r.KDUMP.Codec = dumptest.Codecs()[i%5]
		files, err := r.Image.Parts(r.KDUMP, bounds...)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, openBytes(t, files[i]))
	}
	// the parts' codecs are written into status; a set of one dump differs in nothing else
	return out
}

func join(t testing.TB, files ...*diskdump.File) *diskdump.Set {
	t.Helper()
	s, err := diskdump.Join(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestJoin: parts in any order and of different codecs give the dump; empty parts are
// normal.
func TestJoin(t *testing.T) {
	expect := spreadExpect(t)
	r := rand.New(rand.NewPCG(4, 4))
	for _, bounds := range [][]phys.PFN{{71}, {64, 128}, {65, 66, 131}, {2, 2, 75, 200}, {0, 70}, {200}} {
		files := parts(t, bounds...)
		for range 4 {
			r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
			s := join(t, files...)
			if len(s.Problems()) != 0 || s.PageSize() != 4096 || len(s.Parts()) != len(files) {
				t.Errorf("cut at %v: problems %v, %d parts", bounds, s.Problems(), len(s.Parts()))
			}
			expect.Check(t, s)
		}
	}
}

// TestMissingPart: its pages are lost, and are named.
func TestMissingPart(t *testing.T) {
	bounds := []phys.PFN{64, 120}
	ends := []phys.PFN{0, 64, 120, 200}
	for gone := range 3 {
		files := slices.Delete(parts(t, bounds...), gone, gone+1)
		s := join(t, files...)
		want := phys.Run{Start: ends[gone], End: ends[gone+1]}
		m := s.Missing()
		if len(m) != 1 || m[0].Start != want.Start || m[0].End != want.End || !errors.Is(m[0].Why, phys.ErrLost) {
			t.Errorf("without part %d: missing %v, want %v", gone, m, want)
		}
		if len(s.Problems()) != 1 || !errors.Is(s.Problems()[0], phys.ErrLost) {
			t.Errorf("without part %d: problems %v", gone, s.Problems())
		}
		lostBetween(spreadExpect(t), want).Check(t, s)
		checkLost(t, s)
	}
}

// lostBetween is an expectation in which what run holds is lost; a descriptor tells that
// something was there, so excluded pages stay what they are.
func lostBetween(e dumptest.Expect, run phys.Run) dumptest.Expect {
	var out dumptest.Expect
	for _, l := range e {
		if l.State != "excluded" && l.First >= run.Start && l.First < run.End {
			l.State, l.Args = "lost", nil
		}
		out = append(out, l)
	}
	return out
}

// checkLost compares the counts with the runs.
func checkLost(t *testing.T, s *diskdump.Set) {
	t.Helper()
	got, err := s.Counts()
	if err != nil {
		t.Fatal(err)
	}
	want := diskdump.Counts{Hole: uint64(s.MaxPFN())}
	for _, run := range dumptest.Whys(t, s) {
		want.Hole--
		switch phys.Reason(run.Why) {
		case nil:
			want.Present++
		case phys.ErrExcluded:
			want.Excluded++
		case phys.ErrLost:
			want.Lost++
		}
	}
	if got != want {
		t.Errorf("counts %+v, runs say %+v", got, want)
	}
}

// TestOverlappingParts: a page that two parts hold is read from one of them.
func TestOverlappingParts(t *testing.T) {
	r := parse(t, spread)
	var files []*diskdump.File
	for _, bounds := range [][2]phys.PFN{{0, 140}, {60, 80}, {70, 200}, {0, 5}} {
		o := r.KDUMP
		o.Split, o.Start, o.End = true, bounds[0], bounds[1]
		file, err := r.Image.KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, openBytes(t, file))
	}
	s := join(t, files...)
	if len(s.Missing()) != 0 {
		t.Errorf("missing %v", s.Missing())
	}
	spreadExpect(t).Check(t, s)
	checkLost(t, s)
}

// TestForeignParts: parts of different dumps, and files that are no parts, are refused.
func TestForeignParts(t *testing.T) {
	other := func(words string) *diskdump.File {
		files, err := parse(t, spread+"\n"+words).Build()
		if err != nil {
			t.Fatal(err)
		}
		return openBytes(t, files[0])
	}
	own := parts(t, 64)
	for _, words := range []string{
		"split 2 node other", "split 2 seconds 77", "split 2 order be", "split 2 maxpfn 300", "split 2 version 5",
		"split 2 page 16384", "split 2 ptr 4", "node dumptest",
	} {
		if _, err := diskdump.Join([]*diskdump.File{own[0], other(words)}); !errors.Is(err, phys.ErrUnsupported) {
			t.Errorf("%s: %v", words, err)
		}
	}
	if _, err := diskdump.Join(nil); err == nil {
		t.Error("no part at all: no error")
	}
}

// TestPart: one part alone is read as what it is.
func TestPart(t *testing.T) {
	f := parts(t, 64, 120)[1]
	start, end, split := f.PartRange()
	if start != 64 || end != 120 || !split {
		t.Errorf("range %d-%d %v", start, end, split)
	}
	pageOf(t, f, 70)
	for p, want := range map[phys.PFN]error{1: phys.ErrLost, 130: phys.ErrLost, 100: phys.ErrExcluded, 119: phys.ErrHole} {
		if _, err := f.ReadPage(p, make([]byte, 4096)); phys.Reason(err) != want {
			t.Errorf("page %d: %v, want %v", p, err, want)
		}
	}
}

// TestOldSplit: before version 6 the range stands in fields as wide as long.
func TestOldSplit(t *testing.T) {
	for _, text := range []string{"version 2", "version 5", "version 5 ptr 4 arch ppc", "version 3 ptr 4packed arch i686 order be"} {
		spreadExpect(t).Check(t, build(t, parse(t, spread+"\n"+text+"\nsplit 3")))
	}
}

// TestPartCounts: a part alone holds its own pages; those of the others are lost.
func TestPartCounts(t *testing.T) {
	total := uint64(0)
	for _, f := range parts(t, 71, 128) {
		c, err := f.Counts()
		if err != nil || c.Present+c.Lost != 23 || c.Excluded != 11 {
			t.Errorf("counts %+v, %v", c, err)
		}
		total += c.Present
	}
	if total != 23 {
		t.Errorf("the parts hold %d pages together", total)
	}
}
