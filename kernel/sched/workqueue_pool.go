package sched

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Worker is a struct worker: a kworker, or the rescuer of a queue.
type Worker struct {
	kernel.Object
	Task    kernel.Task // without an address for one that is being made
	ID      int
	Flags   uint64
	Rescuer string        // the queue that it rescues, "" for a kworker
	Current *Work         // what it executes, nil for an idle worker
	For     time.Duration // of CPU time that Current has used; 0 where the kernel does not count (before 6.5)
	Next    []Work        // what it has taken to do behind Current
}

// Pool is a struct worker_pool: workers, and the works that wait for them.
type Pool struct {
	kernel.Object
	ID      int
	CPU     int // -1 for an unbound pool
	Node    int
	Flags   uint64 // POOL_…
	Nice    int
	Workers []Worker
	Idle    int
	Pending []Work // in the order in which they will be executed
	// Stalled is since when nothing was taken from Pending, in jiffies; 0 where nothing
	// waits or the kernel does not watch (CONFIG_WQ_WATCHDOG off).
	Stalled uint64
	Missing []kernel.Missing
}

// BH tells that a softirq serves the pool, and no thread (6.9 on, POOL_BH).
func (p *Pool) BH() bool {
	return p.Flags&1 != 0 && len(p.Workers) > 0 && p.Workers[0].Task.Addr == 0
}

// workerOf is the struct worker of a kernel thread: what struct kthread.data leads to, where
// that leads back to the task. struct kthread is found by set_child_tid until 5.16, by
// worker_private since (e32cf5dfbe22).
func (w *workReader) workerOf(t kernel.Task) (kernel.Object, error) {
	at, err := t.Pointer("worker_private", "set_child_tid")
	if err != nil {
		return kernel.Object{}, err
	}
	thread, err := w.k.Cast(at, "struct kthread", "data")
	if err != nil {
		return kernel.Object{}, err
	}
	if at, err = thread.Pointer("data"); err != nil {
		return kernel.Object{}, err
	}
	worker, err := w.k.Cast(at, "struct worker", "rescue_wq", "task")
	if err != nil {
		return kernel.Object{}, err
	}
	if back, err := worker.Pointer("task"); err != nil || back != t.Addr {
		return kernel.Object{}, fmt.Errorf("task %d is no worker: %w", t.PID, cmp.Or(err, phys.ErrUnsupported))
	}
	return worker, nil
}

// know remembers a pool.
func (w *workReader) know(o kernel.Object) *Pool {
	p, ok := w.pools[o.Addr]
	if !ok {
		p = &Pool{Object: o, CPU: -1}
		w.pools[o.Addr] = p
		w.all = append(w.all, p)
	}
	return p
}

// morePools adds the pools that no queue leads to.
func (w *workReader) morePools() {
	idr, err := w.k.Global(w.ts, "worker_pool_idr")
	if err != nil {
		return // the queues led to those that matter
	}
	t, err := symbols.Find(w.ts, "struct worker_pool", "worklist")
	if err != nil {
		w.add("pools", err)
		return
	}
	for e, err := range w.k.IDR(w.ctx, idr, t) {
		if err != nil {
			w.add("pools", err)
			continue
		}
		w.know(e.Object)
	}
}

// pool reads a pool.
func (w *workReader) pool(p *Pool) {
	f := p.Fields()
	p.ID, p.CPU, p.Node = int(f.Int("id")), int(f.Int("cpu")), int(f.Int("node"))
	p.Flags, p.Idle = f.Uint("flags"), int(f.Int("nr_idle"))
	var miss missing
	miss.add("pool", f.Err())
	if attrs, err := p.Follow("attrs"); err == nil {
		nice, err := attrs.Int("nice")
		miss.add("pool", err)
		p.Nice = int(nice)
	}
	p.Pending = w.works(p.Object, "worklist", &miss)
	p.Workers = w.workers(p.Object, &miss)
	if jiffies, err := Jiffies(w.k); err == nil && len(p.Pending) > 0 {
		if since, err := p.Uint("last_progress_ts", "watchdog_ts"); err == nil && since <= jiffies {
			p.Stalled = jiffies - since
		}
	}
	p.Missing = miss.list
	w.missing.list = append(w.missing.list, miss.list...)
}

// workers reads the workers of a pool, the busy ones first.
func (w *workReader) workers(pool kernel.Object, miss *missing) (workers []Worker) {
	head, err := pool.Member("workers")
	if err != nil {
		miss.add("workers", err)
		return nil
	}
	t, err := symbols.Find(w.ts, "struct worker", "node", "current_work")
	if err != nil {
		miss.add("workers", err)
		return nil
	}
	for o, err := range w.k.List(w.ctx, head.Addr, t, "node") {
		if err != nil {
			miss.add("workers", err)
			break
		}
		workers = append(workers, w.worker(o, miss))
	}
	slices.SortStableFunc(workers, func(a, b Worker) int {
		if (a.Current == nil) != (b.Current == nil) {
			if a.Current != nil {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return workers
}

func (w *workReader) worker(o kernel.Object, miss *missing) Worker {
	f := o.Fields()
	worker := Worker{Object: o, ID: int(f.Int("id")), Flags: f.Uint("flags")}
	task, current := f.Pointer("task"), f.Pointer("current_work")
	fn, pwq, rescued := f.Uint("current_func"), f.Pointer("current_pwq"), f.Pointer("rescue_wq")
	miss.add("worker", f.Err())
	worker.Rescuer = w.names[rescued]
	if task != 0 {
		var err error
		worker.Task, err = w.k.TaskAt(task)
		miss.add("worker", err)
	}
	if current == 0 {
		return worker
	}
	// The work itself may be gone: its function can have freed it.
	worker.Current = &Work{Function: w.function(fn), Queue: w.byPWQ[pwq]}
	worker.Current.Object, _ = w.k.Cast(current, "struct work_struct", "func")
	worker.Current.Addr = current
	worker.Current.Barrier = worker.Current.Function.Name == "wq_barrier_func"
	worker.Next = w.works(o, "scheduled", miss)
	if at, err := o.Uint("current_at"); err == nil && worker.Task.Addr != 0 { // 6.5 on: sum_exec_runtime at the begin
		if run, err := worker.Task.Uint("se.sum_exec_runtime"); err == nil && run >= at && at != 0 {
			worker.For = time.Duration(run - at)
		}
	}
	return worker
}
