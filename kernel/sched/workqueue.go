package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// Work is a struct work_struct and where it belongs.
type Work struct {
	kernel.Object
	Function Function
	Queue    string // name of its work queue, "" if it is on none
	Barrier  bool   // somebody waits in flush_work for what comes before it
}

// WorkQueue is a struct workqueue_struct.
type WorkQueue struct {
	kernel.Object
	Name      string
	Flags     uint64 // WQ_…
	MaxActive int
	Inactive  []Work // beyond max_active, or behind a barrier
	Pools     []*Pool
}

// DelayedWork is a struct delayed_work whose timer is armed.
type DelayedWork struct {
	Work
	Expires uint64 // jiffies
	Left    int64  // jiffies
	CPU     int    // whose timer it is
}

// WorkQueues are the work queues of a kernel (kernel/workqueue.c, since 3.10).
type WorkQueues struct {
	Queues  []WorkQueue
	Pools   []*Pool
	Delayed []DelayedWork // the next one first
	Missing []kernel.Missing
}

// workReader reads work queues.
type workReader struct {
	*reader
	missing
	ctx   context.Context
	pools map[uint64]*Pool
	names map[uint64]string // of work queues by address
	byPWQ map[uint64]string // of work queues by struct pool_workqueue
	all   []*Pool
}

// Works reads the work queues, their pools, and what waits for a timer.
func Works(ctx context.Context, k *kernel.Kernel) (*WorkQueues, error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("work queues: %w", err)
	}
	w := &workReader{reader: r, ctx: ctx, pools: map[uint64]*Pool{}, names: map[uint64]string{}, byPWQ: map[uint64]string{}}
	out := &WorkQueues{}
	for o, err := range w.queues() {
		if err != nil {
			if len(out.Queues) == 0 {
				return nil, fmt.Errorf("work queues: %w", err)
			}
			w.add("work queues", err)
			break
		}
		out.Queues = append(out.Queues, w.queue(o))
	}
	w.morePools()
	for _, p := range w.all {
		w.pool(p)
	}
	for i := range out.Queues {
		out.Queues[i].Inactive = w.inactive(out.Queues[i])
	}
	slices.SortStableFunc(w.all, func(a, b *Pool) int { return cmp.Compare(a.ID, b.ID) })
	out.Pools, out.Delayed = w.all, w.delayed()
	out.Missing = w.missing.list
	return out, ctx.Err()
}

