package vfs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/vfs"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// fdLine is a file as fds.txt has it, as far as memory tells: "3 pipe:[14] | pos: 0 |
// flags: 00 | ino: 14". Before 5.14 fdinfo had no inode.
func fdLine(f vfs.File, ino bool) string {
	line := fmt.Sprintf("%d %s | pos: %d | flags: 0%o", f.FD, f.Path, f.Pos, f.FDInfoFlags())
	if ino {
		line += fmt.Sprintf(" | ino: %d", f.Ino)
	}
	return line
}

// recorded are the lines of fds.txt by PID, without what fdLine does not tell.
func recorded(text string) map[int][]string {
	out := map[int][]string{}
	for line := range strings.Lines(text) {
		var pid int
		fmt.Sscan(line, &pid)
		_, line, _ = strings.Cut(strings.TrimRight(line, "\n"), " ")
		var parts []string
		for i, p := range strings.Split(line, " | ") {
			if i == 0 || strings.HasPrefix(p, "pos: ") || strings.HasPrefix(p, "flags: ") || strings.HasPrefix(p, "ino: ") {
				parts = append(parts, p)
			}
		}
		out[pid] = append(out[pid], strings.Join(parts, " | "))
	}
	return out
}

// places are the lines of a task that are no descriptors.
func places(t *testing.T, k *kernel.Kernel, task kernel.Task) (lines []string) {
	t.Helper()
	p, err := vfs.PlacesOf(k, task)
	if err != nil {
		t.Error(err)
	}
	for _, l := range []string{"cwd " + p.CWD, "root " + p.Root, "exe " + p.Exe} {
		if !strings.HasSuffix(l, " ") {
			lines = append(lines, l)
		}
	}
	return lines
}

// TestFiles: root, working directory, program and every open file of every process, with
// position, flags and inode, are those of the guest's /proc. Processes that came and went
// with the recorder, and what it still held open when it died, are left out.
func TestFiles(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		want := recorded(g.Truth(t, "fds.txt"))
		tasks := guesttest.Tasks(t, g.Kernel)
		n := 0
		for _, pid := range guesttest.Sorted(want) {
			task, alive := tasks[pid]
			if !alive || pid == g.Recorder(t) {
				continue
			}
			got := places(t, g.Kernel, task)
			for f, err := range vfs.Files(t.Context(), g.Kernel, task) {
				if err != nil {
					t.Error(err)
				}
				got = append(got, fdLine(f, strings.Contains(want[1][3], "ino: ")))
			}
			n += len(got)
			if g, w := strings.Join(got, "\n"), strings.Join(want[pid], "\n"); g != w {
				t.Errorf("task %d has open\n%s\nand had\n%s", pid, g, w)
			}
		}
		t.Logf("%d links of %d processes", n, len(want))
		if n < 300 {
			t.Error("that is not enough")
		}
	})
}
