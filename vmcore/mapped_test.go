package vmcore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

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

// TestMapCut: a file that is cut while it is mapped gives errors, as reads do, and no fault.
func TestMapCut(t *testing.T) {
	whole, err := os.ReadFile("../testdata/tiny/vmcore.zlib")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	d := open(t, path, &vmcore.Options{Map: true})
	runs := presentPages(t, d)
	if err := os.Truncate(path, int64(len(whole)/2)); err != nil {
		t.Fatal(err)
	}
	page, lost := make([]byte, d.PageSize()), 0
	for _, p := range runs {
		switch _, err := d.ReadPhys(page, phys.PageSpan(p, 1, d.PageSize()).Start); {
		case errors.Is(err, phys.ErrLost):
			lost++
		case err != nil:
			t.Fatalf("page %#x: %v, want ErrLost", uint64(p), err)
		}
	}
	if lost == 0 || lost == len(runs) {
		t.Errorf("%d of %d pages lost in a file cut in half", lost, len(runs))
	}
}
