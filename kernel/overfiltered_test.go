package kernel_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestOverfiltered: a makedumpfile older than the kernel leaves out pages of slabs. Every
// task of which the dump has the memory is listed, the stack of the crash is whole, and what
// the lost pages cost is said in few words.
func TestOverfiltered(t *testing.T) {
	if testing.Short() {
		t.Skip("rewrites dumps of 100 MB; run without -short")
	}
	for _, name := range []string{"6.12", "7.2"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(dumptest.Corpus(t), name)
			path := dumptest.Unpacked(t, filepath.Join(dir, "vmcore.raw.xz"))
			whole := openKernel(t, path)
			part := overfiltered(t, path, filepath.Join(dir, "truth/overfiltered.pfns"))
			want, got := map[uint64]bool{}, map[uint64]bool{}
			for task, err := range whole.Tasks(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				want[task.Addr] = true
			}
			told := 0
			for task, err := range part.Tasks(t.Context()) {
				if err != nil {
					told++
				}
				if got[task.Addr] = true; task.Addr != 0 && !want[task.Addr] {
					t.Errorf("task %#x (%d %s) is none of the kernel's", task.Addr, task.PID, task.Comm)
				}
			}
			there := 0
			for at := range want {
				if f := taskObject(t, part, at).Fields(); f.Text("comm") != "" && f.Uint("usage.refs.counter") > 0 {
					if there++; !got[at] {
						t.Errorf("task %#x %q is in the dump and not listed", at, f.Text("comm"))
					}
				}
			}
			t.Logf("%d tasks, %d of them in the dump; %d errors", len(want), there, told)
			if there == 0 || told == 0 || told > 20 {
				t.Errorf("%d tasks in the dump, %d errors", there, told)
			}
			if a, b := crashStack(t, part), crashStack(t, whole); a != b {
				t.Errorf("the stack of the crash is\n%s\nwant\n%s", a, b)
			}
		})
	}
}

func taskObject(t *testing.T, k *kernel.Kernel, at uint64) kernel.Object {
	t.Helper()
	task, err := k.TaskAt(at)
	if task.Addr == 0 {
		t.Fatal(err)
	}
	return task.Object
}

// crashStack is the stack of the CPU that crashed.
func crashStack(t *testing.T, k *kernel.Kernel) string {
	t.Helper()
	cpu, err := k.CrashCPU()
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := k.Dump().CPUs()
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Unwind(t.Context(), cpus[cpu].Regs)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for _, f := range s.Frames {
			if !yield(f.String()) {
				return
			}
		}
	}), "\n")
}

// overfiltered is a dump without the pages that a file names.
func overfiltered(t *testing.T, path, pfns string) *kernel.Kernel {
	t.Helper()
	whole, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	st, err := whole.Stat()
	if err != nil {
		t.Fatal(err)
	}
	from, err := diskdump.New(whole, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	image, err := dumptest.ImageOf(from)
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(pfns)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) { // "0x1045-0x1046 2"
		var first, last phys.PFN
		if _, err := fmt.Sscanf(line, "%v-%v", &first, &last); err != nil {
			t.Fatal(err)
		}
		for p := first; p <= last; p++ {
			delete(image.Pages, p)
		}
		image.Exclude(first, last+1)
	}
	o := dumptest.DefaultKDUMP()
	o.Notes, o.PhysBase, o.Codec = from.Notes, from.SubHeader.PhysBase, dumptest.Raw
	file, err := image.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
