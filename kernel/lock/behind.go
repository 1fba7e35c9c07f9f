package lock

import (
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// behind finds who is to do what a wait waits for, where no lock has an owner: the child of
// vfork, the worker that runs a work item, the holder of a file lock.
func (f *Finder) behind(w *Wait) {
	switch {
	case w.Lock == 0:
	case w.Kind == Completion:
		f.vfork(w)
		f.worker(w)
	case w.Kind == FileLock:
		f.fileLock(w)
	}
}

// vfork finds the child whose end the parent waits for: its task_struct.vfork_done points
// to the completion on the parent's stack.
func (f *Finder) vfork(w *Wait) {
	if !f.onStack(w.Task, w.Lock) {
		return
	}
	if f.vforks == nil {
		f.vforks = map[uint64]kernel.Task{}
		for addr, t := range f.tasks {
			if done, _, ok := f.value(addr, "struct task_struct", "vfork_done"); ok && done != 0 {
				f.vforks[done] = t
			}
		}
	}
	if t, ok := f.vforks[w.Lock]; ok {
		w.Owners = append(w.Owners, Owner{Task: t, Purpose: "the child of vfork"})
		w.Purpose = vforkPurpose
	}
}

// maxBarriers bounds the work items that are scheduled to one worker.
const maxBarriers = 1 << 12

// worker finds who runs the work item that a task waits for in flush_work: its completion
// is that of a struct wq_barrier on its stack, which hangs behind the work item in the list
// worker.scheduled (insert_wq_barrier of kernel/workqueue.c).
func (f *Finder) worker(w *Wait) {
	done, entry := f.place("struct wq_barrier", "done"), f.place("struct wq_barrier", "work.entry")
	scheduled := f.place("struct worker", "scheduled")
	if !done.ok || !entry.ok || !scheduled.ok || !f.onStack(w.Task, w.Lock-done.off) {
		return
	}
	start := w.Lock - done.off + entry.off
	if !f.linked(start) {
		return
	}
	for el, n := start, 0; n < maxBarriers; n++ {
		next, ok := f.pointer(el)
		if el = next; !ok || el == start {
			return
		}
		at := el - scheduled.off
		task, _, ok := f.value(at, "struct worker", "task")
		if t, known := f.tasks[task]; ok && known && t.KernelThread {
			call, _, _ := f.value(at, "struct worker", "current_func")
			o := Owner{Task: t, Purpose: "runs the work item"}
			if name := f.name(call); name != "" {
				o.Purpose = fmt.Sprintf("runs the work item %s", name)
			}
			w.Owners = append(w.Owners, o)
			return
		}
	}
}

// fileLock finds who has the lock that another waits for in flock or fcntl: the wait queue
// is that of the waiter's own file_lock, which names the one that blocks it (since 5.0;
// fl_next before). fl_pid is that of the holder as the kernel counts, -1 for a lock of an
// open file.
func (f *Finder) fileLock(w *Wait) {
	spelled, wait := "struct file_lock", f.place("struct file_lock", "fl_wait")
	blocker, pid := []string{"fl_blocker", "fl_next"}, "fl_pid"
	if !wait.ok { // 6.9 on (4ca52f539865)
		spelled, wait = "struct file_lock_core", f.place("struct file_lock_core", "flc_wait")
		blocker, pid = []string{"flc_blocker"}, "flc_pid"
	}
	if !wait.ok {
		return
	}
	holder, _, ok := f.value(w.Lock-wait.off, spelled, blocker...)
	if !ok || holder == 0 {
		return
	}
	w.Lock, w.Name = holder, ""
	n, _, ok := f.value(holder, spelled, pid)
	for _, t := range f.tasks {
		if ok && t.PID == int(int32(n)) && t.PID > 0 {
			w.Owners = append(w.Owners, Owner{Task: t})
		}
	}
}

// pointsTo is the name of the struct that a member points to.
func (f *Finder) pointsTo(spelled, path string) string {
	t, err := symbols.Find(f.ts, spelled, path)
	if err != nil {
		return ""
	}
	m, err := t.Member(path)
	if err != nil || m.Type().Underlying().Kind != symbols.KindPointer {
		return ""
	}
	return m.Type().Underlying().Elem().Underlying().Name
}
