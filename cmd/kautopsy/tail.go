package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
	"github.com/kautopsy/kautopsy/triage"
)

// tailLimit is how much of each kind the end of the screen tells.
type tailLimit struct{ evidence, lines, also, blocked, cpus, missing int }

// tailLimits, the most generous first.
var tailLimits = []tailLimit{
	{evidence: 3, lines: 2, also: 2, blocked: 2, cpus: 2, missing: 2},
	{evidence: 3, lines: 1, also: 2, blocked: 1, cpus: 1, missing: 2},
	{evidence: 2, lines: 1, also: 1, blocked: 1, cpus: 0, missing: 1},
	{evidence: 1, lines: 1, also: 1, blocked: 1, cpus: 0, missing: 1},
}

// tail is why, what else was seen, the dump itself and what to do next.
func (s *screen) tail(most tailLimit) []string {
	lines := append(append(s.source(), s.values(most.lines)...), s.code(most.lines)...)
	if len(s.rep.Findings) > 0 {
		lines = append(append(lines, s.because(most)...), s.alsoSeen(s.rep.Findings[1:], most)...)
	}
	lines = append(lines, s.blocked(most.blocked)...)
	lines = append(lines, s.cpuLines(most.cpus)...)
	lines = append(lines, s.row("dump", s.dumpLine, most.lines)...)
	for i, m := range s.rep.Missing {
		if i == most.missing {
			lines = append(lines, s.more(len(s.rep.Missing)-i, "thing")...)
			break
		}
		lines = append(lines, s.row("missing", m.What+": "+m.Why, most.lines)...)
	}
	return append(lines, s.next()...)
}

// source is where the culprit's code is.
func (s *screen) source() []string {
	c := s.rep.Verdict.Culprit
	if c == nil || c.File == "" {
		return nil
	}
	return s.row("source", fmt.Sprintf("%s:%d", c.File, c.Line), 1)
}

// values are the culprit's arguments and local variables.
func (s *screen) values(most int) []string {
	c := s.rep.Verdict.Culprit
	if c == nil || len(c.Variables) == 0 {
		return nil
	}
	var list []string
	for _, v := range c.Variables {
		list = append(list, v.Name+" = "+v.Text)
	}
	return s.row("values", strings.Join(list, "; "), most)
}

// code is the instruction at the fault and what it was about.
func (s *screen) code(most int) []string {
	if s.rep.Panic == nil {
		return nil
	}
	for _, in := range s.rep.Panic.Code {
		if in.Fault && in.Operand != nil {
			return s.row("code", strings.Join(strings.Fields(in.Text), " ")+": "+in.Operand.Text, most)
		}
	}
	return nil
}

// more says that a list goes on.
func (s *screen) more(n int, what string) []string {
	return s.row("", "… and "+count(n, "more "+what)+s.seeAll(), 1)
}

// seeAll says how to see the rest.
func (s *screen) seeAll() string {
	if s.text {
		return " (--json)"
	}
	return " (-v)"
}

// because is the evidence, without what the trace shows already.
func (s *screen) because(most tailLimit) (lines []string) {
	label, shown := "because", 0
	if s.rep.Verdict.Kind == oops.None {
		label = "but" // of no crash: what is wrong all the same
	}
	said := map[string]bool{} // a headline can be the panic's message, too
	for _, e := range s.rep.Findings[0].Evidence {
		if s.inTrace(e) || said[e.Text] {
			continue
		}
		said[e.Text] = true
		lines = append(lines, s.row(label, evidenceLine(e), most.lines)...)
		if label, shown = "", shown+1; shown == most.evidence {
			break
		}
	}
	return lines
}

// inTrace tells whether the trace shows a piece of evidence: its first frame or the culprit.
func (s *screen) inTrace(e triage.Evidence) bool {
	if e.Symbol == "" || s.rep.Panic == nil {
		return false
	}
	for i, f := range s.rep.Panic.Trace {
		if i == 0 && e.Kind == "register" && f.Symbol == e.Symbol || e.Kind == "frame" && f.Culprit && s.saysWhy(f) {
			return true
		}
	}
	return false
}

func evidenceLine(e triage.Evidence) string {
	if e.Line > 0 {
		return fmt.Sprintf("log line %d: %s", e.Line, e.Text)
	}
	return e.Text
}

