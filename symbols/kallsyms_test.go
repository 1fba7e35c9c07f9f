package symbols

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// bare is a table's symbols without their sizes.
func bare(t *Table) []Symbol {
	var out []Symbol
	for s := range t.All() {
		s.Size = 0
		out = append(out, s)
	}
	return out
}

// ways are what may be known of the tables.
var ways = []struct {
	name string
	keys func(Keys) Keys
}{
	{"keys", func(k Keys) Keys { return k }},
	{"keys without _stext", func(k Keys) Keys { k.Stext = 0; return k }},
	{"scan", func(k Keys) Keys { return Keys{Stext: k.Stext} }},
	{"scan without _stext", func(Keys) Keys { return Keys{} }},
	{"wrong keys", func(k Keys) Keys { k.Names += 8; k.TokenTable += 4; return k }},
}

func TestKallsyms(t *testing.T) {
	for _, r := range recipes() {
		m, im, want := build(r, 1000)
		keys := im.Keys
		for _, way := range ways {
			im.Keys = way.keys(keys)
			got, err := Kallsyms(m, im)
			if err != nil || !slices.Equal(bare(got), want) {
				t.Errorf("%s, %s: error %v", r.name, way.name, err)
			}
		}
	}
}

// A group of symbols that fills its last marker, and fewer than one group.
func TestKallsymsCounts(t *testing.T) {
	for _, n := range []int{16, 255, 256, 257, 512} {
		m, im, want := build(recipes()[0], n)
		for _, im.Keys = range []Keys{im.Keys, {Stext: im.Keys.Stext}} {
			got, err := Kallsyms(m, im)
			if err != nil || !slices.Equal(bare(got), want) {
				t.Errorf("%d symbols: error %v", n, err)
			}
		}
	}
}

// Whatever page is absent: no symbol is wrong, and what is missing has a reason.
func TestKallsymsAbsentPage(t *testing.T) {
	for _, r := range recipes() {
		if r.abi.Order == binary.BigEndian {
			continue // absences are of addresses, not of numbers
		}
		m, im, want := build(r, 1500)
		sure := map[Symbol]bool{}
		for _, s := range want {
			sure[s] = true
		}
		some := 0
		for page := m.va; page < m.va+uint64(len(m.b)); page += minPage {
			m.absent = map[uint64]error{page: phys.ErrLost}
			got, err := Kallsyms(m, im)
			if got == nil {
				if !errors.Is(err, phys.ErrLost) {
					t.Errorf("%s, without page %#x: error %v", r.name, page, err)
				}
				continue
			}
			if got.Len() < len(want) {
				some++
				if !errors.Is(err, phys.ErrLost) {
					t.Errorf("%s, without page %#x: %d symbols and error %v", r.name, page, got.Len(), err)
				}
			}
			if got.Len() == len(want) && err != nil {
				t.Errorf("%s, without page %#x: all symbols and error %v", r.name, page, err)
			}
			for _, s := range bare(got) {
				if !sure[s] {
					t.Fatalf("%s, without page %#x: invented %v", r.name, page, s)
				}
			}
		}
		if some < 3 {
			t.Errorf("%s: only %d absent pages left a part of the symbols", r.name, some)
		}
	}
}

// Behind a gap in the names the markers lead on: the last symbols are there.
func TestKallsymsResumes(t *testing.T) {
	m, im, want := build(recipes()[0], 3000)
	m.absent[(im.Keys.Names+minPage)&^(minPage-1)] = phys.ErrExcluded
	got, err := Kallsyms(m, im)
	if !errors.Is(err, phys.ErrExcluded) || got == nil {
		t.Fatal(err)
	}
	if lost := len(want) - got.Len(); lost < 100 || lost > 1000 {
		t.Errorf("%d symbols lost by one page of names", lost)
	}
	if last := want[len(want)-1]; func() bool { s, err := got.Lookup(last.Name); return err != nil || s.Addr != last.Addr }() {
		t.Errorf("%v is not found", last)
	}
}

