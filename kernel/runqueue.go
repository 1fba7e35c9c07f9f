package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/symbols"
)

// RunQueue is the struct rq of a CPU (kernel/sched/sched.h): by the symbol runqueues, or in
// a kernel that does not name its data through a task that belongs to the CPU, whose
// scheduling class knows its queue where CONFIG_FAIR_GROUP_SCHED is on.
func (k *Kernel) RunQueue(ctx context.Context, cpu int) (Object, error) {
	ts, err := k.Types()
	if err != nil {
		return Object{}, err
	}
	rq, err := k.PerCPU(ts, "runqueues", cpu)
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return rq, err
	}
	k.rqMu.Lock()
	defer k.rqMu.Unlock()
	if k.rqs == nil {
		rqs, ferr := k.findRunQueues(ctx, ts)
		if ctx.Err() != nil {
			return Object{}, ctx.Err()
		}
		if k.rqs = rqs; ferr != nil && len(rqs) == 0 {
			return Object{}, ferr
		}
	}
	if rq, ok := k.rqs[cpu]; ok {
		return rq, nil
	}
	return Object{}, fmt.Errorf("run queue of CPU %d: %w, and no task leads to it", cpu, err)
}

// findRunQueues looks at what the tasks of the list belong to.
func (k *Kernel) findRunQueues(ctx context.Context, ts symbols.Types) (map[int]Object, error) {
	r := &taskReader{k: k, ts: ts}
	var err error
	if r.first, err = k.firstTask(ts); err != nil {
		return nil, err
	}
	rqs := make(map[int]Object)
	look := func(t Object) {
		queue, err := t.Follow("se.cfs_rq")
		if err != nil {
			return
		}
		rq, err := queue.Follow("rq")
		if err != nil {
			return
		}
		cpu, err := rq.Uint("cpu")
		if _, ok := rqs[int(cpu)]; err == nil && !ok && cpu < maxCPUs {
			if at, err := rq.Pointer("cfs.rq"); err == nil && at == rq.Addr {
				rqs[int(cpu)] = rq
			}
		}
	}
	look(r.first)
	head, err := r.first.Member("tasks")
	if err != nil {
		return rqs, err
	}
	for t, err := range k.List(ctx, head.Addr, r.first.Type, "tasks") {
		if err != nil || len(rqs) >= k.CPUs() {
			return rqs, err
		}
		look(t)
	}
	return rqs, nil
}

// maxCPUs bounds the number of a CPU: NR_CPUS is 8192 at most.
const maxCPUs = 1 << 16
