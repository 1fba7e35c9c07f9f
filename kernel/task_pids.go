package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// running yields what ran on the CPUs, as far as no list led to it: rq.curr.
func (r *taskReader) running(ctx context.Context, yield func(Task, error) bool) bool {
	for cpu := range r.cpus {
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