// alsoSeen are the other findings that matter most. That the witnesses agree is what one
// expects; the operand has a line of its own.
func (s *screen) alsoSeen(findings []triage.Finding, most tailLimit) (lines []string) {
	label := "also seen"
	findings = slices.DeleteFunc(slices.Clone(findings), func(f triage.Finding) bool {
		return f.ID == "witnesses" || f.ID == "operand" || f.ID == "deadlock" && strings.Contains(s.rep.Verdict.Detail, f.ID)
	})
	for i, f := range findings {
		if i == most.also {
			return append(lines, s.more(len(findings)-i, "finding")...)
		}
		text := f.Title
		if len(f.Evidence) > 0 && f.Evidence[0].Line > 0 {
			text = fmt.Sprintf("log line %d: %s", f.Evidence[0].Line, f.Title)
		}
		lines = append(lines, s.row(label, text, most.lines)...)
		label = ""
	}
	return lines
}

// blocked are the tasks that nobody can wake but who has what they wait for. A report about
// hung tasks has told of them.
func (s *screen) blocked(most int) (lines []string) {
	blocked := slices.DeleteFunc(slices.Clone(s.rep.Blocked), func(b triage.Blocked) bool { return b.State != "D" || b.WaitsOn == "" })
	label := "blocked"
	if s.rep.Verdict.Kind == oops.HungTask && s.rep.Verdict.Detail != "" {
		return nil
	}
	for i, b := range blocked[:min(most, len(blocked))] {
		if i == most-1 && i < len(blocked)-1 {
			return append(lines, s.more(len(blocked)-i, "task")...)
		}
		lines = append(lines, s.row(label, blockedLine(b), 1)...)
		label = ""
	}
	return lines
}

// blockedLine is "kworker/0:2 (31) for 122 s: mutex ck_lock [crashkit], ck-idle (170)".
func blockedLine(b triage.Blocked) string {
	text := who(b.Task)
	if b.Seconds > 0 {
		text += fmt.Sprintf(" for %d s", b.Seconds)
	}
	text += ": " + b.WaitsOn
	if b.Owner != "" {
		text += ", " + b.Owner
	}
	return text
}

// cpuLines say where the CPUs stood; the trace shows the one that crashed.
func (s *screen) cpuLines(most int) (lines []string) {
	label := "registers"
	cpus := slices.DeleteFunc(slices.Clone(s.rep.CPUs), func(c triage.CPU) bool { return s.traced() && s.rep.Verdict.CPU != nil && c.CPU == *s.rep.Verdict.CPU })
	for i, c := range cpus[:min(most, len(cpus))] {
		if i == most-1 && i < len(cpus)-2 {
			return append(lines, s.more(len(cpus)-i, "CPU")...)
		}
		where := frameName(c.PC)
		if where == "" {
			continue
		}
		text := fmt.Sprintf("CPU %d at %s", c.CPU, where)
		if c.PID != nil {
			text += fmt.Sprintf(", PID %d", *c.PID)
		}
		lines = append(lines, s.row(label, text, 1)...)
		label = ""
	}
	return lines
}

// traced tells whether the trace is one from memory.
func (s *screen) traced() bool {
	return s.rep.Panic != nil && len(s.rep.Panic.Trace) > 0 && s.rep.Panic.Trace[0].SP != nil
}

// next are the commands that an engineer wants now.
func (s *screen) next() []string {
	line := func(label, command string) string { // never clipped: it is there to be pasted
		return "  " + s.paint.bold(fmt.Sprintf("%-10s", label)) + " kautopsy " + command + " " + shellQuote(s.file)
	}
	if s.text {
		return []string{line("next", "oops --json")}
	}
	next := []string{line("next", "triage -v")}
	if len(s.rep.Missing) > 0 && s.damaged {
		next = append(next, line("", "verify"))
	}
	return next
}

// shellQuote makes a file's name safe to paste, and to print.
func shellQuote(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:+,@%=-"
	switch {
	case name != "" && strings.Trim(name, plain) == "":
		return name
	case printable(name) != name:
		return "$'" + printable(strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(name)) + "'"
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// dumpLine says what the dump is and whether it is whole.
func dumpLine(ctx context.Context, k *kernel.Kernel) string {
	h := k.Dump().Header
	what := formatName(h.Format)
	if h.Codec != "" && h.Codec != "none" {
		what += " " + h.Codec
	}
	if h.Flattened {
		what += ", flattened"
	}
	if h.Parts > 1 {
		what += fmt.Sprintf(", %d parts", h.Parts)
	}
	state := "complete"
	if h.Incomplete || k.Dump().Complete() != nil {
		state = "INCOMPLETE"
	}
	if _, err := k.DebugFile(ctx, ""); errors.Is(err, dwarf.ErrNoDebug) {
		state += "; no vmlinux: no kernel lines (-k FILE)"
	}
	return fmt.Sprintf("%s %s, %s", bytesOf(uint64(k.Dump().Size())), what, state)
}
