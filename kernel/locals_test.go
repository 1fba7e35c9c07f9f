package kernel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// localsOf are the variables in the frames of a task that are in a function.
func localsOf(t *testing.T, k *kernel.Kernel, comm, function string) []kernel.Local {
	t.Helper()
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []kernel.Local
	found := false
	for task, err := range k.Tasks(t.Context()) {
		if err != nil || task.Comm != comm {
			continue
		}
		s, err := u.Stack(t.Context(), task)
		if err != nil {
			t.Fatal(err)
		}
		l, err := u.Locals(s)
		if err != nil {
			t.Fatal(err)
		}
		for n := range s.Frames {
			scopes, err := l.Frame(t.Context(), n)
			if err != nil && !errors.Is(err, dwarf.ErrNoDebug) {
				t.Errorf("%v: %v", s.Frames[n], err)
			}
			for _, sc := range scopes {
				if sc.Function == function {
					found, out = true, append(out, sc.Locals...)
				}
			}
		}
	}
	if !found {
		t.Fatalf("%s is not on the stack of %s", function, comm)
	}
	return out
}

// local finds a variable by its name.
func local(t *testing.T, list []kernel.Local, name string) kernel.Local {
	t.Helper()
	i := slices.IndexFunc(list, func(l kernel.Local) bool { return l.Name == name })
	if i < 0 {
		t.Fatalf("no variable %s among %v", name, list)
	}
	return list[i]
}

// TestLocals: what is known of the guest's functions, and why the rest is not: the module has
// all that a compiler writes, the kernel's file neither location lists nor call frame
// information.
func TestLocals(t *testing.T) {
	k, _ := withDebug(t, map[string]string{"": tiny + "/vmlinux.debug.xz", "crashkit": tiny + "/crashkit.ko"})
	work, err := k.Evaluate(t.Context(), "&ck_work")
	if err != nil {
		t.Fatal(err)
	}
	w := local(t, localsOf(t, k, "kworker/0:1", "ck_null_work"), "w")
	if w.Err != nil || !w.Parameter || w.InMemory || w.Register != "rdi" || w.Value.Number != work[0].Number || w.Type.String() != "struct work_struct *" {
		t.Errorf("the work that ran: %#x, want %#x; %+v", w.Value.Number, work[0].Number, w)
	}
	all, err := k.AllSymbols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	named := kernel.ValueStyle{Symbol: func(va uint64) string {
		s, _, _ := all.At(va)
		return s.Name
	}}
	if got := w.Text(named); !strings.HasSuffix(got, " <ck_work> → ck_null_work") {
		t.Errorf("it is told as %q", got)
	}
	x := local(t, localsOf(t, k, "ck-idle", "ck_idle_fn"), "x")
	if !errors.Is(x.Err, kernel.ErrNotKept) || errors.Is(x.Err, dwarf.ErrOptimised) || phys.Reason(x.Err) == nil {
		t.Errorf("an argument in a register that was overwritten: %+v", x)
	}
	kthread := localsOf(t, k, "ck-idle", "kthread")
	param := local(t, kthread, "param")
	if param.Err != nil || !param.InMemory || param.Text(named) != "{sched_priority = 0}" {
		t.Errorf("a struct in memory: %s, %+v", param.Text(named), param)
	}
	if self := local(t, kthread, "self"); !errors.Is(self.Err, dwarf.ErrNoDebug) || !strings.Contains(self.Err.Error(), ".debug_loclists") {
		t.Errorf("without location lists: %v", self.Err)
	}
	if cpu := local(t, localsOf(t, k, "swapper/0", "__schedule"), "cpu"); !errors.Is(cpu.Err, dwarf.ErrOptimised) || cpu.Text(named) != "<optimised out>" {
		t.Errorf("what the compiler did not keep: %+v", cpu)
	}
}

// TestKeptRegisters: callers have the registers that the functions they called have saved, by
// call frame information where the file has it, and no other.
func TestKeptRegisters(t *testing.T) {
	k, _ := withDebug(t, map[string]string{"crashkit": tiny + "/crashkit.ko"})
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tasks := k.Tasks(t.Context())
	seen := 0
	for task, err := range tasks {
		if err != nil {
			continue
		}
		s, err := u.Stack(t.Context(), task)
		if err != nil || len(s.Frames) < 3 {
			continue
		}
		l, err := u.Locals(s)
		if err != nil {
			t.Fatal(err)
		}
		for n, f := range s.Frames[:len(s.Frames)-1] {
			rsp, ok := l.Register(n, "rsp")
			if !ok || rsp != f.SP {
				t.Errorf("%v: rsp %#x, %v; want %#x", f, rsp, ok, f.SP)
			}
			_, rax := l.Register(n+1, "rax")
			if rax && s.Frames[n].Regs == nil {
				t.Errorf("%v: rax survived a call", s.Frames[n+1])
			}
			if f.Symbol.Name != "ck_null_work" {
				continue
			}
			seen++
			for _, name := range []string{"rbx", "rbp", "r12", "r13", "r14", "r15"} {
				now, _ := l.Register(n, name)
				if v, ok := l.Register(n+1, name); !ok || v != now {
					t.Errorf("%s of the caller of ck_null_work, which saves none: %#x, %v; want %#x", name, v, ok, now)
				}
			}
			if _, ok := l.Register(n+2, "r12"); ok {
				t.Error("r12 came through a function without call frame information")
			}
		}
	}
	if seen != 1 {
		t.Errorf("%d stacks through ck_null_work", seen)
	}
}
