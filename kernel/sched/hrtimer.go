package sched

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// HRTimer is a struct hrtimer that is armed, with times of its clock.
type HRTimer struct {
	kernel.Object
	Soft, Expires time.Duration // it may expire from Soft on
	Function      Function
	For           string // what for, as of Timer
}

// ClockBase is one clock of a CPU's high-resolution timers: struct hrtimer_clock_base.
type ClockBase struct {
	kernel.Object
	CPU     int
	Index   int
	Clock   string        // CLOCK_MONOTONIC, …; with _SOFT behind it for those that a softirq serves (4.16 on)
	Offset  time.Duration // of the clock from CLOCK_MONOTONIC
	Now     time.Duration // the time by this clock at the last tick; 0 if not known
	Timers  []HRTimer     // the next one first
	Missing []kernel.Missing
}

// clockNames by clockid (include/uapi/linux/time.h).
var clockNames = map[int64]string{0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 7: "CLOCK_BOOTTIME", 11: "CLOCK_TAI"}

// softFrom is the first of the bases of struct hrtimer_cpu_base that a softirq serves.
const softFrom = 4

// HRTimers reads the high-resolution timers of all CPUs.
func HRTimers(ctx context.Context, k *kernel.Kernel) (bases []ClockBase, err error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("hrtimers: %w", err)
	}
	now, _ := r.monotonic() // without it what is left is not told
	for _, cpu := range k.OnlineCPUs() {
		o, err := r.hrtimerBase(ctx, cpu)
		if err != nil {
			return bases, fmt.Errorf("hrtimers: %w", err)
		}
		clocks, err := o.Member("clock_base")
		if err != nil {
			return bases, fmt.Errorf("hrtimers: %w", err)
		}
		for i := range clocks.Type.Underlying().Count {
			c, err := clocks.Index(i)
			if err != nil {
				return bases, fmt.Errorf("hrtimers: %w", err)
			}
			b := r.clockBase(ctx, c, now)
			b.CPU, b.Index = cpu, int(i)
			if i >= softFrom && clocks.Type.Underlying().Count == 2*softFrom {
				b.Clock += "_SOFT"
			}
			bases = append(bases, b)
		}
		if ctx.Err() != nil {
			return bases, ctx.Err()
		}
	}
	return bases, nil
}

// hrtimerBase is the struct hrtimer_cpu_base of a CPU: by its symbol, or where the kernel
// does not name it through a process, whose alarm timer (ITIMER_REAL) belongs to the CPU on
// which it was made.
func (r *reader) hrtimerBase(ctx context.Context, cpu int) (kernel.Object, error) {
	o, err := r.k.PerCPU(r.ts, "hrtimer_bases", cpu)
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return o, err
	}
	for t, terr := range r.k.Tasks(ctx) {
		if terr != nil || t.PID != t.TGID {
			continue
		}
		if base, err := t.Through("signal", "real_timer.base", "cpu_base"); err == nil {
			if on, err := base.Uint("cpu"); err == nil && int(on) == cpu {
				return base, nil
			}
		}
	}
	return o, err
}

// clockBase reads a struct hrtimer_clock_base.
func (r *reader) clockBase(ctx context.Context, o kernel.Object, now time.Duration) ClockBase {
	var miss missing
	b := ClockBase{Object: o}
	f := o.Fields()
	id := f.Int("clockid")
	b.Offset = time.Duration(f.Int("offset"))
	miss.add("clock", f.Err())
	name, ok := clockNames[id]
	if !ok {
		name = fmt.Sprintf("CLOCK_%d", id)
	}
	b.Clock = name
	if now != 0 {
		b.Now = now + b.Offset
	}
	b.Timers = r.armed(ctx, o, &miss)
	b.Missing = miss.list
	return b
}

// armed walks the tree of a clock: timerqueue_head, of linked nodes since 7.1.
func (r *reader) armed(ctx context.Context, base kernel.Object, miss *missing) (timers []HRTimer) {
	tree, err := base.Member("active.rb_root", "active.head")
	if err != nil {
		miss.add("hrtimers", err)
		return nil
	}
	timer, err := symbols.Find(r.ts, "struct hrtimer", "node")
	if err != nil {
		miss.add("hrtimers", err)
		return nil
	}
	for o, err := range r.k.RBTree(ctx, tree.Addr, timer, "node.node") {
		if err != nil {
			miss.add("hrtimers", err)
			continue
		}
		f := o.Fields()
		fn := r.function(f.Uint("function"))
		timers = append(timers, HRTimer{
			Object: o, Soft: time.Duration(f.Int("_softexpires")), Expires: time.Duration(f.Int("node.expires")),
			Function: fn, For: r.purpose(o, fn.Name),
		})
		miss.add("hrtimers", f.Err())
	}
	return timers
}

// monotonic is CLOCK_MONOTONIC at the last tick, as the timekeeper has it
// (kernel/time/timekeeping.c): tk_core until 6.16, timekeeper_data[0] after, and beside
// them shadow_timekeeper until 6.12, which is a struct timekeeper alone.
func (r *reader) monotonic() (time.Duration, error) {
	var o kernel.Object
	err := error(symbols.ErrNoSymbol)
	for _, form := range [][2]string{{"timekeeper_data", "timekeeper"}, {"tk_core", "timekeeper"}, {"shadow_timekeeper", ""}} {
		if o, err = r.k.Global(r.ts, form[0]); err != nil {
			continue
		}
		if o.Type.Underlying().Kind == symbols.KindArray {
			if o, err = o.Index(0); err != nil {
				continue
			}
		}
		if form[1] != "" {
			if o, err = o.Member(form[1]); err != nil {
				continue
			}
		}
		break
	}
	if err != nil {
		return 0, err
	}
	f := o.Fields()
	base, nsec, shift := f.Int("tkr_mono.base"), f.Uint("tkr_mono.xtime_nsec"), f.Uint("tkr_mono.shift")
	if err := f.Err(); err != nil {
		return 0, err
	}
	return time.Duration(base + int64(nsec>>(shift&63))), nil
}
