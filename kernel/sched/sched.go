// Package sched tells what runs, what waits and what will happen later in the kernel of a
// dump: run queues, timers, work queues, interrupts, signals and wait queues. Nothing but the
// dump is needed; a structure whose root the kernel does not name is an error that says so.
//
//	runq.go       run queues of the CPUs: what runs, and what wants to
//	timer.go      the timer wheel; hrtimer.go the high-resolution timers
//	workqueue.go  pools, workers, pending and delayed works
//	irq.go        interrupts, their handlers and counts; softirq.go what runs behind them
//	signal.go     signals of a task: pending, blocked, handled
//	waitqueue.go  tasks on a wait queue
//
// What could not be read is in Missing or Err, and never keeps the rest from being told.
package sched

import (
	"context"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Function is code by its address; Name is "" where no symbol covers it.
type Function struct {
	Addr   uint64
	Name   string
	Offset uint64
	Module string
}

// String spells it "ck_timer_fn [crashkit]", with the offset where it is not the begin.
func (f Function) String() string {
	if f.Name == "" {
		return fmt.Sprintf("%#x", f.Addr)
	}
	s := f.Name
	if f.Offset != 0 {
		s = fmt.Sprintf("%s+%#x", s, f.Offset)
	}
	if f.Module != "" {
		s += " [" + f.Module + "]"
	}
	return s
}

// reader is what each of the questions needs.
type reader struct {
	k     *kernel.Kernel
	ts    symbols.Types
	names *symbols.Table // nil: functions have no names
}

func newReader(ctx context.Context, k *kernel.Kernel) (*reader, error) {
	ts, err := k.Types()
	if ts == nil {
		return nil, err
	}
	names, _ := k.AllSymbols(ctx) // without names the addresses are told
	return &reader{k, ts, names}, nil
}

// function names the code at an address.
func (r *reader) function(addr uint64) Function {
	f := Function{Addr: addr}
	if r.names == nil || addr == 0 {
		return f
	}
	if s, off, err := r.names.At(addr); err == nil {
		f.Name, f.Offset, f.Module = s.Name, off, s.Module
	}
	return f
}

// missing collects what could not be read. Of one thing that is missing many times the first
// is told with how often.
type missing struct {
	list  []kernel.Missing
	times map[string]int
}

func (m *missing) add(what string, err error) {
	if err == nil {
		return
	}
	if m.times == nil {
		m.times = make(map[string]int)
	}
	key := what
	if reason := phys.Reason(err); reason != nil {
		key += reason.Error()
	}
	if m.times[key]++; m.times[key] == 1 {
		m.list = append(m.list, kernel.NewMissing(what, err, ""))
		return
	}
	for i := range m.list {
		if m.list[i].What == what && phys.Reason(m.list[i].Err) == phys.Reason(err) {
			m.list[i].Cost = fmt.Sprintf("%d such", m.times[key])
		}
	}
}
