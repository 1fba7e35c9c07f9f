package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Timer is a struct timer_list that is armed.
type Timer struct {
	kernel.Object
	Expires  uint64 // jiffies
	Left     int64  // jiffies until then, negative for one that is late
	Function Function
	For      string // what for, where the function tells: a task that sleeps, a delayed work
	Running  bool   // its function runs now
}

// TimerBase is one wheel of a CPU: struct timer_base (kernel/time/timer.c, 4.8 on).
type TimerBase struct {
	kernel.Object
	CPU     int
	Name    string  // BASE_STD, BASE_DEF; since 6.9 BASE_LOCAL, BASE_GLOBAL, BASE_DEF
	Timers  []Timer // the next one first
	Missing []kernel.Missing
}

// baseNames are the wheels of a CPU by how many it has: with CONFIG_NO_HZ_COMMON the
// deferrable timers have one of their own, since 6.9 (83a665dc99a7) those that other CPUs may
// serve have another.
var baseNames = map[int][]string{
	1: {"BASE_STD"},
	2: {"BASE_STD", "BASE_DEF"},
	3: {"BASE_LOCAL", "BASE_GLOBAL", "BASE_DEF"},
}

// Jiffies is the time of the timer wheel. It begins 5 minutes before the wrap of 32 bits.
func Jiffies(k *kernel.Kernel) (uint64, error) {
	ts, err := k.Types()
	if ts == nil {
		return 0, err
	}
	o, err := k.Global(ts, "jiffies")
	if err != nil {
		return 0, err
	}
	return o.Uint()
}

// Timers reads the timer wheels of all CPUs, and tells the jiffies at the crash. Where the
// kernel does not name them it is the latest time at which a wheel was turned.
func Timers(ctx context.Context, k *kernel.Kernel) (bases []TimerBase, jiffies uint64, err error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, 0, fmt.Errorf("timers: %w", err)
	}
	wheels, err := r.wheels(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("timers: %w", err)
	}
	if jiffies, err = Jiffies(k); errors.Is(err, symbols.ErrNoSymbol) {
		jiffies, err = latest(wheels)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("timers: %w", err)
	}
	online := k.OnlineCPUs()
	for nth, list := range wheels {
		for i, o := range list {
			b := TimerBase{Object: o, CPU: online[nth], Name: fmt.Sprintf("BASE_%d", i)}
			if names, ok := baseNames[len(list)]; ok {
				b.Name = names[i]
			}
			b.Timers, b.Missing = r.wheel(ctx, o, jiffies)
			bases = append(bases, b)
		}
		if ctx.Err() != nil {
			return bases, jiffies, ctx.Err()
		}
	}
	return bases, jiffies, nil
}

// latest is the last time at which one of the wheels was turned.
func latest(wheels [][]kernel.Object) (jiffies uint64, err error) {
	for _, list := range wheels {
		for _, o := range list {
			clk, err := o.Uint("clk")
			if err != nil {
				return 0, err
			}
			jiffies = max(jiffies, clk)
		}
	}
	return jiffies, nil
}

// wheels are the struct timer_base of each CPU that was online.
func (r *reader) wheels(ctx context.Context) (wheels [][]kernel.Object, err error) {
	for _, cpu := range r.k.OnlineCPUs() {
		array, err := r.k.PerCPU(r.ts, "timer_bases", cpu)
		if errors.Is(err, symbols.ErrNoSymbol) {
			return r.findWheels(ctx)
		}
		if err != nil {
			return nil, err
		}
		var list []kernel.Object
		for i := range r.elements(array, "timer_bases") {
			o, err := array.Index(uint64(i))
			if err != nil {
				return nil, err
			}
			list = append(list, o)
		}
		wheels = append(wheels, list)
	}
	return wheels, nil
}

// elements is how many elements a variable has: its type or the size of its symbol tells.
func (r *reader) elements(array kernel.Object, symbol string) int {
	const most = 64
	t := array.Type.Underlying()
	if t.Kind == symbols.KindArray && t.Count > 0 {
		return int(min(t.Count, most))
	}
	s, err := r.k.Symbol(symbol)
	if t.Kind != symbols.KindArray || err != nil || s.Size == 0 || t.Elem().Size() == 0 {
		return 1
	}
	return int(min(max(1, s.Size/t.Elem().Size()), most))
}

// wheel reads the buckets of a wheel.
func (r *reader) wheel(ctx context.Context, base kernel.Object, jiffies uint64) ([]Timer, []kernel.Missing) {
	var miss missing
	buckets, err := base.Member("vectors")
	if err != nil {
		miss.add("timers", err)
		return nil, miss.list
	}
	heads, err := buckets.Bytes()
	miss.add("timers", err)
	timer, err := symbols.Find(r.ts, "struct timer_list", "entry")
	if err != nil {
		miss.add("timers", err)
		return nil, miss.list
	}
	running, _ := base.Pointer("running_timer")
	var timers []Timer
	seen := make(map[uint64]bool) // a timer is in one bucket
	word := r.k.PtrSize()
	for at := 0; at+word <= len(heads); at += word {
		if !slices.ContainsFunc(heads[at:at+word], func(b byte) bool { return b != 0 }) {
			continue
		}
		for o, err := range r.k.HList(ctx, buckets.Addr+uint64(at), timer, "entry") {
			if err == nil && seen[o.Addr] {
				err = fmt.Errorf("timer %#x is in two buckets: %w", o.Addr, phys.ErrCorrupt)
			}
			if err != nil {
				miss.add("timers", err)
				break
			}
			seen[o.Addr] = true
			t, err := r.timer(o, jiffies)
			miss.add("timers", err)
			t.Running = o.Addr == running
			timers = append(timers, t)
		}
	}
	slices.SortStableFunc(timers, func(a, b Timer) int { return cmp.Compare(a.Left, b.Left) })
	return timers, miss.list
}

func (r *reader) timer(o kernel.Object, jiffies uint64) (Timer, error) {
	f := o.Fields()
	t := Timer{Object: o, Expires: f.Uint("expires"), Function: r.function(f.Uint("function"))}
	t.For = r.purpose(o, t.Function.Name)
	t.Left = int64(t.Expires - jiffies)
	if r.k.PtrSize() == 4 {
		t.Left = int64(int32(t.Expires - jiffies))
	}
	return t, f.Err()
}

// sleepers are the functions of timers that wake a task or start a work: what the timer is a
// member of, and the way to the task or to the function.
var sleepers = map[string]struct{ inside, member, task, work string }{
	"process_timeout":       {"struct process_timer", "timer", "task", ""}, // schedule_timeout, 4.15 on
	"delayed_work_timer_fn": {"struct delayed_work", "timer", "", "work.func"},
	"hrtimer_wakeup":        {"struct hrtimer_sleeper", "timer", "task", ""},
}

// purpose tells what a timer is for, "" where its function does not.
func (r *reader) purpose(timer kernel.Object, function string) string {
	form, ok := sleepers[function]
	if !ok {
		return ""
	}
	o, err := timer.Around(form.inside, form.member)
	if err != nil {
		return ""
	}
	if form.work != "" {
		fn, err := o.Uint(form.work)
		if err != nil {
			return ""
		}
		return r.function(fn).String()
	}
	task, err := o.Follow(form.task)
	if err != nil {
		return ""
	}
	pid, err1 := task.Int("pid")
	comm, err2 := task.Text("comm")
	if err1 != nil || err2 != nil {
		return ""
	}
	return fmt.Sprintf("PID %d %q", pid, comm)
}
