package vmcore_test

import (
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestScan: work sees every page once, in any order; deliver sees what work made, in the
// order of the pages.
func TestScan(t *testing.T) {
	d := numberedPages(t, 3000, 1000)
	var worked atomic.Int64
	var got []phys.PFN
	work := func(b *vmcore.Batch) error {
		worked.Add(int64(len(b.PFN)))
		b.Out = slices.Clone(b.PFN)
		return nil
	}
	bad := 0
	err := d.Scan(t.Context(), work, func(b *vmcore.Batch) error {
		got = append(got, b.Out.([]phys.PFN)...)
		for page, err := range b.All() {
			if err != nil {
				bad++
			} else if len(page.Data) != d.PageSize() {
				t.Errorf("page %#x: %d bytes", uint64(page.PFN), len(page.Data))
			}
		}
		return nil
	})
	if err != nil || int(worked.Load()) != len(got) || len(got) != 2400 || !slices.IsSorted(got) || bad != 1 {
		t.Errorf("%v; %d pages worked on, %d delivered, sorted %t, %d damaged", err, worked.Load(), len(got), slices.IsSorted(got), bad)
	}
}

// TestScanFails: an error of either side ends the scan and is what Scan says; batches
// before the one that failed are delivered.
func TestScanFails(t *testing.T) {
	d := numberedPages(t, 5000)
	errMine := errors.New("mine")
	delivered := 0
	err := d.Scan(t.Context(), func(b *vmcore.Batch) error {
		if b.PFN[0] <= 1000 && 1000 <= b.PFN[len(b.PFN)-1] {
			return errMine
		}
		return nil
	}, func(b *vmcore.Batch) error { delivered += len(b.PFN); return nil })
	if !errors.Is(err, errMine) || delivered > 800 || delivered < 700 {
		t.Errorf("work failed: %v after %d pages", err, delivered)
	}
	calls := 0
	err = d.Scan(t.Context(), nil, func(*vmcore.Batch) error { calls++; return errMine })
	if !errors.Is(err, errMine) || calls != 1 {
		t.Errorf("deliver failed: %v after %d calls", err, calls)
	}
}

// TestScanBackPressure: while the caller does not take a batch, the workers come to a stop.
func TestScanBackPressure(t *testing.T) {
	d := numberedPages(t, 20000)
	var worked atomic.Int64
	slow := true
	err := d.Scan(t.Context(), func(*vmcore.Batch) error { worked.Add(1); return nil }, func(*vmcore.Batch) error {
		for range 1000 {
			runtime.Gosched()
		}
		if n := worked.Load(); slow && n > int64(4*runtime.GOMAXPROCS(0)+4) {
			t.Errorf("%d batches are done before the first was taken", n)
		}
		slow = false
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestScanDoesNotAllocate: the memory of a scan is that of its batches, however many pages
// there are.
func TestScanDoesNotAllocate(t *testing.T) {
	if dumptest.Race {
		t.Skip("the race detector makes pools forget")
	}
	allocs := func(pages int) float64 {
		d := numberedPages(t, pages)
		return testing.AllocsPerRun(3, func() {
			if n, err := walk(t.Context(), d, func(int) bool { return true }); n != pages*8/10 || err != nil {
				t.Errorf("%d pages, %v", n, err)
			}
		})
	}
	few, many := allocs(2000), allocs(12000)
	if perPage := (many - few) / 8000; perPage > 0.01 {
		t.Errorf("%.0f allocations for 1600 pages, %.0f for 9600", few, many)
	}
}
