package sched

import (
	"context"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// findWheels finds timer_bases in a kernel that does not name its data: it lies in the
// per-CPU areas as the run queues do, which tasks lead to. Each wheel knows its CPU, all
// stand at nearly the same time, and the first timer of a bucket leads back to the bucket.
func (r *reader) findWheels(ctx context.Context) ([][]kernel.Object, error) {
	t, err := symbols.Find(r.ts, "struct timer_base", "vectors", "cpu", "clk")
	if err != nil {
		return nil, err
	}
	var rqs []uint64
	for _, cpu := range r.k.OnlineCPUs() {
		rq, err := r.k.RunQueue(ctx, cpu)
		if err != nil {
			return nil, err
		}
		rqs = append(rqs, rq.Addr)
	}
	if len(rqs) < 2 {
		return nil, fmt.Errorf("timer_bases: %w, and one CPU is not enough to find them", symbols.ErrNoSymbol)
	}
	// The kernel's own per-CPU variables take some 100 KiB; a wheel begins on a cache line.
	const reach, line = 1 << 20, 64
	for at := -int64(reach); at < reach && ctx.Err() == nil; at += line {
		if wheels := r.wheelsAt(t, rqs, at-int64(rqs[0]%line)); len(wheels) > 0 && slices.ContainsFunc(slices.Concat(wheels...), holds) {
			return wheels, nil
		}
	}
	return nil, fmt.Errorf("timer_bases: %w, and nothing near the run queues looks like them", symbols.ErrNoSymbol)
}

// wheelsAt are the wheels of all CPUs if they begin so far from the run queues.
func (r *reader) wheelsAt(t *symbols.Type, rqs []uint64, off int64) [][]kernel.Object {
	wheels := make([][]kernel.Object, len(rqs))
	online := r.k.OnlineCPUs()
	var clk uint64
	for i := range 3 {
		for nth := len(rqs) - 1; nth >= 0; nth-- { // CPU 0 looks like anything
			o := r.k.Object(t, rqs[nth]+uint64(off)+uint64(i)*t.Size())
			if on, err := o.Uint("cpu"); err != nil || int(on) != online[nth] {
				return whole(wheels, i)
			}
			now, err := o.Uint("clk")
			if err != nil || now == 0 || clk != 0 && now-clk+maxApart > 2*maxApart {
				return whole(wheels, i)
			}
			clk = now
			wheels[nth] = append(wheels[nth], o)
		}
	}
	return whole(wheels, 3)
}

// maxApart is how many jiffies the wheels of CPUs can be apart: that of an idle one stands.
const maxApart = 1 << 20

// whole leaves the first n wheels of each CPU, nil if there are none.
func whole(wheels [][]kernel.Object, n int) [][]kernel.Object {
	if n == 0 {
		return nil
	}
	for cpu := range wheels {
		wheels[cpu] = wheels[cpu][:n]
	}
	return wheels
}

// holds tells whether a wheel has a timer whose place in its list is that bucket.
func holds(wheel kernel.Object) bool {
	buckets, err := wheel.Member("vectors")
	if err != nil {
		return false
	}
	for i := range buckets.Type.Underlying().Count {
		head, err := buckets.Index(i)
		if err != nil {
			return false
		}
		first, err := head.Follow("first")
		if err != nil {
			continue
		}
		back, err := first.Pointer("pprev")
		return err == nil && back == head.Addr
	}
	return false
}
