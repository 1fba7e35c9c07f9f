package vmcore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestMap: pages read through a mapping are those that reads give.
func TestMap(t *testing.T) {
	for _, name := range []string{"vmcore.zlib", "vmcore.split.1"} {
		path := filepath.Join("..", "testdata", "tiny", name)
		mapped := open(t, path, &vmcore.Options{Map: true})
		want := readAll(t, open(t, path, nil))
		size := mapped.PageSize()
		for p, page := range want {
			got := make([]byte, size)
			if _, err := mapped.ReadPhys(got, phys.PageSpan(p, 1, size).Start); err != nil || !bytes.Equal(got, page) {
				t.Fatalf("%s: page %#x: %v", name, uint64(p), err)
			}
		}
	}
}

// TestMapCut: a file that is cut while it is mapped gives errors where reads do, neither a fault
// nor the zeros that a mapping has behind the cut.
func TestMapCut(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096}
	for p := range phys.PFN(100) {
		m.Set(p, dumptest.Random(4096, uint64(p)))
	}
	for _, codec := range []dumptest.Codec{dumptest.Raw, dumptest.Zlib, dumptest.LZO} {
		o := dumptest.DefaultKDUMP()
		o.Codec = codec
		whole, err := m.KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		n := len(whole)
		for _, left := range []int{n / 2, n*2/3 + 1, n - 5000, n - 100, n - 1} {
			t.Run(fmt.Sprintf("%v, %d of %d bytes", codec, left, n), func(t *testing.T) { checkCut(t, whole, left) })
		}
	}
}

// checkCut cuts a file under a dump that maps it, and compares pages with those before.
func checkCut(t *testing.T, whole []byte, left int) {
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	want := readAll(t, open(t, path, nil))
	d := open(t, path, &vmcore.Options{Map: true, CacheBytes: 1})
	if err := os.Truncate(path, int64(left)); err != nil {
		t.Fatal(err)
	}
	page, lost := make([]byte, d.PageSize()), 0
	for p, was := range want {
		switch n, err := d.ReadPhys(page, phys.PageSpan(p, 1, d.PageSize()).Start); {
		case errors.Is(err, phys.ErrLost):
			lost++
			if !bytes.Equal(page[:n], was[:n]) {
				t.Errorf("page %#x: other bytes than before in the first %d", uint64(p), n)
			}
		case err != nil:
			t.Errorf("page %#x: %v, want ErrLost", uint64(p), err)
		case !bytes.Equal(page, was):
			t.Errorf("page %#x: other bytes than before", uint64(p))
		}
	}
	if lost == 0 || lost == len(want) {
		t.Errorf("%d of %d pages lost", lost, len(want))
	}
}
