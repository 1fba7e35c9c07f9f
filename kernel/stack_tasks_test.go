package kernel_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// sleepers walks every task that does not run and compares its stack with what /proc/PID/
// stack had before the crash. Most tasks of the lab sleep in one place for good; at least
// so many percent must be equal, and every stack must come to its end.
func sleepers(t *testing.T, k *kernel.Kernel, tr truth, percent int) {
	t.Helper()
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := procStacks(tr.text("stack.txt"))
	walked, compared, equal := 0, 0, 0
	for task := range tasks(t, k) {
		s := taskStack(t, u, task)
		f := task.Fields()
		id := fmt.Sprintf("%d", f.Int("pid"))
		if running(t, task) {
			continue
		}
		walked++
		if !s.Complete || !ended(s) {
			t.Errorf("task %s %q: %s, %v", id, f.Text("comm"), s.How, s.Why)
		}
		if len(want[id]) == 0 {
			continue
		}
		compared++
		if got := unscheduled(t, k, s); slices.EqualFunc(got, want[id], func(f kernel.Frame, line string) bool { return f.String() == line }) {
			equal++
		} else {
			t.Logf("task %s %q: now %v, was %q", id, f.Text("comm"), got, want[id])
		}
	}
	t.Logf("%d tasks walked, %d of %d as in /proc", walked, equal, compared)
	if walked < 30 || equal*100 < compared*percent {
		t.Errorf("%d tasks walked, %d of %d as in /proc", walked, equal, compared)
	}
}

// tasks are all tasks but the idle ones.
func tasks(t *testing.T, k *kernel.Kernel) func(func(kernel.Object) bool) {
	t.Helper()
	first := firstTask(t, k)
	head, err := first.Member("tasks")
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(kernel.Object) bool) {
		for leader, err := range k.List(t.Context(), head.Addr, first.Type, "tasks") {
			if err != nil {
				t.Fatal(err)
			}
			signal, err := leader.Follow("signal")
			if err != nil {
				t.Fatal(err)
			}
			group, err := signal.Member("thread_head")
			if err != nil {
				t.Fatal(err)
			}
			for task, err := range k.List(t.Context(), group.Addr, first.Type, "thread_node") {
				if err != nil {
					t.Fatal(err)
				}
				if !yield(task) {
					return
				}
			}
		}
	}
}

// firstTask is init_task. A kernel that does not name its data has it where the first idle
// task's name stands in the image.
func firstTask(t *testing.T, k *kernel.Kernel) kernel.Object {
	t.Helper()
	b, err := k.BTF()
	if err != nil {
		t.Fatal(err)
	}
	if task, err := k.Global(b, "init_task"); err == nil {
		return task
	}
	typ, err := symbols.Find(b, "struct task_struct")
	if err != nil {
		t.Fatal(err)
	}
	comm, err := k.Object(typ, 0).Member("comm")
	if err != nil {
		t.Fatal(err)
	}
	for at := range inImage(t, k, "swapper/0\x00") {
		task := k.Object(typ, at-comm.Addr)
		if leader, err := task.Pointer("group_leader"); err == nil && leader == task.Addr {
			return task
		}
	}
	t.Fatal("no init_task")
	return kernel.Object{}
}

// inImage is where a text stands in the kernel image, on a word's boundary.
func inImage(t *testing.T, k *kernel.Kernel, text string) func(func(uint64) bool) {
	t.Helper()
	space, err := k.Space()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(uint64) bool) {
		buf := make([]byte, pageSize)
		for at, end := space.ImageRange(); at < end; at += pageSize {
			n, _ := k.ReadVirt(buf, at)
			for i := 0; i < n; i += 8 {
				if bytes.HasPrefix(buf[i:n], []byte(text)) && !yield(at+uint64(i)) {
					return
				}
			}
		}
	}
}

// running tells whether a task was on a processor, or is a zombie without a stack.
func running(t *testing.T, task kernel.Object) bool {
	t.Helper()
	f := task.Fields()
	onCPU, stack := f.Uint("on_cpu"), f.Pointer("stack")
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	return onCPU != 0 || stack == 0
}

// taskStack walks the stack of a task from what it left in thread.
func taskStack(t *testing.T, u *kernel.Unwinder, task kernel.Object) kernel.Stack {
	t.Helper()
	f := task.Fields()
	if !task.Has("thread.cpu_context") {
		return u.Sleeping(t.Context(), f.Uint("thread.sp"))
	}
	pc, sp, fp := f.Uint("thread.cpu_context.pc"), f.Uint("thread.cpu_context.sp"), f.Uint("thread.cpu_context.fp")
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	return u.From(t.Context(), pc, sp, fp)
}

// procStacks reads the stacks by PID: "== PID TID COMM", then "[<0>] frame" lines.
func procStacks(text string) map[string][]string {
	stacks := map[string][]string{}
	id := ""
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "== "); ok {
			id = strings.Fields(rest)[1]
		} else if frame, ok := strings.CutPrefix(line, "[<0>] "); ok {
			stacks[id] = append(stacks[id], strings.TrimSpace(frame))
		}
	}
	return stacks
}

// unscheduled leaves out the functions of the scheduler, as /proc/PID/stack does.
func unscheduled(t *testing.T, k *kernel.Kernel, s kernel.Stack) (frames []kernel.Frame) {
	t.Helper()
	from, err := k.Symbol("__sched_text_start")
	if err != nil {
		t.Fatal(err)
	}
	to, err := k.Symbol("__sched_text_end")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Frames {
		if f.Addr < from.Addr || f.Addr >= to.Addr {
			frames = append(frames, f)
		}
	}
	return frames
}

// TestStackOfZombie: what lies where a task that ended had its stack is another's.
func TestStackOfZombie(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		u, err := g.Unwinder(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for task, err := range g.Tasks(t.Context()) {
			if err != nil || task.Comm != "w-zombie" {
				continue
			}
			if base, err := task.Pointer("stack"); err != nil || base != 0 {
				continue
			}
			n++
			if s, err := u.Stack(t.Context(), task); err != nil || len(s.Frames) > 0 || s.Complete || !errors.Is(s.Why, phys.ErrHole) {
				t.Errorf("PID %d: %d frames, complete %v: %v, %v", task.PID, len(s.Frames), s.Complete, s.Why, err)
			}
		}
		if n == 0 {
			t.Error("no task has ended")
		}
	})
}
