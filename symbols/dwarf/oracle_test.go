package dwarf_test

import (
	"bytes"
	std "debug/dwarf"
	"debug/elf"
	"os"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

const tiny = "../../testdata/tiny/"

// open opens a file of the small kernel, unpacked.
func open(t testing.TB, name string) (*dwarf.File, string) {
	t.Helper()
	name = dumptest.Unpacked(t, tiny+name)
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	st, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := dwarf.Open(r, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, name
}

// TestEntriesAsStandardLibrary compares every entry of a module with debug/dwarf, and of the
// kernel every tenth unit: tags, tree, names, numbers, references, ranges.
func TestEntriesAsStandardLibrary(t *testing.T) {
	for _, c := range []struct {
		name         string
		every, least int
	}{{"crashkit.ko", 1, 5000}, {"vmlinux.debug.xz", 10, 100000}} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.every > 1 {
				t.Skip("40 MB of DWARF in short mode")
			}
			f, name := open(t, c.name)
			e, err := elf.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			data, err := e.DWARF()
			if err != nil {
				t.Fatal(err)
			}
			o := oracle{t: t, data: data, reloc: f.Relocatable(), ends: map[uint64]bool{}}
			n := 0
			for u, err := range f.Units() {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n%c.every == 0 {
					o.unit(u)
				}
			}
			t.Logf("%d units, %d entries, %d values, %d with ranges as debug/dwarf has them", n, o.entries, o.values, o.ranges)
			if o.entries < c.least {
				t.Errorf("only %d entries were compared", o.entries)
			}
		})
	}
}

type oracle struct {
	t                       *testing.T
	data                    *std.Data
	reloc                   bool
	ends                    map[uint64]bool
	entries, values, ranges int
}

// unit compares the entries of a unit, and the walk that skips children with the other.
func (o *oracle) unit(u *dwarf.Unit) {
	e, err := u.Entries()
	if err != nil {
		o.t.Fatal(err)
	}
	r := o.data.Reader()
	depth, first := 0, true
	var tops []int64
	for e.Next() {
		if first {
			r.Seek(std.Offset(e.Off))
			first = false
		}
		want, err := r.Next()
		for ; err == nil && want != nil && want.Tag == 0; want, err = r.Next() {
			depth--
		}
		if err != nil || want == nil {
			o.t.Fatalf("%#x: debug/dwarf: %v", e.Off, err)
		}
		if int64(want.Offset) != e.Off || uint32(want.Tag) != uint32(e.Tag) || want.Children != e.Children || depth != e.Depth {
			o.t.Fatalf("entry %#x, tag %#x, children %v, depth %d; debug/dwarf has %#x, %#x, %v, %d",
				e.Off, uint32(e.Tag), e.Children, e.Depth, want.Offset, uint32(want.Tag), want.Children, depth)
		}
		if want.Children {
			depth++
		}
		o.entries++
		o.entry(e, want)
		if e.Depth == 1 {
			tops = append(tops, e.Off)
		}
	}
	if e.Err() != nil {
		o.t.Fatal(e.Err())
	}
	var skipped []int64
	var again dwarf.Entries
	if err := again.Reset(u); err != nil {
		o.t.Fatal(err)
	}
	for again.Next() {
		if again.Depth == 1 {
			skipped = append(skipped, again.Off)
			again.SkipChildren()
		}
	}
	if again.Err() != nil || !slices.Equal(tops, skipped) {
		o.t.Fatalf("unit at %#x: %d entries below the first when children are skipped, %d when not: %v", u.Off, len(skipped), len(tops), again.Err())
	}
}

func (o *oracle) entry(e *dwarf.Entries, want *std.Entry) {
	i := 0
	for at, v := range e.Attrs {
		if i >= len(want.Field) || uint32(want.Field[i].Attr) != uint32(at) {
			o.t.Fatalf("entry %#x: attribute %d is %#x; debug/dwarf has %v", e.Off, i, uint32(at), want)
		}
		o.value(e.Off, at, v, want.Field[i])
		i++
	}
	if i != len(want.Field) || e.Err() != nil {
		o.t.Fatalf("entry %#x: %d attributes, not %d: %v", e.Off, i, len(want.Field), e.Err())
	}
	got, err := e.Ranges(nil)
	if err != nil {
		o.t.Fatalf("entry %#x: %v", e.Off, err)
	}
	theirs, err := o.data.Ranges(want)
	if err != nil {
		o.t.Fatal(err)
	}
	if len(got) > 0 {
		o.ranges++
	}
	theirs = slices.DeleteFunc(theirs, func(r [2]uint64) bool { return r[0] == r[1] })
	same := slices.EqualFunc(got, theirs, func(a dwarf.Range, b [2]uint64) bool {
		return a.High-a.Low == b[1]-b[0] && (o.reloc || a.Low == b[0])
	})
	if !same {
		o.t.Fatalf("entry %#x: ranges %x; debug/dwarf has %x", e.Off, got, theirs)
	}
}

func (o *oracle) value(off int64, at dwarf.Attr, v dwarf.Value, want std.Field) {
	o.values++
	var got any
	var err error
	switch w := want.Val.(type) {
	case string:
		got, err = v.Text()
	case int64:
		got = int64(v.Uint())
		if v.Form() == dwarf.FormSdata || v.Form() == dwarf.FormImplicitConst {
			got = v.Int()
		}
	case uint64:
		if got = v.Uint(); v.Class() == dwarf.ClassAddress {
			if got, err = v.Address(); o.reloc {
				got = w
			}
		}
	case bool:
		got = v.Uint() != 0
	case std.Offset:
		var ref int64
		ref, err = v.Ref()
		got = std.Offset(ref)
	case []byte:
		if got = v.Bytes(); bytes.Equal(v.Bytes(), w) || o.reloc && len(w) == len(v.Bytes()) {
			return
		}
		o.t.Fatalf("entry %#x, attribute %#x: %x; debug/dwarf has %x", off, uint32(at), got, w)
	default:
		return
	}
	if err != nil || got != want.Val {
		o.t.Fatalf("entry %#x, attribute %#x: %v, %v; debug/dwarf has %v (%T)", off, uint32(at), got, err, want.Val, want.Val)
	}
}
