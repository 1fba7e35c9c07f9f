package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestConvertLevels: convert -d keeps the pages that makedumpfile keeps. The dumps were
// filtered, but their memory map is whole: with something in the pages that were left out
// they are unfiltered again. A page that an older makedumpfile leaves out of a newer kernel
// has to be the kernel's own, and to look like a process's to who does not know the kernel.
func TestConvertLevels(t *testing.T) {
	makedumpfile, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip("makedumpfile is not in PATH")
	}
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		levels := []int{31}
		switch {
		case g.Name == "arm64":
			t.Log("makedumpfile reads dumps of its own machine's kind alone")
			return
		case g.Name == "tiny":
			levels = []int{1, 2, 4, 8, 16, 31}
		case testing.Short():
			t.Skip("short: writes a dump of 80 MB three times")
		}
		whole := unfiltered(t, g.Dump())
		for _, level := range levels {
			sameLevel(t, g.Kernel, makedumpfile, whole, level)
		}
	})
}

// unfiltered is a dump with something in every page that was left out.
func unfiltered(t *testing.T, d *vmcore.Dump) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "unfiltered"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	filled := func(yield func(phys.Run, error) bool) {
		for run, err := range d.Runs() {
			if errors.Is(run.Why, phys.ErrExcluded) {
				run.Why = nil
			}
			if !yield(run, err) {
				return
			}
		}
	}
	u := d.Header.Utsname
	w, err := diskdump.NewWriter(f, diskdump.Plan{
		BlockSize: d.PageSize(), MaxPFN: d.MaxPFN(), Order: binary.LittleEndian, PtrSize: 8, Codec: "lzo",
		Utsname: diskdump.Utsname(u), CPUs: d.Header.CPUs, DumpLevel: 1, PhysBase: uint64(*d.Header.PhysBase),
		Notes: slices.Concat(d.Header.Notes...),
	}, filled)
	if err != nil {
		t.Fatal(err)
	}
	coder, err := diskdump.NewCoder("lzo", 0)
	if err != nil {
		t.Fatal(err)
	}
	var coded diskdump.Coded
	page, other := make([]byte, d.PageSize()), dumptest.Fill(d.PageSize(), "left out")
	for run := range filled {
		for p := run.Start; p < run.End && run.Why == nil; p++ {
			b := phys.Batch{PFN: []phys.PFN{p}, Data: [][]byte{page}, Err: []error{nil}}
			if _, err := d.ReadPhys(page, phys.PageSpan(p, 1, len(page)).Start); err != nil {
				b.Data[0] = other
			}
			coder.Encode(&b, len(page), &coded)
			if err := w.Write(&coded); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// sameLevel compares the pages that makedumpfile and convert keep at a level.
func sameLevel(t *testing.T, k *kernel.Kernel, makedumpfile, whole string, level int) {
	t.Helper()
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	if out, err := exec.Command(makedumpfile, "-l", "-d", fmt.Sprint(level), whole, theirs).CombinedOutput(); err != nil {
		t.Fatalf("makedumpfile: %v\n%.500s", err, out)
	}
	if o := call(t, "convert", "-d", fmt.Sprint(level), "-f", "lzo", whole, ours); o.code != 0 {
		t.Fatalf("convert -d %d: exit %d, %s", level, o.code, o.err)
	}
	a, b := keptPages(t, theirs), keptPages(t, ours)
	kept, more := 0, 0
	for p := range max(phys.PFN(len(a)), phys.PFN(len(b))) {
		switch {
		case a[p] && b[p]:
			kept++
		case a[p]:
			t.Fatalf("-d %d: makedumpfile keeps page %#x, convert leaves it out", level, uint64(p))
		case b[p]:
			more++
			takenForUser(t, k, p)
		}
	}
	t.Logf("-d %d: makedumpfile keeps %d of %d pages; %d more of the kernel's own are kept here",
		level, kept, k.Dump().MaxPFN(), more)
	if kept == 0 || level == 31 && kept > len(a)/2 {
		t.Errorf("-d %d: that is no filter", level)
	}
}

// takenForUser explains why a makedumpfile that is older than the kernel leaves a page out.
// The lowest bit of page.mapping says that a process owns the page. At the head of a slab, which
// a flag told until 6.9 and the type since, the number of slabs that follow it stands there;
// in the second page of a compound page, which is told by page.compound_info since 7.1 and by
// compound_head before, _entire_mapcount: -1.
func takenForUser(t *testing.T, k *kernel.Kernel, p phys.PFN) {
	t.Helper()
	m := mm.New(k)
	page, err := m.PageOf(t.Context(), uint64(p))
	if err != nil {
		t.Fatal(err)
	}
	head, err := m.HeadOf(t.Context(), uint64(p))
	if err != nil {
		t.Fatal(err)
	}
	if own := []string{"slab", "large_kmalloc"}; !slices.Contains(own, head.Type) || page.Mapping&1 == 0 {
		t.Errorf("page %#x: type %q, tail %t, head's type %q, mapping %#x: why does makedumpfile leave it out?",
			uint64(p), page.Type, page.Tail, head.Type, page.Mapping)
	}
}

// keptPages are the pages that a dump has.
func keptPages(t *testing.T, name string) []bool {
	t.Helper()
	d, err := vmcore.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	kept := make([]bool, d.MaxPFN())
	for run, err := range d.Runs() {
		if err != nil {
			t.Fatal(err)
		}
		for p := run.Start; p < run.End && run.Why == nil; p++ {
			kept[p] = true
		}
	}
	return kept
}
