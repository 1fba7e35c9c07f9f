package vfs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/vfs"
)

// TestMounts: the mounts of process 1 are the lines of its /proc/mounts, but the recorder's
// disk, which was unmounted before the crash. A kernel that does not name its variables
// (arm64's) does not tell tmpfs's default limits from others nor where the types of modules
// are; 5.10 has none of the module ext4.
func TestMounts(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		var want []string
		for line := range strings.Lines(g.Truth(t, "mounts")) {
			if !strings.HasPrefix(line, "/dev/vda ") {
				want = append(want, strings.TrimSuffix(line, "\n"))
			}
		}
		n := 0
		for m, err := range vfs.Mounts(t.Context(), g.Kernel, guesttest.Tasks(t, g.Kernel)[1]) {
			if err != nil {
				t.Error(err)
			}
			if n == len(want) {
				t.Fatalf("one too many: %+v", m)
			}
			options := strings.Join(m.Options, ",")
			if g.Name == "arm64" && m.Dir == "/mnt/tmp" {
				options = strings.Replace(options, ",nr_inodes=16408", "", 1)
			}
			line := fmt.Sprintf("%s %s %s %s 0 0", m.Device, m.Dir, m.Type, options)
			if line != want[n] {
				t.Errorf("\n got %s\nwant %s", line, want[n])
			}
			if !m.Complete && m.Type != "cgroup2" && (m.Type != "ext4" || g.Name != "5.10" && g.Name != "arm64") {
				t.Errorf("%s: not all options are known", m.Dir)
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%d mounts, want %d", n, len(want))
		}
	})
}
