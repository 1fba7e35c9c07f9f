package kernel_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// TestStackMemory: what a look at the stack finds holds what the walk found: all of its
// return addresses, and the registers of user space.
func TestStackMemory(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		u, err := g.Unwinder(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		processes, threads := 0, 0
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			walked, err := u.Stack(t.Context(), task)
			if err != nil || task.OnCPU || !walked.Complete {
				continue
			}
			mem, err := u.Memory(task)
			if errors.Is(err, phys.ErrHole) {
				continue // it has ended
			}
			if err != nil {
				t.Fatalf("task %d: %v", pid, err)
			}
			onStack(t, u, mem, walked)
			user, ok := walked.User()
			found := u.Entries(mem, mem.SP)
			if !ok {
				threads++
				if len(found) > 0 {
					t.Errorf("task %d %s: exception frame at %#x", pid, task.Comm, found[0].Addr)
				}
				continue
			}
			processes++
			// Others are left from before.
			if n := len(found); n == 0 || n > 3 || found[n-1].Addr != user.Addr || found[n-1].PC() != user.PC() {
				t.Errorf("task %d %s: %d exception frames, want one at %#x", pid, task.Comm, len(found), user.Addr)
			}
		}
		t.Logf("stacks of %d processes and %d kernel threads", processes, threads)
		if processes < 50 || threads < 20 {
			t.Errorf("stacks of %d processes and %d kernel threads", processes, threads)
		}
	})
}

// onStack looks for the frames of a walk among the words of a stack.
func onStack(t *testing.T, u *kernel.Unwinder, mem kernel.StackMemory, walked kernel.Stack) {
	t.Helper()
	text := u.Text(mem, mem.SP)
	for i, f := range walked.Frames {
		if f.Kind != kernel.FrameCall || i == 0 || i == len(walked.Frames)-1 {
			continue // where it slept, and the entry
		}
		if !slices.ContainsFunc(text, func(w kernel.Frame) bool { return w.Addr == f.Addr && w.Symbol == f.Symbol }) {
			t.Errorf("%v is not among %d words", f, len(text))
		}
	}
	if v, ok := mem.Word(mem.SP); !ok || len(mem.Used()) == 0 || v != mem.Used()[0] {
		t.Errorf("word at %#x: %#x, %t", mem.SP, v, ok)
	}
	if _, ok := mem.Word(mem.Addr + 8*uint64(len(mem.Words))); ok {
		t.Error("a word behind the stack")
	}
}

// TestStackMemoryAbsent: a stack of which a part is lost says so and shows the rest; an ended
// task has none.
func TestStackMemoryAbsent(t *testing.T) {
	var task kernel.Task
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		task = guesttest.Tasks(t, k)[1]
		base, err := task.Pointer("stack")
		if err != nil {
			t.Fatal(err)
		}
		m.Lose(base + 0x2000)
	})
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	task = guesttest.Tasks(t, k)[1]
	mem, err := u.Memory(task)
	if phys.Reason(err) != phys.ErrLost || len(mem.Words) != 0x400 || len(mem.Used()) != 0 {
		t.Errorf("%d words, %d used: %v", len(mem.Words), len(mem.Used()), err)
	}
	for _, task := range guesttest.Tasks(t, k) {
		if task.State.String() != "ZO" {
			continue
		}
		if _, err := u.Memory(task); err != nil && !errors.Is(err, phys.ErrHole) {
			t.Errorf("ended task: %v", err)
		}
	}
}
