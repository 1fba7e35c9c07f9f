package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// BenchmarkSparse1TiB runs whole commands on a dump of a machine whose physical addresses
// reach 1 TiB: the pages of the committed dump, in a file whose bitmaps cover 2^28 pages
// of which all are RAM. It reports the time of a process and its largest resident set.
func BenchmarkSparse1TiB(b *testing.B) {
	dump := sparseDump(b)
	binary := filepath.Join(b.TempDir(), "kautopsy")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	for _, command := range []string{"info", "log", "triage", "verify"} {
		b.Run(command, func(b *testing.B) {
			var rss int64
			for b.Loop() {
				if err := exec.Command(binary, command, dump).Run(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			for range 3 {
				rss = max(rss, residentSet(b, binary, command, dump))
			}
			b.ReportMetric(float64(rss)/1024, "MiB-RSS")
		})
	}
}

// launched is the command line that TestLaunch runs, its words separated by newlines.
const launched = "KAUTOPSY_BENCH_LAUNCH"

// residentSet is the largest resident set of a command, in KiB. Linux counts the memory of
// the process that called exec with it, so a small process in between has to start it:
// this test's own binary again.
func residentSet(b *testing.B, command ...string) int64 {
	b.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestLaunch$")
	c.Env = append(os.Environ(), launched+"="+strings.Join(command, "\n"))
	out, err := c.Output()
	if err != nil {
		b.Fatal(err)
	}
	kib, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib
}

// TestLaunch is no test of its own: it is what residentSet starts.
func TestLaunch(t *testing.T) {
	words := strings.Split(os.Getenv(launched), "\n")
	if words[0] == "" {
		return
	}
	c := exec.Command(words[0], words[1:]...)
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	fmt.Println(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
}

func sparseDump(b *testing.B) string {
	b.Helper()
	in, err := os.Open("../../testdata/tiny/vmcore.zlib")
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		b.Fatal(err)
	}
	from, err := diskdump.New(in, st.Size())
	if err != nil {
		b.Fatal(err)
	}
	out, err := os.Create(filepath.Join(b.TempDir(), "vmcore"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	if err := writeSparse(out, from); err != nil {
		b.Fatal(err)
	}
	return out.Name()
}

func writeSparse(out *os.File, from *diskdump.File) error {
	o := dumptest.DefaultKDUMP()
	o.Notes, o.PhysBase = from.Notes, from.SubHeader.PhysBase
	return dumptest.Sparse(out, from, o, 1<<28, true)
}
