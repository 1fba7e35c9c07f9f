package kernel_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// TestLargeMachine: the same kernel on a machine with 4 GiB, 1 TiB and 64 TiB of memory
// answers the same. On x86_64 the image stands 2 GiB below the end of the address space,
// so sums with the size of memory wrap.
func TestLargeMachine(t *testing.T) {
	file, err := os.Open(tiny + "/vmcore.zlib")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	from, err := diskdump.New(file, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	sizes := []phys.PFN{1 << 20, 1 << 28, 1 << 34}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, pages := range sizes {
		name := filepath.Join(t.TempDir(), "vmcore")
		writeSparse(t, name, from, pages)
		k := openKernel(t, name)
		table, err := k.AllSymbols(t.Context())
		if err != nil || table.Len() != 27516+68 {
			t.Errorf("%d pages: %d symbols, %v", uint64(pages), table.Len(), err)
		}
		tasks := 0
		for _, err := range k.Tasks(t.Context()) {
			if err != nil {
				t.Errorf("%d pages: %v", uint64(pages), err)
			}
			tasks++
		}
		if s := k.System(t.Context()); tasks != 120 || len(s.Missing) > 0 {
			t.Errorf("%d pages: %d tasks, missing %v", uint64(pages), tasks, s.Missing)
		}
	}
}

func writeSparse(t *testing.T, name string, from *diskdump.File, pages phys.PFN) {
	t.Helper()
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	o := dumptest.DefaultKDUMP()
	o.Notes, o.PhysBase = from.Notes, from.SubHeader.PhysBase
	if err := dumptest.Sparse(out, from, o, pages, false); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutPageTables: the kernel image alone is enough for the log and the symbols. The
// kernel's root table is left out of the dump; the image of this one was loaded lower than
// its addresses say, so its range begins before physical 0.
func TestWithoutPageTables(t *testing.T) {
	file, err := os.ReadFile(tiny + "/vmcore.zlib")
	if err != nil {
		t.Fatal(err)
	}
	from, err := diskdump.New(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	info, err := openKernel(t, tiny+"/vmcore.zlib").Info()
	if err != nil {
		t.Fatal(err)
	}
	m, err := dumptest.ImageOf(from)
	if err != nil {
		t.Fatal(err)
	}
	root, _ := info.Symbol("swapper_pg_dir")
	base, _ := info.Number("phys_base")
	page := phys.PFN((root - 0xffffffff80000000 + uint64(base)) / 4096)
	delete(m.Pages, page)
	m.Exclude(page, page+1)
	o := dumptest.DefaultKDUMP()
	o.Notes, o.PhysBase = from.Notes, from.SubHeader.PhysBase
	dump, err := m.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(name, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	k := openKernel(t, name)
	if table, err := k.Symbols(); err != nil || table.Len() != 27516 {
		t.Errorf("symbols: %v", err)
	}
	if text, err := k.LogText(t.Context()); err != nil || len(text) != 14439 {
		t.Errorf("log of %d bytes, %v", len(text), err)
	}
}
