package vmcore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

const tiny = "../testdata/tiny/"

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// readAll reads every page of a dump.
func readAll(t testing.TB, d *vmcore.Dump) map[phys.PFN][]byte {
	t.Helper()
	all := map[phys.PFN][]byte{}
	for page, err := range d.Pages(t.Context()) {
		if err != nil {
			t.Fatalf("page %#x: %v", uint64(page.PFN), err)
		}
		all[page.PFN] = bytes.Clone(page.Data)
	}
	return all
}

// digest is the sum of lab/pages.py over the number and the bytes of every page.
func digest(t testing.TB, d *vmcore.Dump) (sum string, n int) {
	t.Helper()
	h := sha256.New()
	for page, err := range d.Pages(t.Context()) {
		if err != nil {
			t.Fatalf("page %#x: %v", uint64(page.PFN), err)
		}
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(page.PFN)))
		h.Write(page.Data)
		n++
	}
	return hex.EncodeToString(h.Sum(nil)), n
}

// recorded is what lab/pages.py said of a dump by the raw memory that it was made of.
type recorded struct {
	ram, dumped, cpus int
	sum               string
}

func readRecorded(t *testing.T, name string) (r recorded) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var skip, same int
	_, err = fmt.Sscanf(string(b), "version=6 status=%d block_size=4096 max_mapnr=%d nr_cpus=%d\nbitmap1=%d bitmap2=%d pages=%d not_in_elf=0\nsha256=%s",
		&skip, &skip, &r.cpus, &r.ram, &r.dumped, &same, &r.sum)
	if err != nil || same != r.dumped {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// check compares a dump with what was recorded.
func (r recorded) check(t *testing.T, d *vmcore.Dump) {
	t.Helper()
	if sum, n := digest(t, d); sum != r.sum || n != r.dumped {
		t.Errorf("%d pages with digest %s, want %d, %s", n, sum, r.dumped, r.sum)
	}
	c, err := d.Counts()
	if err != nil || c.Present != uint64(r.dumped) || c.Excluded != uint64(r.ram-r.dumped) || c.Lost != 0 {
		t.Errorf("counts %+v, %v", c, err)
	}
	if cpus, err := d.CPUs(); len(cpus) != r.cpus || err != nil {
		t.Errorf("%d CPUs, %v", len(cpus), err)
	}
	v, err := d.Verify(t.Context(), nil)
	if err != nil || v.Good != c.Present || v.Lost+v.Corrupt != 0 || len(v.Damage) != 0 || v.Bytes != v.Good*4096 {
		t.Errorf("verified %+v, %v", v, err)
	}
	t.Logf("%d pages, %d of zeros, %d excluded, in %v", v.Good, v.Zero, v.Excluded, v.Elapsed)
}

// TestTiny compares the pages of the committed dump with the memory it was made of.
func TestTiny(t *testing.T) {
	d := open(t, tiny+"vmcore.zlib", nil)
	readRecorded(t, tiny+"truth/pages.sha256").check(t, d)
	if h := d.Header; h.Format != "kdump" || h.Version != 6 || h.Codec != "zlib" || h.DumpLevel != 31 || h.Utsname.Release != "6.12.107-tiny" || len(h.Problems) > 0 {
		t.Errorf("header %+v", h)
	}
}

// TestTinyContainers: the containers of one dump hold equal memory. Some of it is
// overwritten with X in all but the first.
func TestTinyContainers(t *testing.T) {
	whole := readAll(t, open(t, tiny+"vmcore.zlib", nil))
	set := readAll(t, open(t, tiny+"vmcore.split.2", nil))
	if len(set) != len(whole) {
		t.Errorf("%d pages in the split set, %d in the whole dump", len(set), len(whole))
	}
	erased := 0
	for p, b := range whole {
		switch {
		case bytes.Equal(b, set[p]):
		case onlyErased(b, set[p]):
			erased++
		default:
			t.Errorf("page %#x differs", uint64(p))
		}
	}
	if erased < 1000 || erased > 3000 {
		t.Errorf("%d pages with erased bytes", erased)
	}
	for _, name := range []string{"vmcore.split.1", "vmcore.split.3"} {
		if got := readAll(t, open(t, tiny+name, nil)); !maps.EqualFunc(got, set, bytes.Equal) {
			t.Errorf("by %s the set is another", name)
		}
	}
	if testing.Short() {
		return
	}
	flat := open(t, dumptest.Unpacked(t, tiny+"vmcore.flat.xz"), nil)
	if !flat.Header.Flattened {
		t.Error("not flattened")
	}
	for p, b := range readAll(t, flat) {
		if !bytes.Equal(b, set[p]) && !onlyErased(b, set[p]) && !onlyErased(set[p], b) {
			t.Errorf("page %#x of the flattened dump differs", uint64(p))
		}
	}
}

// onlyErased tells whether b is a, but for bytes that are X.
func onlyErased(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && b[i] != 'X' {
			return false
		}
	}
	return true
}

// TestTinyParts: one part of a set alone, in codecs that the set itself does not have,
// holds its pages and has lost those of the others.
func TestTinyParts(t *testing.T) {
	set := readAll(t, open(t, tiny+"vmcore.split.1", nil))
	for _, codec := range []string{"lzo", "snappy"} {
		d := open(t, tiny+"part2."+codec, nil)
		if d.Header.Codec != codec || d.Header.Parts != 1 || len(d.Header.Problems) != 2 {
			t.Errorf("%s: codec %q, %d parts, %v", codec, d.Header.Codec, d.Header.Parts, d.Header.Problems)
		}
		n := 0
		for page, err := range d.Pages(t.Context()) {
			if err != nil {
				continue
			}
			if n++; !bytes.Equal(page.Data, set[page.PFN]) {
				t.Errorf("%s: page %#x differs", codec, uint64(page.PFN))
			}
		}
		if c, err := d.Counts(); err != nil || n == 0 || uint64(n) != c.Present || c.Present+c.Lost != uint64(len(set)) {
			t.Errorf("%s: %d pages, counts %+v, %v", codec, n, c, err)
		}
	}
	mixed := []string{tiny + "vmcore.split.3", tiny + "vmcore.split.1"}
	d := open(t, tiny+"part2.lzo", &vmcore.Options{Parts: mixed})
	if got := readAll(t, d); !maps.EqualFunc(got, set, bytes.Equal) || d.Header.Codec != "zstd+lzo" {
		t.Errorf("a set of two codecs: %d pages, codec %s", len(got), d.Header.Codec)
	}
}
