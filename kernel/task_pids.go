package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// running yields what ran on the CPUs, as far as no list led to it: rq.curr.
func (r *taskReader) running(ctx context.Context, yield func(Task, error) bool) bool {
	for _, cpu := range r.cpus {
		rq, err := r.k.RunQueue(ctx, cpu)
		if err != nil {
			continue // told with the idle tasks
		}
		o, err := rq.Follow("curr")
		if err != nil {
			if !yield(Task{}, fmt.Errorf("task that ran on CPU %d: %w", cpu, err)) {
				return false
			}
			continue
		}
		if !r.unlisted(o, fmt.Sprintf("the run queue of CPU %d", cpu), yield) {
			return false
		}
	}
	return true
}

// byPID yields the tasks with a PID that no list led to: the IDR of the first task's PID
// name space, init_pid_ns, has them since 4.15 (95846ecf9dac).
func (r *taskReader) byPID(ctx context.Context, yield func(Task, error) bool) bool {
	nsproxy, err := r.first.Follow("nsproxy")
	if err != nil {
		return yield(Task{}, fmt.Errorf("PIDs: %w", err))
	}
	ns, err := nsproxy.Follow("pid_ns_for_children", "pid_ns")
	if err != nil {
		return yield(Task{}, fmt.Errorf("PIDs: %w", err))
	}
	if !ns.Has("idr") {
		return true // the hash table of older kernels: nothing to compare with
	}
	idr, err := ns.Member("idr")
	if err != nil {
		return yield(Task{}, fmt.Errorf("PIDs: %w", err))
	}
	pid, err := symbols.Find(r.ts, "struct pid", "tasks")
	if err != nil {
		return yield(Task{}, fmt.Errorf("PIDs: %w", err))
	}
	for e, err := range r.k.IDR(ctx, idr, pid) {
		var o Object
		if err == nil {
			o, err = r.ofPID(e.Object)
		}
		switch {
		case ctx.Err() != nil:
			return false
		case absent(err) && e.Object.Addr != 0:
			r.lost[int(e.First)] = err
		case absent(err):
			r.broken(fmt.Errorf("PIDs: %w", err))
		case err != nil:
			if !yield(Task{}, fmt.Errorf("PID %d: %w", e.First, err)) {
				return false
			}
		case o.Addr != 0 && !r.unlisted(o, fmt.Sprintf("PID %d", e.First), yield):
			return false
		}
	}
	return true
}

// ofPID is the task that a struct pid is the PID of, an Object without address where it is
// only that of a group or session. Tasks hang on it by pid_links (4.19 on), by pids[].node
// before.
func (r *taskReader) ofPID(pid Object) (Object, error) {
	first, err := pid.Pointer("tasks[0].first")
	if err != nil || first == 0 {
		return Object{}, err
	}
	link, err := r.first.Type.OneOf("pid_links[0]", "pids[0].node")
	if err != nil {
		return Object{}, err
	}
	return r.k.Object(r.first.Type, first-link.Offset/8), nil
}

// unlisted yields a task that something else than the lists leads to, and tells so unless
// the lists are broken anyway, or the task has just ended.
func (r *taskReader) unlisted(o Object, by string, yield func(Task, error) bool) bool {
	if r.seen[o.Addr] {
		return true
	}
	t, err := r.task(o)
	if r.lists == nil && t.State&(stateDead|stateNew) == 0 {
		err = errors.Join(fmt.Errorf("task %#x (PID %d) is not in the task list, only %s leads to it: %w", o.Addr, t.PID, by, phys.ErrCorrupt), err)
	}
	return yield(t, err)
}
