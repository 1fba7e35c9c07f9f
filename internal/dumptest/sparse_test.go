package dumptest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// terabyte is the number of 4 KiB pages of 1 TiB.
const terabyte phys.PFN = 1 << 28

// openSparse writes the pages of image into a dump of 1 TiB on disk.
func openSparse(t testing.TB, ram bool) (*diskdump.File, *dumptest.Image) {
	t.Helper()
	m := image()
	m.Set(terabyte/2, dumptest.Fill(4096, "half way "))
	o := dumptest.DefaultKDUMP()
	b, err := m.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	from, err := diskdump.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "vmcore"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := dumptest.Sparse(file, from, o, terabyte, ram); err != nil {
		t.Fatal(err)
	}
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := diskdump.New(file, stat.Size())
	if err != nil {
		t.Fatal(err)
	}
	return f, m
}

// TestSparse: the pages of a small dump are those of one whose bitmaps span 1 TiB.
func TestSparse(t *testing.T) {
	f, m := openSparse(t, false)
	if f.MaxPFN() != terabyte || len(f.Problems) != 0 {
		t.Errorf("max %#x, %v", uint64(f.MaxPFN()), f.Problems)
	}
	b := make([]byte, 4096)
	for _, p := range m.PFNs() {
		if _, err := f.ReadPage(p, b); err != nil || !bytes.Equal(b, m.Pages[p]) {
			t.Errorf("page %#x: %.12q, %v", uint64(p), b, err)
		}
	}
	for p, want := range map[phys.PFN]error{4: phys.ErrExcluded, 7: phys.ErrHole, terabyte - 1: phys.ErrHole} {
		if _, err := f.ReadPage(p, b); phys.Reason(err) != want {
			t.Errorf("page %#x: %v, want %v", uint64(p), err, want)
		}
	}
}

// BenchmarkSparse opens a dump of 1 TiB, all of it memory of the machine, and reads a
// page in its middle; then walks all its runs.
func BenchmarkSparse(b *testing.B) {
	f, _ := openSparse(b, true)
	page := make([]byte, 4096)
	b.Run("runs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range f.Runs() {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("page", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.ReadPage(terabyte/2, page); err != nil {
				b.Fatal(err)
			}
		}
	})
}
