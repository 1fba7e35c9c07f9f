package sched

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// SoftIRQ is one of the vectors of softirq_vec (kernel/softirq.c).
type SoftIRQ struct {
	Number  int
	Name    string
	Action  Function
	Pending []bool // of each of Kernel.OnlineCPUs: raised and not yet served; nil if not known
}

// softirqNames in the order of the vectors, which did not change since 2.6.32
// (include/linux/interrupt.h).
var softirqNames = []string{"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"}

// SoftIRQs reads the vectors, and which of them were raised on each CPU: irq_stat's
// __softirq_pending, or the per-CPU variable of that name (x86 since 6.2).
func SoftIRQs(ctx context.Context, k *kernel.Kernel) ([]SoftIRQ, error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("softirqs: %w", err)
	}
	t, err := symbols.Find(r.ts, "struct softirq_action", "action")
	if err != nil {
		return nil, fmt.Errorf("softirqs: %w", err)
	}
	vec, err := k.Symbol("softirq_vec")
	if errors.Is(err, symbols.ErrNoSymbol) {
		vec.Addr, err = r.findSoftIRQs(t, err)
	}
	if err != nil {
		return nil, fmt.Errorf("softirqs: %w", err)
	}
	pending := r.softirqsPending()
	var out []SoftIRQ
	for i, name := range softirqNames {
		fn, err := k.Object(t, vec.Addr+uint64(i)*t.Size()).Uint("action")
		if err != nil {
			return out, fmt.Errorf("softirqs: %w", err)
		}
		s := SoftIRQ{Number: i, Name: name, Action: r.function(fn)}
		for _, mask := range pending {
			s.Pending = append(s.Pending, mask>>i&1 != 0)
		}
		out = append(out, s)
	}
	return out, nil
}

// findSoftIRQs finds softirq_vec in a kernel that names its functions alone: where the two
// that all kernels have stand one behind the other.
func (r *reader) findSoftIRQs(t *symbols.Type, why error) (uint64, error) {
	first, err1 := r.k.Symbol("tasklet_hi_action")
	second, err2 := r.k.Symbol("run_timer_softirq")
	if errors.Join(err1, err2) != nil {
		return 0, why
	}
	o, err := r.k.Find(t, "action", func(v uint64) bool { return v == first.Addr }, func(o kernel.Object) bool {
		next, err := r.k.Object(t, o.Addr+t.Size()).Uint("action")
		return err == nil && next == second.Addr
	})
	return o.Addr, err
}

// softirqsPending are the masks by CPU, nil where they cannot be had.
func (r *reader) softirqsPending() (masks []uint64) {
	for _, cpu := range r.k.OnlineCPUs() {
		var mask uint64
		if o, err := r.k.PerCPU(r.ts, "irq_stat", cpu); err == nil && o.Has("__softirq_pending") {
			if mask, err = o.Uint("__softirq_pending"); err != nil {
				return nil
			}
		} else if o, err := r.k.PerCPU(r.ts, "pcpu_hot", cpu); err == nil && o.Has("softirq_pending") {
			if mask, err = o.Uint("softirq_pending"); err != nil {
				return nil
			}
		} else if o, err := r.k.PerCPU(r.ts, "__softirq_pending", cpu); err != nil {
			return nil
		} else if mask, err = o.Uint(); err != nil {
			return nil
		}
		masks = append(masks, mask)
	}
	return masks
}
