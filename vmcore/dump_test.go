package vmcore_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// pages is a Dump that is read page by page, through its cache.
type pages struct{ *vmcore.Dump }

// ReadPage reads page p into b. A container that is read byte by byte names all of an
// absence, which goes on behind the page.
func (d pages) ReadPage(p phys.PFN, b []byte) (int, error) {
	page := phys.PageSpan(p, 1, d.PageSize())
	n, err := d.ReadPhys(b, page.Start)
	var pe *phys.PageError
	if errors.As(err, &pe) && pe.Span.Contains(page.End-1) {
		err = &phys.PageError{Op: pe.Op, Span: phys.Span{Start: pe.Span.Start, End: page.End}, Off: pe.Off, Err: pe.Err}
	}
	return n, err
}

// parse reads a recipe.
func parse(t testing.TB, text string) *dumptest.Recipe {
	t.Helper()
	r, err := dumptest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fileOf is the one file that a recipe makes.
func fileOf(t testing.TB, r *dumptest.Recipe) []byte {
	t.Helper()
	files, err := r.Build()
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// openBytes opens a file that was made in memory.
func openBytes(t testing.TB, file []byte, o *vmcore.Options) *vmcore.Dump {
	t.Helper()
	d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// openText opens the dump of a recipe.
func openText(t testing.TB, text string) *vmcore.Dump {
	t.Helper()
	return openBytes(t, fileOf(t, parse(t, text)), nil)
}

// TestContainers writes each recipe as every container that can hold it, plain and
// flattened: the memory must be the same.
func TestContainers(t *testing.T) {
	files, err := filepath.Glob("../testdata/recipes/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	for _, file := range files {
		r, expect := dumptest.Load(t, file)
		formats := []string{"kdump", "elf", "lime", "avml"}
		if len(r.Image.Lost)+len(r.Image.Damage) > 0 || r.KDUMP.Order.String() == "BigEndian" {
			formats = formats[:1]
		}
		for _, format := range formats {
			for _, flat := range []*dumptest.Flat{nil, {}, {Piece: 700, Shuffle: 3}, {Overlap: true}, {Holes: true}} {
				v := *r
				v.Format, v.Flat = format, flat
				t.Run(filepath.Base(file)+"/"+format, func(t *testing.T) { container(t, &v, expect) })
			}
		}
	}
}

// container reads one container and looks at what its header says.
func container(t *testing.T, r *dumptest.Recipe, expect dumptest.Expect) {
	d := openBytes(t, fileOf(t, r), nil)
	expect.In(r.Format).Check(t, pages{d})
	h := d.Header
	if h.Format != r.Format || h.Flattened != (r.Flat != nil) || h.Parts != 1 {
		t.Errorf("format %s, flattened %t, parts %d", h.Format, h.Flattened, h.Parts)
	}
	c, err := d.Counts()
	if err != nil {
		t.Fatal(err)
	}
	if total := c.Present + c.Excluded + c.Hole + c.Lost; total != uint64(d.MaxPFN()) {
		t.Errorf("counts %+v are of %d pages, not %d", c, total, d.MaxPFN())
	}
}

// threePages has a page, a hole, two pages and an excluded one, of 4 KiB each.
const threePages = `format kdump page 4096
page 1 fill "one "
page 3 fill "three "
page 4 fill "four "
page 5 excluded
maxpfn 8`

// TestReadPhys reads across pages and at the edges: the bytes before the first absence,
// then its reason and its place.
func TestReadPhys(t *testing.T) {
	d := openText(t, threePages)
	tests := []struct {
		name string
		at   phys.Addr
		n    int
		want string
		err  error
		span phys.Span
	}{
		{"inside", 0x1004, 8, "one one ", nil, phys.Span{}},
		{"across", 0x3ffa, 12, string(dumptest.Fill(4096, "three ")[0xffa:]) + "four f", nil, phys.Span{}},
		{"nothing", 0x2000, 0, "", nil, phys.Span{}},
		{"up to a hole", 0x1ff8, 16, "one one ", phys.ErrHole, phys.Span{Start: 0x2000, End: 0x3000}},
		{"up to an excluded page", 0x4ffc, 8, "ur f", phys.ErrExcluded, phys.Span{Start: 0x5000, End: 0x6000}},
		{"first page", 0, 4, "", phys.ErrHole, phys.Span{Start: 0, End: 0x1000}},
		{"behind the last", 0x9000, 4, "", phys.ErrHole, phys.Span{Start: 0x9000, End: 0xa000}},
		{"end of the address space", ^phys.Addr(0) - 3, 16, "", phys.ErrHole, phys.Span{Start: ^phys.Addr(0) &^ 0xfff, End: ^phys.Addr(0)}},
	}
	for _, tt := range tests {
		b := make([]byte, tt.n)
		n, err := d.ReadPhys(b, tt.at)
		if string(b[:n]) != tt.want || phys.Reason(err) != tt.err {
			t.Errorf("%s: %q, %v, want %q, %v", tt.name, b[:n], err, tt.want, tt.err)
		}
		var pe *phys.PageError
		if err != nil && (!errors.As(err, &pe) || pe.Span != tt.span) {
			t.Errorf("%s: error %v, want one that names %v", tt.name, err, tt.span)
		}
	}
}

// TestCounts: by the tables alone, for containers that count and those that are counted.
func TestCounts(t *testing.T) {
	for format, want := range map[string]vmcore.Counts{
		"kdump": {Present: 3, Excluded: 1, Hole: 4},
		"elf":   {Present: 3, Excluded: 1, Hole: 2},
		"lime":  {Present: 3, Hole: 2},
		"avml":  {Present: 3, Hole: 2},
	} {
		d := openText(t, threePages+"\nformat "+format)
		if got, err := d.Counts(); got != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", format, got, err, want)
		}
	}
}

// TestNameAndSize: as they were given.
func TestNameAndSize(t *testing.T) {
	file := fileOf(t, parse(t, threePages))
	name := write(t, t.TempDir(), "vmcore", file)
	d, err := vmcore.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name() != name || d.Size() != int64(len(file)) {
		t.Errorf("name %q, size %d", d.Name(), d.Size())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if d := openBytes(t, file, nil); d.Name() != "" {
		t.Errorf("name %q", d.Name())
	}
}
