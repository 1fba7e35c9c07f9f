package vmcore_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
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

// scanned are the pages of a scan, and what it says of the others; a scan that is cut short
// says why.
func scanned(t *testing.T, d *vmcore.Dump) (pages map[phys.PFN]string, err error) {
	t.Helper()
	pages = make(map[phys.PFN]string)
	err = d.Scan(t.Context(), nil, func(b *vmcore.Batch) error {
		for page, err := range b.All() {
			pages[page.PFN] = string(page.Data) + fmt.Sprint(err)
		}
		return nil
	})
	return pages, err
}

// TestMapScan: a scan of a mapped file gives what reads of it give, damage included.
func TestMapScan(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096}
	for p := range phys.PFN(150) {
		m.Set(p, dumptest.Random(4096, uint64(p)))
		if p%7 == 0 {
			m.Set(p, make([]byte, 4096))
		}
	}
	elf, err := m.ELF(dumptest.ELF{})
	files := map[string][]byte{"elf": elf}
	for _, codec := range []dumptest.Codec{dumptest.Raw, dumptest.Zlib, dumptest.LZO, dumptest.Snappy, dumptest.Zstd} {
		o := dumptest.DefaultKDUMP()
		o.Codec = codec
		file, kerr := m.KDUMP(o)
		files[fmt.Sprint(codec)], err = file, errors.Join(err, kerr)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range files {
		for damage, file := range map[string][]byte{"whole": file, "cut": file[:len(file)*2/3], "changed": changed(file)} {
			path := filepath.Join(t.TempDir(), "vmcore")
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
			want, err1 := scanned(t, open(t, path, nil))
			d := open(t, path, &vmcore.Options{Map: true})
			got, err2 := scanned(t, d)
			if !maps.Equal(got, want) || fmt.Sprint(err1) != fmt.Sprint(err2) || len(want) == 0 {
				t.Errorf("%s, %s: scans of a mapped file and of another differ, %d and %d pages, %v and %v", name, damage, len(got), len(want), err2, err1)
			}
			for page, err := range d.Pages(t.Context()) { // not where they lie
				if one := string(page.Data) + fmt.Sprint(err); one != want[page.PFN] {
					t.Errorf("%s, %s: page %#x differs", name, damage, uint64(page.PFN))
				}
			}
		}
	}
}

// changed is a file of which some bytes in the second half are others.
func changed(file []byte) []byte {
	file = bytes.Clone(file)
	for at := len(file) / 2; at < len(file); at += 10007 {
		file[at] ^= 0x55
	}
	return file
}

// TestMapScanCut cuts a file while a page of it is looked at, at the beginning of the scan:
// what comes behind is lost, the scan says so, and no page that it stands by has other bytes.
func TestMapScanCut(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096}
	for p := range phys.PFN(1200) {
		m.Set(p, dumptest.Random(4096, uint64(p)))
	}
	elf, err := m.ELF(dumptest.ELF{})
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []int{len(elf) / 3, len(elf)/2 + 1, len(elf) - 1} {
		t.Run(fmt.Sprintf("ELF, %d of %d bytes", left, len(elf)), func(t *testing.T) { checkScanCut(t, m, elf, left) })
	}
	for _, codec := range []dumptest.Codec{dumptest.Raw, dumptest.LZO, dumptest.Zlib, dumptest.Snappy, dumptest.Zstd} {
		o := dumptest.DefaultKDUMP()
		o.Codec = codec
		whole, err := m.KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, left := range []int{len(whole) / 3, len(whole)/2 + 1, len(whole) - 1} {
			t.Run(fmt.Sprintf("%v, %d of %d bytes", codec, left, len(whole)), func(t *testing.T) { checkScanCut(t, m, whole, left) })
		}
	}
}

// checkScanCut cuts a file under its scan, when the first batch comes.
func checkScanCut(t *testing.T, m *dumptest.Image, whole []byte, left int) {
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	d := open(t, path, &vmcore.Options{Map: true})
	cut, good, lost := false, 0, 0
	wrong := 0 // pages of the batch that came last: the scan may still say that it was cut under them
	err := d.Scan(t.Context(), nil, func(b *vmcore.Batch) error {
		if !cut {
			cut = true
			if err := os.Truncate(path, int64(left)); err != nil {
				t.Error(err)
			}
		}
		if wrong > 0 {
			t.Errorf("%d pages before %#x have other bytes than before", wrong, uint64(b.PFN[0]))
		}
		wrong = 0
		for page, err := range b.All() {
			switch {
			case errors.Is(err, phys.ErrLost):
				lost++
			case err != nil:
				t.Errorf("page %#x: %v", uint64(page.PFN), err)
			case bytes.Equal(page.Data, m.Pages[page.PFN]):
				good++
			default:
				wrong++
			}
		}
		return nil
	})
	switch {
	case err == nil && wrong > 0:
		t.Errorf("%d pages have other bytes than before", wrong)
	case err == nil && lost == 0 && left < len(whole)-1:
		t.Errorf("%d pages are good, none is lost, and the scan says nothing", good)
	case err != nil && !errors.Is(err, phys.ErrLost):
		t.Errorf("%v, want ErrLost", err)
	}
}

// TestMapScanPanic: a panic of the caller's own stays one.
func TestMapScanPanic(t *testing.T) {
	d := open(t, filepath.Join("..", "testdata", "tiny", "vmcore.zlib"), &vmcore.Options{Map: true})
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v", v)
		}
	}()
	_ = d.Scan(t.Context(), nil, func(*vmcore.Batch) error { panic("mine") })
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
