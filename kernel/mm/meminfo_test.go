package mm_test

import (
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

const mib = 1 << 20

// near tells whether a number is within a part of another, or within some bytes of it.
func near(got, want uint64, percent uint64, bytes uint64) bool {
	d := max(got, want) - min(got, want)
	return d <= max(want*percent/100, bytes)
}

// TestMemInfo compares every line with /proc/meminfo. The recorder reads it last of all, then
// syncs and unmounts the file system that it wrote to: what was dirty is written and gone
// from the page cache.
func TestMemInfo(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		info := mm.New(g.Kernel).MemInfo(t.Context())
		for _, m := range info.Missing {
			t.Errorf("%s: %s", m.What, m.Why)
		}
		want := make(map[string]uint64)
		for _, w := range fields(g.Truth(t, "meminfo")) {
			v := number(t, w[1])
			if len(w) > 2 {
				v *= 1024
			}
			want[strings.TrimSuffix(w[0], ":")] = v
		}
		compared := 0
		for _, l := range info.Lines {
			v, ok := want[l.Name]
			if !ok {
				continue // not every kernel shows all that it counts
			}
			compared++
			percent, bytes := uint64(1), uint64(mib)
			switch l.Name {
			case "MemFree", "MemAvailable", "Cached", "Inactive", "Inactive(file)", "Active", "Active(file)", "CmaFree":
				percent, bytes = 5, 8*mib+want["Dirty"]
			case "Dirty", "Writeback":
				percent, bytes = 100, mib
			}
			if !near(l.Value, v, percent, bytes) {
				t.Errorf("%s is %d KiB, was %d", l.Name, l.Value/1024, v/1024)
			}
		}
		least := 35
		if g.Name == "arm64" { // of which only exported variables are found
			least = 27
		}
		if compared < least {
			t.Errorf("only %d lines", compared)
		}
		for _, name := range []string{"MemTotal", "Slab", "Shmem", "AnonPages"} {
			if v, ok := info.Get(name); !ok || v == 0 {
				t.Errorf("%s: %d, %t", name, v, ok)
			}
		}
	})
}

// TestNodes: the zones are those of /proc/zoneinfo and /proc/buddyinfo, and their free blocks
// are the free pages that the kernel counts, but for those that CPUs keep.
func TestNodes(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		m := mm.New(g.Kernel)
		nodes, err := m.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		free, managed := uint64(0), uint64(0)
		for _, n := range nodes {
			for _, z := range n.Zones {
				if z.Err != nil {
					t.Error(z.Err)
				}
				if z.Present > 0 {
					got = append(got, z.Name)
				}
				if z.Managed > z.Present || z.Present > z.Spanned || z.WatermarkMin > z.Low || z.Low > z.High {
					t.Errorf("zone %+v", z)
				}
				free += z.FreePages()
				managed += z.Managed
			}
		}
		var want []string
		for _, w := range fields(g.Truth(t, "buddyinfo")) {
			want = append(want, w[3])
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("zones %q, were %q", got, want)
		}
		info := m.MemInfo(t.Context())
		counted, _ := info.Get("MemFree")
		total, _ := info.Get("MemTotal")
		page := uint64(g.PageSize())
		if !near(free*page, counted, 2, 4*mib) || managed*page != total {
			t.Errorf("%d pages in free blocks, %d counted; %d managed, %d in total", free, counted/page, managed, total/page)
		}
	})
}

// TestVmstat: events never count backwards.
func TestVmstat(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		v, err := mm.New(g.Kernel).Vmstat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if free, ok := v.Get("NR_FREE_PAGES"); !ok || free <= 0 {
			t.Errorf("NR_FREE_PAGES is %d, %t", free, ok)
		}
		if g.Name == "tiny" {
			t.Log("built without CONFIG_VM_EVENT_COUNTERS")
			return
		}
		compared := 0
		for _, w := range fields(g.Truth(t, "vmstat")) {
			got, ok := v.Get(strings.ToUpper(w[0]))
			switch w[0] {
			case "pgfault", "pgalloc_normal", "pgfree", "pgpgin":
			default:
				ok = false
			}
			if before := int64(number(t, w[1])); ok {
				if compared++; got < before || got > before*2+100000 {
					t.Errorf("%s is %d, was %d", w[0], got, before)
				}
			}
		}
		if compared < 3 {
			t.Errorf("only %d events", compared)
		}
	})
}
