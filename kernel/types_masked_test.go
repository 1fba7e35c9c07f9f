package kernel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
)

// TestWithoutBTF: what a kernel says when its BTF is masked and its vmlinux is at hand is
// what it says by its BTF.
func TestWithoutBTF(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	files := debugFiles{t, map[string]string{"": tiny + "/vmlinux.debug.xz", "crashkit": tiny + "/crashkit.ko"}, map[string]kernel.Want{}}
	sameAnswers(t, tiny+"/vmcore.zlib", files, 30)
}

// TestWithoutBTFOf61 does the same with a kernel of a distribution.
func TestWithoutBTFOf61(t *testing.T) {
	name := os.Getenv("KAUTOPSY_VMLINUX")
	if name == "" {
		t.Skip("KAUTOPSY_VMLINUX names no vmlinux with debug information")
	}
	files := debugFiles{t, map[string]string{"": name}, map[string]kernel.Want{}}
	sameAnswers(t, corpusDump(t, filepath.Join(dumptest.Corpus(t), "6.1", "vmcore.raw")), files, 100)
}

func sameAnswers(t *testing.T, dump string, files debugFiles, least int) {
	t.Helper()
	want := told(t, openWith(t, dump, kernel.Options{}))
	k := openWith(t, dump, kernel.Options{DebugInfo: files, IgnoreBTF: true})
	if b, err := k.BTF(); b != nil || err == nil {
		t.Fatal("the BTF is not masked")
	}
	got := told(t, k)
	for what, text := range want {
		if lines := strings.Count(text, "\n"); lines < least && what != "modules" || lines == 0 {
			t.Errorf("%s: %d lines", what, lines)
		}
		if text == got[what] {
			continue
		}
		a, b := strings.Split(text, "\n"), strings.Split(got[what], "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Errorf("%s:\nBTF   %s\nDWARF %s", what, a[i], b[i])
				break
			}
		}
		if len(a) != len(b) {
			t.Errorf("%s: %d lines, %d by DWARF", what, len(a), len(b))
		}
	}
}

// told are the tasks, their stacks, the log and the modules as text.
func told(t *testing.T, k *kernel.Kernel) map[string]string {
	t.Helper()
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ps, bt, mod strings.Builder
	for task, err := range k.Tasks(t.Context()) {
		times, terr := task.Times()
		args, _, aerr := task.Arguments()
		fmt.Fprintln(&ps, task.Addr, task.PID, task.TGID, task.PPID, task.Comm, task.State, task.CPU, task.OnCPU, task.KernelThread,
			task.Start, task.VSZ, task.RSS, times, args, err, terr, aerr)
		s, serr := u.Stack(t.Context(), task)
		fmt.Fprintln(&bt, task.PID, s.How, s.Complete, s.Why, serr)
		for _, f := range s.Frames {
			fmt.Fprintf(&bt, "  %v %s %#x %#x %v\n", f.Kind, f.By, f.Addr, f.SP, f)
		}
	}
	log, err := k.LogText(t.Context())
	if err != nil {
		t.Error(err)
	}
	for m, err := range k.ModuleInfos(t.Context()) {
		fmt.Fprintln(&mod, m.Addr, m.Name, m.Base, m.Size, m.Areas, m.Refs, m.UsedBy, m.State, m.Taints, m.Version, m.BuildID, m.Args, err)
	}
	return map[string]string{"tasks": ps.String(), "stacks": bt.String(), "log": string(log), "modules": mod.String()}
}
