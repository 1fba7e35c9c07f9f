package triage

import (
	"cmp"
	"slices"

	"github.com/kautopsy/kautopsy/oops"
)

// addTo adds to a report what only memory shows. told is the report as the log has it, o as
// it was judged, c the CPU that it is about, nil if the stack there is that of something
// else.
func (s *scene) addTo(r *Report, told, o *oops.Oops, c *cpuScene) {
	if s == nil {
		return
	}
	if c != nil {
		r.Panic.Trace = stackFrames(c.stack, r.Verdict.Culprit)
		s.addCode(r.Panic, o, c)
		if t := r.Verdict.Task; t != nil && t.PID != nil && *t.PID == c.task.PID && c.task.Addr != 0 {
			*t = taskOf(c.task)
		}
	}
	s.addState(r)
	r.Findings = append(r.Findings, s.deadlockFindings(o.Kind)...)
	if c != nil {
		r.Findings = append(r.Findings, slices.Concat(
			operandFindings(told, o, r.Panic), s.lockup(o, c), s.stackUse(o, c), s.askedFor(r.Verdict.Context, c), sameRegisters(told, c),
			s.freedFindings(&r.Verdict), s.listFinding(o),
		)...)
	} else if len(s.cpus) > 0 && !s.alive {
		r.Findings = append(r.Findings, append(s.later(o), s.logTrace(o, r)...)...)
	}
	if s.alive {
		r.Findings = slices.Insert(r.Findings, 1, Finding{
			ID: "went-on", Title: "the kernel did not panic of this: it was running when the dump was taken",
			Severity: Trace, Confidence: Likely, Evidence: []Evidence{},
		})
	}
	r.Findings = append(r.Findings, slices.Concat(s.spinFindings(o), s.memoryFindings(o.Kind), s.witnesses(told, c))...)
	order := []Severity{Cause, Trace, Note}
	slices.SortStableFunc(r.Findings[1:], func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Severity), slices.Index(order, b.Severity))
	})
}

// addState lists who waits, the locks and all stacks, whatever the verdict.
func (s *scene) addState(r *Report) {
	s.addBlocked(r)
	s.addLocks(r)
	s.addSpinlocks(r)
	r.Stacks = s.groups()
}

// logTrace tells that the stack of the report is what the log printed, because that in memory
// cannot be read.
func (s *scene) logTrace(o *oops.Oops, r *Report) []Finding {
	c, ok := s.subject(o)
	if len(r.Panic.Trace) == 0 || ok && c.stack.Complete {
		return nil
	}
	f := Finding{
		ID: "log-trace", Title: "the stack is the log's: that in memory cannot be read", Severity: Trace, Confidence: Sure, Evidence: []Evidence{},
	}
	if ok && c.stack.Why != nil {
		f.Evidence = append(f.Evidence, Evidence{Kind: "memory", Text: c.stack.Why.Error()})
	}
	return []Finding{f}
}

// later tells that the stack of the CPU that crashed is not the one that the report shows. A
// stack that is absent in part tells nothing.
func (s *scene) later(o *oops.Oops) []Finding {
	c, ok := s.subject(o)
	if !ok || !c.stack.Complete {
		return nil
	}
	f := Finding{
		ID: "other-stack", Title: "the stack of the CPU that crashed is not that of the report: it went on, or the log is another's",
		Severity: Note, Confidence: Sure, Evidence: []Evidence{},
	}
	for _, text := range spell(c.stack)[:min(4, len(c.stack.Frames))] {
		f.Evidence = append(f.Evidence, Evidence{Kind: "frame", Text: text})
	}
	return []Finding{f}
}

// addCPUs tells what ran on the CPUs, and their stacks.
func (s *scene) addCPUs(cpus []CPU) {
	for i := range cpus {
		at := slices.IndexFunc(s.cpus, func(c cpuScene) bool { return c.cpu == cpus[i].CPU })
		if at < 0 {
			continue
		}
		c := &s.cpus[at]
		cpus[i].Frames = spell(c.stack)
		if c.task.Addr != 0 {
			cpus[i].PID, cpus[i].Comm = &c.task.PID, c.task.Comm
		}
	}
}
