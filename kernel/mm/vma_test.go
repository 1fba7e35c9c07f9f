package mm_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/mm"
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
