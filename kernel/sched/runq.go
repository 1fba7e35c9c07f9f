package sched

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// RunQueue is the struct rq of a CPU (kernel/sched/sched.h).
type RunQueue struct {
	kernel.Object
	CPU     int
	Clock   time.Duration // of the scheduler when the queue was last looked at
	Running int           // nr_running: tasks that run or want to
	Curr    kernel.Task   // what ran
	Stop    *kernel.Task  // the CPU's migration thread when it is to run next, which goes before all; no queue has it
	RT      []Queued      // realtime tasks, the highest priority first
	CFS     []Queued      // fair tasks in the order of the tree; Curr is not in it
	DL      []Queued      // deadline tasks, the earliest deadline first
	Missing []kernel.Missing

	RTArray, CFSTree, DLTree uint64 // where the queues lie
}

// Queued is a task that wants to run, or a group of tasks whose members follow it.
type Queued struct {
	kernel.Task        // of a group or a server without an address
	Priority    int    // task_struct.prio: 120 is nice 0, below 100 realtime
	VRuntime    uint64 // of fair tasks: virtual run time
	Deadline    uint64 // of fair tasks since 6.6 the virtual, of deadline tasks the absolute one
	Delayed     bool   // it sleeps already, and stays until its lag is gone (6.12 on)
	Group       uint64 // struct task_group of a group
	Depth       int    // groups above it
	Server      bool   // a deadline server, which runs tasks of another class (6.8 on)
}

// maxGroups bounds groups in groups.
const maxGroups = 64

// RunQueues reads the run queues of all CPUs. The error tells that there are none to be
// found; what is missing in one is in it.
func RunQueues(ctx context.Context, k *kernel.Kernel) ([]RunQueue, error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("run queues: %w", err)
	}
	var queues []RunQueue
	for _, cpu := range k.OnlineCPUs() {
		rq, err := k.RunQueue(ctx, cpu)
		if err != nil {
			if ctx.Err() != nil || cpu == 0 {
				return queues, err
			}
			queues = append(queues, RunQueue{CPU: cpu, Missing: []kernel.Missing{kernel.NewMissing("run queue", err, "")}})
			continue
		}
		queues = append(queues, r.queue(ctx, rq, cpu))
	}
	return queues, ctx.Err()
}

// runWalk reads one run queue.
type runWalk struct {
	*reader
	missing
	seen map[uint64]bool // struct cfs_rq, rt_rq and sched_rt_entity
}

func (r *reader) queue(ctx context.Context, rq kernel.Object, cpu int) RunQueue {
	w := &runWalk{reader: r, seen: map[uint64]bool{}}
	q := RunQueue{Object: rq, CPU: cpu}
	f := rq.Fields()
	q.Clock, q.Running = time.Duration(f.Uint("clock")), int(f.Uint("nr_running"))
	w.add("run queue", f.Err())
	if curr, err := rq.Pointer("curr"); err != nil || curr == 0 {
		w.add("running task", err)
	} else {
		q.Curr, err = r.k.TaskAt(curr)
		w.add("running task", err)
	}
	q.Stop = w.stopper(rq, q.Curr.Addr)
	if rt, err := rq.Member("rt"); w.has(err) {
		q.RT, q.RTArray = w.realtime(ctx, rt, 0), rt.Addr
	}
	if cfs, err := rq.Member("cfs"); w.has(err) {
		q.CFS = w.fair(ctx, cfs, 0)
		if tree, err := cfs.Member("tasks_timeline"); err == nil {
			q.CFSTree = tree.Addr
		}
	}
	if dl, err := rq.Member("dl.root", "dl.rb_root"); w.has(err) {
		q.DL, q.DLTree = w.deadline(ctx, dl), dl.Addr
	}
	q.Missing = w.list
	return q
}

// stopper is the task of the stop class (2.6.37 on) where it waits for the CPU.
func (w *runWalk) stopper(rq kernel.Object, curr uint64) *kernel.Task {
	at, err := rq.Pointer("stop")
	if err != nil || at == 0 || at == curr {
		return nil
	}
	t, err := w.k.TaskAt(at)
	if w.add("migration thread", err); err != nil {
		return nil
	}
	if on, err := t.Uint("on_rq"); err != nil || on != 1 { // TASK_ON_RQ_QUEUED
		return nil
	}
	return &t
}

// has tells whether a part is there; that a kernel does not have it is no loss.
func (w *runWalk) has(err error) bool {
	if err != nil && !errors.Is(err, symbols.ErrNoMember) {
		w.add("run queue", err)
	}
	return err == nil
}

// enter tells whether a queue was not walked before: a group can lead back to itself only in
// damaged memory.
func (w *runWalk) enter(queue kernel.Object, depth int) bool {
	if w.seen[queue.Addr] || depth > maxGroups {
		w.add("run queue", fmt.Errorf("group at %#x leads back: %w", queue.Addr, phys.ErrCorrupt))
		return false
	}
	w.seen[queue.Addr] = true
	return true
}

// queued reads the task whose member entity is.
func (w *runWalk) queued(entity kernel.Object, member string, depth int) Queued {
	q := Queued{Depth: depth}
	o, err := entity.Around("struct task_struct", member)
	if err == nil {
		q.Task, err = w.k.TaskAt(o.Addr)
	}
	w.add("queued task", err)
	if err == nil {
		prio, err := q.Int("prio")
		w.add("queued task", err)
		q.Priority = int(prio)
	}
	return q
}

