package kernel_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// TestCFIOf61: the stacks of all tasks by the call frame information of vmlinux and its
// modules are those by ORC.
func TestCFIOf61(t *testing.T) {
	name := os.Getenv("KAUTOPSY_VMLINUX")
	if name == "" {
		t.Skip("KAUTOPSY_VMLINUX names no vmlinux with debug information")
	}
	dump := corpusDump(t, filepath.Join(dumptest.Corpus(t), "6.1", "vmcore.raw"))
	by := openWith(t, dump, kernel.Options{})
	names := map[string]string{"": name}
	tree := filepath.Join(filepath.Dir(name), "../lib/modules")
	err := filepath.WalkDir(tree, func(path string, _ os.DirEntry, err error) error {
		if module, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			names[strings.ReplaceAll(module, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	k := openWith(t, dump, kernel.Options{DebugInfo: debugFiles{t, names, map[string]kernel.Want{}}})
	k.IgnoreORC()
	want, got := stacksOf(t, by), stacksOf(t, k)
	equal, frames, cfi := 0, 0, 0
	for pid, w := range want {
		g := got[pid]
		if equalFrames(w, g) && w.Complete == g.Complete {
			equal++
		} else {
			t.Errorf("PID %d:\nORC %v %v %v\nCFI %v %v %v", pid, w.Complete, w.Why, w.Frames, g.Complete, g.Why, g.Frames)
		}
		for _, f := range g.Frames {
			if frames++; f.By == kernel.ByCFI {
				cfi++
			}
		}
	}
	t.Logf("%d of %d stacks equal, %d of %d frames by CFI", equal, len(want), cfi, frames)
	if len(want) < 100 || cfi < 500 {
		t.Error("that is not enough")
	}
}

// TestCFIAsORC compares what call frame information and ORC say of each address of the small
// kernel's module: where the frame is, and where its caller's rbp.
func TestCFIAsORC(t *testing.T) {
	k, _ := withDebug(t, map[string]string{"crashkit": tiny + "/crashkit.ko"})
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := k.DebugFile(t.Context(), "crashkit")
	if err != nil {
		t.Fatal(err)
	}
	table, err := d.Frames()
	if err != nil {
		t.Fatal(err)
	}
	n, functions := 0, map[string]bool{}
	all, err := k.AllSymbols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for s := range all.All() {
		if s.Module != "crashkit" || s.Type|0x20 != 't' {
			continue
		}
		for addr := s.Addr; addr < s.Addr+s.Size; addr++ {
			pc, ok := d.ToFile(addr)
			f, err := table.At(pc)
			if errors.Is(err, dwarf.ErrNoFrame) || !ok {
				continue // padding between functions
			}
			if err != nil {
				t.Fatal(err)
			}
			want, wantBP, ok := u.ORC(addr)
			if !ok {
				continue
			}
			cfa, err := f.CFA(someRegisters{}, k)
			if err != nil {
				t.Fatal(err)
			}
			bp := uint64(0)
			if r := f.Rule(6); r.Kind == dwarf.RuleOffset {
				bp = cfa + uint64(r.Offset)
			}
			if cfa != want || bp != wantBP {
				t.Errorf("%s+%#x: CFA %#x, rbp at %#x, by ORC %#x and %#x", s.Name, addr-s.Addr, cfa, bp, want, wantBP)
			}
			n++
			functions[s.Name] = true
		}
	}
	t.Logf("%d addresses in %d functions", n, len(functions))
	if n < 2000 || len(functions) < 15 {
		t.Error("that is not enough")
	}
}

// someRegisters are rsp and rbp with values that Unwinder.ORC takes too.
type someRegisters struct{}

func (someRegisters) Register(n int) (uint64, bool) {
	v, ok := map[int]uint64{6: kernel.SomeBP, 7: kernel.SomeSP}[n]
	return v, ok
}

// stacksOf are the stacks of all tasks that do not run.
func stacksOf(t *testing.T, k *kernel.Kernel) map[int]kernel.Stack {
	t.Helper()
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]kernel.Stack{}
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if task.OnCPU {
			continue
		}
		if out[task.PID], err = u.Stack(t.Context(), task); err != nil {
			t.Error(task.PID, err)
		}
	}
	return out
}

func equalFrames(a, b kernel.Stack) bool {
	if len(a.Frames) != len(b.Frames) {
		return false
	}
	for i, f := range a.Frames {
		if g := b.Frames[i]; f.Addr != g.Addr || f.SP != g.SP || f.Kind != g.Kind {
			return false
		}
	}
	return true
}