// queues yields the work queues: the list workqueues, or where no symbol leads to it the list
// that the queue of a rescuer is on, but for its head, which lies in the image.
func (w *workReader) queues() func(func(kernel.Object, error) bool) {
	return func(yield func(kernel.Object, error) bool) {
		t, err := symbols.Find(w.ts, "struct workqueue_struct", "list", "pwqs")
		if err != nil {
			yield(kernel.Object{}, err)
			return
		}
		head, err := w.k.Symbol("workqueues")
		at := head.Addr
		if errors.Is(err, symbols.ErrNoSymbol) {
			at, err = w.anyQueue(yield)
		}
		if err != nil {
			yield(kernel.Object{}, err)
			return
		}
		space, err := w.k.Space()
		if err != nil {
			yield(kernel.Object{}, err)
			return
		}
		for o, err := range w.k.List(w.ctx, at, t, "list") {
			if _, image := space.Image(o.Addr); err == nil && image {
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// anyQueue finds a work queue through the thread of a rescuer, and gives its place in the
// list.
func (w *workReader) anyQueue(yield func(kernel.Object, error) bool) (uint64, error) {
	for t, err := range w.k.Tasks(w.ctx) {
		if err != nil || !t.KernelThread {
			continue
		}
		worker, err := w.workerOf(t)
		if err != nil {
			continue
		}
		if q, err := worker.Follow("rescue_wq"); err == nil {
			list, err := q.Member("list")
			if err == nil {
				yield(q, nil)
			}
			return list.Addr, err
		}
	}
	return 0, fmt.Errorf("workqueues: %w, and no rescuer leads to them", symbols.ErrNoSymbol)
}

// queue reads a work queue, and finds its pools through its struct pool_workqueue.
func (w *workReader) queue(o kernel.Object) WorkQueue {
	q := WorkQueue{Object: o}
	f := o.Fields()
	q.Name, q.Flags = f.Text("name"), f.Uint("flags")
	w.add("work queue", f.Err())
	if n, err := o.Int("max_active"); err == nil { // in struct pool_workqueue until 6.8
		q.MaxActive = int(n)
	} else if n, err := o.Int("saved_max_active"); err == nil {
		q.MaxActive = int(n)
	}
	w.names[o.Addr] = q.Name
	for pwq, err := range w.pwqs(o) {
		if err != nil {
			w.add("pool of "+q.Name, err)
			break
		}
		w.byPWQ[pwq.Addr] = q.Name
		pool, err := pwq.Follow("pool")
		if err != nil {
			w.add("pool of "+q.Name, err)
			continue
		}
		if p := w.know(pool); !slices.Contains(q.Pools, p) {
			q.Pools = append(q.Pools, p)
		}
	}
	return q
}

func (w *workReader) pwqs(queue kernel.Object) func(func(kernel.Object, error) bool) {
	return func(yield func(kernel.Object, error) bool) {
		t, err := symbols.Find(w.ts, "struct pool_workqueue", "pwqs_node")
		if err != nil {
			yield(kernel.Object{}, err)
			return
		}
		head, err := queue.Member("pwqs")
		if err != nil {
			yield(kernel.Object{}, err)
			return
		}
		w.k.List(w.ctx, head.Addr, t, "pwqs_node")(yield)
	}
}

// works reads a list of struct work_struct.
func (w *workReader) works(o kernel.Object, member string, miss *missing) (works []Work) {
	head, err := o.Member(member)
	if err != nil {
		miss.add("works", err)
		return nil
	}
	t, err := symbols.Find(w.ts, "struct work_struct", "entry", "func")
	if err != nil {
		miss.add("works", err)
		return nil
	}
	for work, err := range w.k.List(w.ctx, head.Addr, t, "entry") {
		if err != nil {
			miss.add("works", err)
			break
		}
		works = append(works, w.work(work, miss))
	}
	return works
}

// workPWQ is the bit of work_struct.data that tells that the rest is the address of a struct
// pool_workqueue, aligned to 1 << WORK_STRUCT_FLAG_BITS (include/linux/workqueue.h; 9 with
// CONFIG_DEBUG_OBJECTS_WORK, where one bit more is flags).
const (
	workPWQ   = 1 << 2
	workFlags = 0xff
)

// work reads a work.
func (w *workReader) work(o kernel.Object, miss *missing) Work {
	f := o.Fields()
	work := Work{Object: o, Function: w.function(f.Uint("func"))}
	data := f.Uint("data.counter")
	miss.add("work", f.Err())
	if data&workPWQ != 0 {
		name, ok := w.byPWQ[data&^workFlags]
		if !ok {
			name = w.byPWQ[data&^(2*workFlags+1)]
		}
		work.Queue = name
	}
	work.Barrier = work.Function.Name == "wq_barrier_func"
	return work
}

// inactive reads the works of a queue that wait for others of it.
func (w *workReader) inactive(q WorkQueue) (works []Work) {
	for pwq, err := range w.pwqs(q.Object) {
		if err != nil {
			break // told already
		}
		member := "inactive_works" // 5.14 on (f97a4a1a3f87)
		if !pwq.Has(member) {
			member = "delayed_works"
		}
		works = append(works, w.works(pwq, member, &w.missing)...)
	}
	return works
}

// delayed finds the works that wait for a timer: by the function of the timer.
func (w *workReader) delayed() (works []DelayedWork) {
	bases, _, err := Timers(w.ctx, w.k)
	if err != nil {
		w.add("delayed works", err)
	}
	for _, b := range bases {
		w.missing.list = append(w.missing.list, b.Missing...)
		for _, t := range b.Timers {
			if t.Function.Name != "delayed_work_timer_fn" {
				continue
			}
			o, err := t.Around("struct delayed_work", "timer")
			if err != nil {
				w.add("delayed works", err)
				continue
			}
			work, err := o.Member("work")
			if err != nil {
				w.add("delayed works", err)
				continue
			}
			d := DelayedWork{Work: w.work(work, &w.missing), Expires: t.Expires, Left: t.Left, CPU: b.CPU}
			if at, err := o.Pointer("wq"); err == nil {
				d.Queue = w.names[at]
			}
			works = append(works, d)
		}
	}
	slices.SortStableFunc(works, func(a, b DelayedWork) int { return cmp.Compare(a.Left, b.Left) })
	return works
}
