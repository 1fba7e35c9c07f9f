package sched

import (
	"context"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
)

// Waiter is an entry of a wait queue.
type Waiter struct {
	kernel.Object
	Flags    uint64      // WQ_FLAG_…: 1 is exclusive
	Task     kernel.Task // without an address where what waits is no task: epoll, poll, a callback
	Private  uint64      // what the entry leads to
	Function Function    // what a wake-up calls
}

// WaitQueue reads a wait queue in the order in which a wake-up goes through it: an object
// that is a struct wait_queue_head (its list is called task_list until 4.12, 2055da97389a), a
// struct swait_queue_head, or a struct completion, whose queue is one of the two. What could
// be read comes with the error.
func WaitQueue(ctx context.Context, k *kernel.Kernel, head kernel.Object) (waiters []Waiter, err error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("wait queue: %w", err)
	}
	if inside, err := head.Member("wait"); err == nil { // struct completion
		head = inside
	}
	var tasks map[uint64]bool
	list, entry, member := "head", "struct wait_queue_entry", "entry"
	switch {
	case head.Has("head"):
	case !head.Has("task_list"):
		return nil, fmt.Errorf("%v at %#x is no wait queue", head.Type, head.Addr)
	default:
		list, member = "task_list", "task_list"
		if entry = "struct swait_queue"; head.Type.Underlying().Name != "swait_queue_head" {
			entry = "struct __wait_queue"
		}
	}
	at, err := head.Member(list)
	if err != nil {
		return nil, fmt.Errorf("wait queue: %w", err)
	}
	first, err := k.Cast(0, entry, member)
	if err != nil {
		return nil, fmt.Errorf("wait queue: %w", err)
	}
	for o, err := range k.List(ctx, at.Addr, first.Type, member) {
		if err != nil {
			return waiters, fmt.Errorf("wait queue at %#x: %w", head.Addr, err)
		}
		if tasks == nil {
			if tasks, err = taskAddrs(ctx, k); err != nil {
				return waiters, err
			}
		}
		w, err := r.waiter(o, tasks)
		waiters = append(waiters, w)
		if err != nil {
			return waiters, fmt.Errorf("wait queue at %#x: %w", head.Addr, err)
		}
	}
	return waiters, nil
}

// taskAddrs are the addresses of all tasks: only those tell whether an entry's private is one.
func taskAddrs(ctx context.Context, k *kernel.Kernel) (map[uint64]bool, error) {
	out := make(map[uint64]bool)
	var first error
	for t, err := range k.Tasks(ctx) {
		if err != nil && first == nil {
			first = err
		}
		out[t.Addr] = t.Addr != 0
	}
	if len(out) > 0 {
		first = nil
	}
	return out, first
}

func (r *reader) waiter(o kernel.Object, tasks map[uint64]bool) (w Waiter, err error) {
	w.Object = o
	f := o.Fields()
	if o.Has("task") { // struct swait_queue
		w.Private = f.Pointer("task")
	} else {
		w.Flags, w.Private, w.Function = f.Uint("flags"), f.Pointer("private"), r.function(f.Uint("func"))
	}
	if err := f.Err(); err != nil {
		return w, err
	}
	at := w.Private
	if w.Function.Name == "pollwake" { // poll and select
		if wait, err := r.k.Cast(at, "struct poll_wqueues", "polling_task"); err == nil {
			at, _ = wait.Pointer("polling_task")
		}
	}
	if tasks[at] {
		w.Task, err = r.k.TaskAt(at)
	}
	return w, err
}
