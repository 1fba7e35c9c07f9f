package triage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/lock"
	"github.com/kautopsy/kautopsy/oops"
)

// lockup says who held the CPU that a watchdog found stuck, where, and whether interrupts
// could come in there.
func (s *scene) lockup(o *oops.Oops, c *cpuScene) []Finding {
	f, regs, ok := c.fault()
	if !noticed[o.Kind] || !ok {
		return nil
	}
	title := fmt.Sprintf("%s held CPU %d in %s", called(c.task), c.cpu, Function(f.Symbol.Name))
	e := Evidence{Kind: "frame", Text: "interrupted at " + f.String(), Symbol: f.Symbol.Name}
	if on, text, known := interrupts(regs); known {
		title += ", interrupts " + onOff(on)
		e = Evidence{Kind: "register", Text: text, Symbol: f.Symbol.Name}
	}
	return []Finding{{ID: "held-cpu", Title: title, Severity: Cause, Confidence: Sure, Evidence: []Evidence{e}}}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

const (
	eflagsIF = 1 << 9 // x86: interrupts are let in
	pstateI  = 1 << 7 // arm64: interrupts are masked
)

// interrupts tells from the flags whether a processor let interrupts in.
func interrupts(r registers) (on bool, text string, known bool) {
	if v, ok := register(r, "eflags"); ok {
		return v&eflagsIF != 0, fmt.Sprintf("EFLAGS %#x", v), true
	}
	if v, ok := register(r, "pstate"); ok {
		return v&pstateI == 0, fmt.Sprintf("pstate %#x", v), true
	}
	return false, "", false
}

// spinner is a CPU that spins for a lock.
type spinner struct {
	*cpuScene
	lock.Spin
	frame kernel.Frame
}

// spinners are the CPUs that were stopped or interrupted while they waited for a spinlock.
func (s *scene) spinners() (out []spinner) {
	if s.finder == nil {
		return nil
	}
	for i := range s.cpus {
		f, regs, ok := s.cpus[i].fault()
		if !ok {
			continue
		}
		if spin, ok := s.finder.Spinning(f, regs.All()); ok {
			out = append(out, spinner{&s.cpus[i], spin, f})
		}
	}
	return out
}

func (s *scene) addSpinlocks(r *Report) {
	for _, w := range s.spinners() {
		addr := oops.Address(w.Lock)
		i := slices.IndexFunc(r.Locks, func(l Lock) bool { return l.Address != nil && *l.Address == addr })
		if i < 0 {
			i = len(r.Locks)
			r.Locks = append(r.Locks, Lock{Kind: "spinlock", Address: &addr, Symbol: w.Name, Waiters: []Task{}})
		}
		r.Locks[i].Waiters = append(r.Locks[i].Waiters, taskOf(w.task))
	}
}

// spinFindings tell who spins for which lock, and what the other CPUs say of its holder,
// whom a spinlock does not name.
func (s *scene) spinFindings(o *oops.Oops) (out []Finding) {
	for _, w := range s.spinners() {
		addr := oops.Address(w.Lock)
		name := w.Name
		if name == "" {
			name = addr.String()
		}
		f := Finding{
			ID: "spins", Title: fmt.Sprintf("%s on CPU %d spins for spinlock %s", called(w.task), w.cpu, name),
			Severity: Trace, Confidence: Sure,
			Evidence: []Evidence{{
				Kind: "memory", Text: fmt.Sprintf("%s is %s, the word there %#x: taken", strings.ToUpper(w.By), name, w.Value),
				Address: &addr, Symbol: w.Name,
			}},
		}
		if noticed[o.Kind] {
			f.Severity = Cause
		}
		if text, ok := s.noHolder(w); ok {
			f.Confidence = Likely
			f.Title += ", " + text
		}
		out = append(out, f)
	}
	return out
}

// noHolder tells that no other CPU can be the one that holds a spinlock: none is in the
// kernel but to idle or to spin itself. The holder is then the spinner, or a task that went
// to sleep with it.
func (s *scene) noHolder(w spinner) (text string, ok bool) {
	for i := range s.cpus {
		if c := &s.cpus[i]; c.cpu != w.cpu && len(c.stack.Frames) > 0 && !c.idle() {
			return "", false
		}
	}
	return "which no other CPU can hold: taken twice, or never released", true
}

// idle tells whether a CPU had nothing to do, but for what the dump made it do.
func (c *cpuScene) idle() bool {
	return c.task.Idle && !slices.ContainsFunc(c.stack.Frames, func(f kernel.Frame) bool {
		switch roleOf(f.Symbol.Name) {
		case roleNone, roleLock:
			return c.task.Addr == 0
		}
		return false
	})
}