// fair reads the tree of a struct cfs_rq, and below each group its own: those of groups that
// run now are not in the tree.
func (w *runWalk) fair(ctx context.Context, cfs kernel.Object, depth int) (out []Queued) {
	if !w.enter(cfs, depth) {
		return nil
	}
	if curr, err := cfs.Pointer("curr"); err == nil && curr != 0 {
		if e, err := cfs.Follow("curr"); err == nil {
			if group, ok := w.group(ctx, e, depth); ok {
				out = append(out, group...)
			}
		}
	}
	tree, err := cfs.Member("tasks_timeline")
	if err != nil {
		w.add("fair tasks", err)
		return out
	}
	entity, err := symbols.Find(w.ts, "struct sched_entity", "run_node")
	if err != nil {
		w.add("fair tasks", err)
		return out
	}
	for e, err := range w.k.RBTree(ctx, tree.Addr, entity, "run_node") {
		if err != nil {
			w.add("fair tasks", err)
			continue
		}
		if group, ok := w.group(ctx, e, depth); ok {
			out = append(out, group...)
			continue
		}
		q := w.queued(e, "se", depth)
		f := e.Fields()
		q.VRuntime = f.Uint("vruntime")
		w.add("fair tasks", f.Err())
		q.Deadline, _ = e.Uint("deadline")
		delayed, _ := e.Uint("sched_delayed")
		q.Delayed = delayed != 0
		out = append(out, q)
	}
	return out
}

// group reads the queue of an entity that stands for a group; ok is false for that of a task.
func (w *runWalk) group(ctx context.Context, e kernel.Object, depth int) (out []Queued, ok bool) {
	own, err := e.Pointer("my_q")
	if err != nil || own == 0 {
		return nil, false // a task, or a kernel without groups
	}
	q, err := e.Follow("my_q")
	if err != nil {
		w.add("fair tasks", err)
		return nil, true
	}
	tg, err := q.Pointer("tg")
	w.add("task group", err)
	inside := w.fair(ctx, q, depth+1)
	if len(inside) == 0 {
		return nil, true // what runs is all that is in it
	}
	return append([]Queued{{Group: tg, Depth: depth}}, inside...), true
}

// realtime reads the lists of a struct rt_rq by priority.
func (w *runWalk) realtime(ctx context.Context, rt kernel.Object, depth int) (out []Queued) {
	if !w.enter(rt, depth) {
		return nil
	}
	lists, err := rt.Member("active.queue")
	if err != nil {
		w.add("realtime tasks", err)
		return nil
	}
	entity, err := symbols.Find(w.ts, "struct sched_rt_entity", "run_list")
	if err != nil {
		w.add("realtime tasks", err)
		return nil
	}
	for i := range lists.Type.Underlying().Count {
		head, err := lists.Index(i)
		if err != nil {
			w.add("realtime tasks", err)
			return out
		}
		if next, err := head.Pointer("next"); err == nil && next == 0 {
			continue // of a CPU that was never up
		}
		for e, err := range w.k.List(ctx, head.Addr, entity, "run_list") {
			if err == nil && w.seen[e.Addr] {
				err = fmt.Errorf("entity %#x is on two lists: %w", e.Addr, phys.ErrCorrupt)
			}
			if err != nil {
				w.add("realtime tasks", err)
				break
			}
			w.seen[e.Addr] = true
			out = append(out, w.realtimeEntity(ctx, e, depth)...)
		}
	}
	return out
}

func (w *runWalk) realtimeEntity(ctx context.Context, e kernel.Object, depth int) []Queued {
	own, err := e.Pointer("my_q")
	if err != nil || own == 0 {
		return []Queued{w.queued(e, "rt", depth)}
	}
	q, err := e.Follow("my_q")
	if err != nil {
		w.add("realtime tasks", err)
		return nil
	}
	tg, err := q.Pointer("tg")
	w.add("task group", err)
	return append([]Queued{{Group: tg, Depth: depth}}, w.realtime(ctx, q, depth+1)...)
}

// deadline reads the tree of a struct dl_rq.
func (w *runWalk) deadline(ctx context.Context, tree kernel.Object) (out []Queued) {
	entity, err := symbols.Find(w.ts, "struct sched_dl_entity", "rb_node")
	if err != nil {
		return nil // before 3.14
	}
	for e, err := range w.k.RBTree(ctx, tree.Addr, entity, "rb_node") {
		if err != nil {
			w.add("deadline tasks", err)
			continue
		}
		deadline, err := e.Uint("deadline")
		w.add("deadline tasks", err)
		if server, err := e.Uint("dl_server"); err == nil && server != 0 {
			out = append(out, Queued{Server: true, Deadline: deadline})
			continue
		}
		q := w.queued(e, "dl", 0)
		q.Deadline = deadline
		out = append(out, q)
	}
	return out
}

// Tasks are what runs and what is queued, without groups.
func (q RunQueue) Tasks() (tasks []kernel.Task) {
	if q.Curr.Addr != 0 {
		tasks = append(tasks, q.Curr)
	}
	if q.Stop != nil {
		tasks = append(tasks, *q.Stop)
	}
	for _, list := range [][]Queued{q.DL, q.RT, q.CFS} {
		for _, e := range list {
			if e.Addr != 0 {
				tasks = append(tasks, e.Task)
			}
		}
	}
	return tasks
}
