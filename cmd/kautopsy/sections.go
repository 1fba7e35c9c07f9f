package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/triage"
)

// sections print all that a report holds, behind its first screen.
func (s *screen) sections(w io.Writer) {
	for _, sec := range []struct {
		title string
		print func(io.Writer)
	}{
		{"Findings", s.allFindings},
		{"Stack", s.wholeStack},
		{"Registers", s.registers},
		{"CPUs", s.allCPUs},
		{"Blocked tasks", s.allBlocked},
		{"Locks", s.allLocks},
		{"Stacks of all tasks", s.allStacks},
		{"Log before the report", s.logTail},
		{"Missing", s.allMissing},
	} {
		var b strings.Builder
		if sec.print(&b); b.Len() > 0 {
			fmt.Fprintf(w, "\n%s\n%s", s.paint.bold(sec.title), b.String())
		}
	}
}

func (s *screen) allFindings(w io.Writer) {
	for _, f := range s.rep.Findings {
		fmt.Fprintf(w, "  %s  (%s, %s)\n", printable(f.Title), f.Severity, f.Confidence)
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "      %s\n", printable(evidenceLine(e)))
		}
		if f.Advice != "" {
			fmt.Fprintf(w, "      advice: %s\n", printable(f.Advice))
		}
	}
}

func (s *screen) wholeStack(w io.Writer) {
	if s.rep.Panic == nil {
		return
	}
	for _, l := range s.traceLines(s.rep.Panic.Trace) {
		fmt.Fprintln(w, strings.TrimRight(l.text, " "))
	}
}

func (s *screen) registers(w io.Writer) {
	if s.rep.Panic == nil {
		return
	}
	const perLine = 3
	for line := range slices.Chunk(slices.Sorted(maps.Keys(s.rep.Panic.Registers)), perLine) {
		fmt.Fprint(w, " ")
		for _, name := range line {
			fmt.Fprintf(w, " %7s %016x", printable(name), uint64(s.rep.Panic.Registers[name]))
		}
		fmt.Fprintln(w)
	}
}

func (s *screen) allCPUs(w io.Writer) {
	for _, c := range s.rep.CPUs {
		fmt.Fprintf(w, "  CPU %d", c.CPU)
		if c.Comm != "" || c.PID != nil {
			fmt.Fprintf(w, "  %s", printable(who(triage.Task{PID: c.PID, Comm: c.Comm})))
		}
		fmt.Fprintf(w, "  at %s\n", printable(frameName(c.PC)))
		for _, f := range c.Frames {
			fmt.Fprintf(w, "      %s\n", printable(f))
		}
	}
}

func (s *screen) allBlocked(w io.Writer) {
	for _, b := range s.rep.Blocked {
		fmt.Fprintf(w, "  %s  %s", b.State, printable(blockedLine(b)))
		if b.How != "" {
			fmt.Fprintf(w, "  (by %s)", b.How)
		}
		fmt.Fprintln(w)
		for _, f := range b.Frames {
			fmt.Fprintln(w, "    "+strings.TrimRight(s.plainFrame(f), " "))
		}
	}
}

func (s *screen) allLocks(w io.Writer) {
	for _, l := range s.rep.Locks {
		fmt.Fprintf(w, "  %s", l.Kind)
		if l.Symbol != "" {
			fmt.Fprintf(w, " %s", printable(l.Symbol))
		}
		if l.Address != nil {
			fmt.Fprintf(w, " at %s", *l.Address)
		}
		if l.Owner != nil {
			fmt.Fprintf(w, ", held by %s", printable(who(*l.Owner)))
		}
		waiters := make([]string, 0, len(l.Waiters))
		for _, t := range l.Waiters {
			waiters = append(waiters, printable(who(t)))
		}
		fmt.Fprintf(w, ", waited for by %s\n", strings.Join(waiters, ", "))
	}
}

func (s *screen) allStacks(w io.Writer) {
	for _, g := range s.rep.Stacks {
		fmt.Fprintf(w, "  %s in state %s, PID%s\n", count(g.Count, "task"), g.State, pids(g.PIDs))
		for _, f := range g.Frames {
			fmt.Fprintf(w, "      %s\n", printable(f))
		}
	}
}

// maxPIDs is how many PIDs of a group are printed; the document has all.
const maxPIDs = 20

func pids(all []int) string {
	var b strings.Builder
	for _, pid := range all[:min(maxPIDs, len(all))] {
		fmt.Fprintf(&b, " %d", pid)
	}
	if n := len(all) - maxPIDs; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

func (s *screen) logTail(w io.Writer) {
	for _, l := range s.rep.LogTail {
		fmt.Fprintf(w, "  %s\n", printable(l))
	}
}

func (s *screen) allMissing(w io.Writer) {
	for _, m := range s.rep.Missing {
		fmt.Fprintf(w, "  %s: %s; %s\n", printable(m.What), printable(m.Why), printable(m.Cost))
	}
}
