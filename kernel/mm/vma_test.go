package mm_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

// mapsLine is a line of /proc/PID/maps.
var mapsLine = regexp.MustCompile(`^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ *(.*)$`)

// maps are the texts of /proc/PID/maps by PID, as "start-end perms offset name" lines.
func maps(text string) map[int]string {
	out := make(map[int]string)
	pid := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n, _ := fmt.Sscanf(line, "== %d", &pid); n == 1 {
			continue
		}
		if f := mapsLine.FindStringSubmatch(line); f != nil {
			out[pid] += strings.TrimRight(f[1]+"-"+strings.Join(f[2:], " "), " ") + "\n"
		}
	}
	return out
}

// TestVMAs: every mapping of every process is that of its /proc/PID/maps: addresses,
// permissions, offset, name.
func TestVMAs(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		m := mm.New(g.Kernel)
		want := maps(g.Truth(t, "maps.txt"))
		same, mappings := 0, 0
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			space, err := m.AddressSpace(task)
			if err != nil {
				if want[pid] != "" && pid != g.Recorder(t) { // which has ended where it did not crash itself
					t.Errorf("task %d: %v", pid, err)
				}
				continue
			}
			var got strings.Builder
			for v, err := range m.VMAs(t.Context(), space) {
				if err != nil || v.Err != nil {
					t.Fatalf("task %d: %v, %v", pid, err, v.Err)
				}
				line := fmt.Sprintf("%08x-%08x %s %08x %s", v.Start, v.End, v.Perms(), v.Offset, v.Name)
				got.WriteString(strings.TrimRight(line, " ") + "\n")
				mappings++
			}
			if pid != task.TGID {
				continue // the truth has processes
			}
			if d := cmp.Diff(want[pid], got.String()); d != "" {
				t.Errorf("task %d (%s): %.600s", pid, task.Comm, d)
			}
			same++
		}
		if same < 40 || mappings < 300 {
			t.Errorf("%d processes, %d mappings", same, mappings)
		}
	})
}

// TestUserPages: the pages of a process that its page tables map are as many as its counters
// of resident memory say. What the kernel maps without a struct page is not counted there:
// [vvar], the page of zeros that untouched memory reads as.
func TestUserPages(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		m := mm.New(g.Kernel)
		zeros := phys.Addr(0)
		if sym, err := g.Kernel.Symbol("empty_zero_page"); err == nil {
			zeros, _ = g.Kernel.Translate(sym.Addr)
		}
		processes, pages := 0, uint64(0)
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			space, err := m.AddressSpace(task)
			if err != nil || pid != task.TGID {
				continue
			}
			u, err := g.Kernel.UserMemory(space)
			if err != nil {
				t.Fatal(err)
			}
			got := uint64(0)
			for v, err := range m.VMAs(t.Context(), space) {
				if err != nil {
					t.Fatal(err)
				}
				at := v.Start
				for p, err := range u.Pages(t.Context(), v.Start, v.End) {
					if err != nil || p.Start != at || p.End <= at || p.End > v.End {
						t.Fatalf("task %d: %#x-%#x behind %#x: %v", pid, p.Start, p.End, at, err)
					}
					at = p.End
					if p.Mapped && p.Addr != zeros && !strings.HasPrefix(v.Name, "[vvar") {
						got += p.End - p.Start
					}
				}
				if at != v.End {
					t.Errorf("task %d: pages up to %#x of %#x", pid, at, v.End)
				}
			}
			if got != task.RSS {
				t.Errorf("task %d (%s): %d bytes mapped, %d counted", pid, task.Comm, got, task.RSS)
			}
			processes++
			pages += got / uint64(g.Kernel.PageSize())
		}
		if processes < 40 || pages < 2000 {
			t.Errorf("%d processes, %d pages", processes, pages)
		}
	})
}

// TestSwaps compares with /proc/swaps.
func TestSwaps(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if g.Name == "arm64" {
			t.Log("its kallsyms names functions only, and swap_info is not exported")
			return
		}
		areas, err := mm.New(g.Kernel).Swaps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, a := range areas {
			if a.Err != nil {
				t.Error(a.Err)
			}
			kind := "file"
			if a.Partition {
				kind = "partition"
			}
			got = append(got, fmt.Sprintf("%s %s %d %d %d", a.Name, kind, a.Size/1024, a.Used/1024, a.Priority))
		}
		for _, w := range fields(g.Truth(t, "swaps"))[1:] {
			want = append(want, strings.Join(w, " "))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if g.Name == "tiny" && len(got) == 0 {
			t.Error("no swap area")
		}
	})
}