func TestKallsymsErrors(t *testing.T) {
	r := recipes()[0]
	tests := []struct {
		name string
		harm func(m *image, im *Image)
		want error
	}{
		{"nothing known", func(_ *image, im *Image) { *im = Image{} }, phys.ErrUnsupported},
		{"no tables in the image", func(m *image, im *Image) { clear(m.b); im.Keys = Keys{} }, phys.ErrUnsupported},
		{"cleared tables", func(m *image, _ *Image) { clear(m.b) }, phys.ErrCorrupt},
		{"another _stext", func(_ *image, im *Image) { im.Keys.Stext += minPage }, phys.ErrCorrupt},
		{"image elsewhere", func(_ *image, im *Image) { im.Keys.Stext, im.End = 0, im.Start+1 }, phys.ErrCorrupt},
		{"far keys", func(_ *image, im *Image) { im.Keys.Names -= 1 << 30 }, phys.ErrLimit},
		{"keys in the wrong order", func(_ *image, im *Image) { im.Keys.TokenTable = im.Keys.Names - 8 }, phys.ErrCorrupt},
		{"all absent", func(m *image, _ *Image) { m.va += 1 << 30 }, phys.ErrHole},
	}
	for _, tt := range tests {
		m, im, _ := build(r, 300)
		tt.harm(m, &im)
		if im.Keys.Names != 0 {
			im.Start = im.End // no way out by a scan
		}
		if tt.name == "image elsewhere" {
			im.Start = im.End - 1
		}
		got, err := Kallsyms(m, im)
		if got != nil || !errors.Is(err, tt.want) || phys.Reason(err) != tt.want {
			t.Errorf("%s: table %v, error %v", tt.name, got != nil, err)
		}
	}
}

// Counts that the tables claim are bounded before memory is taken.
func TestKallsymsClaims(t *testing.T) {
	for _, n := range []uint32{0, 1, 0x7fffffff, maxSyms, maxSyms + 1, 0xffffffff} {
		m, im, want := build(recipes()[0], 300)
		im.ABI.order().PutUint32(m.b[im.Keys.NumSyms-m.va:], n)
		im.Start = im.End
		if got, err := Kallsyms(m, im); got != nil && got.Len() >= len(want) || err == nil && n != 1 {
			t.Errorf("num_syms %d: error %v", n, err)
		}
	}
}

func FuzzKallsyms(f *testing.F) {
	for _, r := range recipes() {
		m, im, _ := build(r, 64)
		f.Add(m.b[tablesOff:], uint16(im.Keys.Names-m.va-tablesOff), uint16(im.Keys.TokenTable-m.va-tablesOff), r.abi.PtrSize == 4)
	}
	f.Fuzz(func(t *testing.T, b []byte, names, tokens uint16, short bool) {
		m := &image{va: 0xc1000000, b: b}
		im := Image{Start: m.va, End: m.va + uint64(len(b)), Keys: Keys{
			Names: m.va + uint64(names), NumSyms: m.va + uint64(names) - 4, TokenTable: m.va + uint64(tokens),
			TokenIndex: m.va + uint64(tokens) + 0x200, Offsets: m.va,
		}}
		if short {
			im.ABI.PtrSize = 4
		}
		useTable(t, m, im)
		im.Keys = Keys{}
		useTable(t, m, im)
	})
}

// useTable asks everything of what Kallsyms gives.
func useTable(t *testing.T, m Memory, im Image) {
	tab, err := Kallsyms(m, im)
	if tab == nil || err != nil {
		if phys.Reason(err) == nil {
			t.Fatalf("error without a reason: %v", err)
		}
	}
	if tab == nil {
		return
	}
	for s := range tab.All() {
		if !printable(s.Name) || s.Name == "" || !typeLetter(s.Type) {
			t.Fatalf("bad symbol %q", s)
		}
		if found, err := tab.Lookup(s.Name); err != nil || found.Name != s.Name {
			t.Fatalf("%v: Lookup gives %v, %v", s, found, err)
		}
		if at, off, err := tab.At(s.Addr); err == nil && at.Addr+off != s.Addr {
			t.Fatalf("%v: At gives %v+%#x", s, at, off)
		}
	}
}

func BenchmarkKallsyms(b *testing.B) {
	for _, way := range ways[:3] {
		b.Run(way.name, func(b *testing.B) {
			m, im, _ := build(recipe{order: order64, coding: "base relative", wide: true, align: 8}, 100_000)
			im.Keys = way.keys(im.Keys)
			b.SetBytes(int64(len(m.b)))
			b.ReportAllocs()
			for b.Loop() {
				if t, err := Kallsyms(m, im); err != nil || t.Len() != 100_000 {
					b.Fatal(err)
				}
			}
		})
	}
}
