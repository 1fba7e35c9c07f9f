package vmcore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// outcome of a conversion into files of a folder of its own.
type outcome struct {
	vmcore.Converted
	names []string
}

// convert writes a dump into parts files.
func convert(t testing.TB, d *vmcore.Dump, c vmcore.Conversion, parts int, flat bool) outcome {
	t.Helper()
	o := outcome{}
	dir := t.TempDir()
	var out []io.WriterAt
	var flats []*diskdump.FlatWriter
	for i := range parts {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("out.%d", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		o.names = append(o.names, f.Name())
		if !flat {
			out = append(out, f)
			continue
		}
		w, err := diskdump.NewFlatWriter(f)
		if err != nil {
			t.Fatal(err)
		}
		flats, out = append(flats, w), append(out, w)
	}
	var err error
	if o.Converted, err = d.Convert(t.Context(), c, out, nil); err != nil {
		t.Fatal(err)
	}
	for _, w := range flats {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// sameMemory compares every page of two dumps. What is damaged in the first is lost in the
// second; an ELF file calls it excluded.
func sameMemory(t testing.TB, from, to *vmcore.Dump) {
	t.Helper()
	a, b := make([]byte, from.PageSize()), make([]byte, to.PageSize())
	if len(a) != len(b) {
		t.Fatalf("pages of %d and %d bytes", len(a), len(b))
	}
	for p := range max(from.MaxPFN(), to.MaxPFN()) + 1 {
		at := phys.PageSpan(p, 1, len(a)).Start
		n, err := from.ReadPhys(a, at)
		m, got := to.ReadPhys(b, at)
		want := phys.Reason(err)
		switch {
		case phys.Damage(err) && to.Header.Format == "elf":
			want = phys.ErrExcluded
		case phys.Damage(err):
			want = phys.ErrLost
		}
		if phys.Reason(got) != want || !phys.Damage(err) && !bytes.Equal(a[:n], b[:m]) {
			t.Fatalf("page %#x: %d bytes and %v became %d bytes and %v", uint64(p), n, err, m, got)
		}
	}
}

// targets are the forms that dumps are converted to.
func targets() (all []vmcore.Conversion) {
	for _, codec := range []string{"none", "zlib", "lzo", "snappy", "zstd"} {
		all = append(all, vmcore.Conversion{Format: "kdump", Codec: codec})
	}
	return append(all, vmcore.Conversion{Format: "elf"})
}

// TestConvert writes every recipe, in every container that can hold it, as every other.
func TestConvert(t *testing.T) {
	files, err := filepath.Glob("../testdata/recipes/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	for _, file := range files {
		r, _ := dumptest.Load(t, file)
		sources := []string{"kdump", "elf", "lime"}
		if len(r.Image.Lost)+len(r.Image.Damage) > 0 || r.KDUMP.Order.String() == "BigEndian" {
			sources = sources[:1]
		}
		for _, source := range sources {
			for _, c := range targets() {
				t.Run(fmt.Sprintf("%s/%s/%s%s", filepath.Base(file), source, c.Format, c.Codec), func(t *testing.T) {
					v := *r
					v.Format = source
					from := openBytes(t, fileOf(t, &v), nil)
					if _, err := from.Arch(); err != nil && c.Format == "elf" {
						t.Log("a LiME file does not tell the processor, which ELF needs")
						return
					}
					o := convert(t, from, c, 1, false)
					to := open(t, o.names[0], nil)
					sameMemory(t, from, to)
					if damaged := o.Lost > 0; to.Header.Incomplete != (damaged || from.Header.Incomplete) {
						t.Errorf("%d pages lost, incomplete before %t, now %t", o.Lost, from.Header.Incomplete, to.Header.Incomplete)
					}
				})
			}
		}
	}
}

// TestConvertWraps: split sets and flattened streams, from and to.
func TestConvertWraps(t *testing.T) {
	from := open(t, "../testdata/tiny/vmcore.split.2", nil)
	codecs, sets := []string{"none", "zstd"}, []int{1, 2, 5}
	if testing.Short() {
		codecs, sets = codecs[1:], sets[:2]
	}
	for _, codec := range codecs {
		for _, flat := range []bool{false, true} {
			for _, parts := range sets {
				o := convert(t, from, vmcore.Conversion{Format: "kdump", Codec: codec}, parts, flat)
				to := open(t, o.names[0], nil)
				if h := to.Header; h.Parts != parts || h.Flattened != (flat && parts == 1) && !flat || h.Codec != codec {
					t.Errorf("%d parts, flattened %t, codec %q; want %d, %t, %q", h.Parts, h.Flattened, h.Codec, parts, flat, codec)
				}
				sameMemory(t, from, to)
				if parts == 1 {
					sameHeader(t, from, to)
				}
			}
		}
	}
	o := convert(t, from, vmcore.Conversion{Format: "elf"}, 1, true)
	sameMemory(t, from, open(t, o.names[0], nil))
}

// sameHeader: what a dump says of the machine stays.
func sameHeader(t *testing.T, from, to *vmcore.Dump) {
	t.Helper()
	a, b := from.Header, to.Header
	if a.Utsname != b.Utsname || !a.Time.Equal(b.Time) || a.CPUs != b.CPUs || *a.PhysBase != *b.PhysBase || a.Arch != b.Arch ||
		!bytes.Equal(slices.Concat(a.Notes...), slices.Concat(b.Notes...)) || !bytes.Equal(a.VMCoreInfo, b.VMCoreInfo) ||
		!bytes.Equal(a.EraseInfo, b.EraseInfo) || b.Version != 6 || len(b.Problems) > 0 {
		t.Errorf("header became %+v, was %+v", b, a)
	}
}

// TestConvertELFAddresses: an ELF file made of a kdump-compressed one has the kernel's
// virtual addresses, and reads as the same kernel when it is converted back.
func TestConvertELFAddresses(t *testing.T) {
	from := open(t, "../testdata/tiny/vmcore.zlib", nil)
	o := convert(t, from, vmcore.Conversion{Format: "elf"}, 1, false)
	to := open(t, o.names[0], nil)
	image := 0
	for _, s := range to.Header.Segments {
		if s.Virt >= 0xffffffff80000000 {
			image++
		}
	}
	if image == 0 || len(to.Header.Segments) <= image {
		t.Errorf("of %d segments %d are the image's", len(to.Header.Segments), image)
	}
	back := open(t, convert(t, to, vmcore.Conversion{Format: "kdump", Codec: "snappy"}, 1, false).names[0], nil)
	sameMemory(t, from, back)
	if *back.Header.PhysBase != *from.Header.PhysBase || back.Header.CPUs != from.Header.CPUs || !back.Header.Time.Equal(from.Header.Time) {
		t.Errorf("phys_base %#x, %d CPUs, %v", *back.Header.PhysBase, back.Header.CPUs, back.Header.Time)
	}
}

// TestConvertTruncated: what is there is converted, what is not is lost in the new dump.
func TestConvertTruncated(t *testing.T) {
	file, err := os.ReadFile("../testdata/tiny/vmcore.zlib")
	if err != nil {
		t.Fatal(err)
	}
	from := openBytes(t, file[:len(file)*2/3], nil)
	for _, c := range []vmcore.Conversion{{Format: "kdump", Codec: "snappy"}, {Format: "elf"}} {
		o := convert(t, from, c, 1, false)
		if o.Lost == 0 || o.Pages == 0 || o.Lost+o.Pages != 7317 {
			t.Errorf("%s: %d pages, %d lost", c.Format, o.Pages, o.Lost)
		}
		to := open(t, o.names[0], nil)
		if !to.Header.Incomplete {
			t.Errorf("%s is not marked incomplete", c.Format)
		}
		sameMemory(t, from, to)
	}
}

// failingOutput is a disk that is full after some bytes.
type failingOutput struct{ left int }

var errFull = errors.New("no space left on device")

func (f *failingOutput) WriteAt(b []byte, _ int64) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestConvertFails: a full disk and a caller who gives up end the conversion.
func TestConvertFails(t *testing.T) {
	d := open(t, "../testdata/tiny/vmcore.zlib", nil)
	for _, c := range targets() {
		for _, room := range []int{0, 5000, 30000, 2 << 20} {
			_, err := d.Convert(t.Context(), c, []io.WriterAt{&failingOutput{room}}, nil)
			if !errors.Is(err, errFull) {
				t.Errorf("%s %s with room for %d bytes: %v", c.Format, c.Codec, room, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := d.Convert(ctx, c, []io.WriterAt{&failingOutput{1 << 40}}, func(done, _ uint64) {
			if done > 2000 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s %s canceled: %v", c.Format, c.Codec, err)
		}
	}
	if _, err := d.Convert(t.Context(), vmcore.Conversion{Format: "elf"}, nil, nil); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("no output: %v", err)
	}
}

// TestConvertExclude: pages that are left out are excluded in the new dump, in every form;
// what is no page of the dump stays what it was.
func TestConvertExclude(t *testing.T) {
	from := numberedPages(t, 1000, 500, 700)
	gone := []phys.Run{
		{Start: 0, End: 5, Why: phys.ErrExcluded},
		{Start: 11, End: 12, Why: phys.ErrExcluded},
		{Start: 490, End: 600, Why: phys.ErrExcluded},
		{Start: 995, End: 2000, Why: phys.ErrExcluded},
	}
	left := func(p phys.PFN) bool {
		return slices.ContainsFunc(gone, func(r phys.Run) bool { return r.Start <= p && p < r.End })
	}
	a, b := make([]byte, 4096), make([]byte, 4096)
	for _, c := range targets() {
		c.Exclude, c.DumpLevel = gone, 16
		o := convert(t, from, c, 1, false)
		to := open(t, o.names[0], nil)
		if o.Lost != 1 || o.Pages != 702 || c.Format == "kdump" && to.Header.DumpLevel != 31 {
			t.Errorf("%s %s: %d pages, %d lost, level %d", c.Format, c.Codec, o.Pages, o.Lost, to.Header.DumpLevel)
		}
		for p := range phys.PFN(1001) {
			at := phys.PageSpan(p, 1, 4096).Start
			n, err := from.ReadPhys(a, at)
			m, got := to.ReadPhys(b, at)
			want := phys.Reason(err)
			switch {
			case left(p) && want != phys.ErrHole:
				n, want = 0, phys.ErrExcluded
			case phys.Damage(err) && c.Format == "elf":
				want = phys.ErrExcluded
			case phys.Damage(err):
				want = phys.ErrLost
			}
			if phys.Reason(got) != want || !bytes.Equal(a[:n], b[:m]) {
				t.Fatalf("%s %s page %#x: %v, want %v", c.Format, c.Codec, uint64(p), got, want)
			}
		}
	}
}
