package main

import (
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/triage"
)

// tailLimit is how much of each kind the end of the screen tells.
type tailLimit struct{ evidence, lines, also, cpus, missing int }

// tailLimits, the most generous first.
var tailLimits = []tailLimit{
	{evidence: 3, lines: 2, also: 2, cpus: 2, missing: 2},
	{evidence: 3, lines: 1, also: 2, cpus: 1, missing: 2},
	{evidence: 2, lines: 1, also: 1, cpus: 0, missing: 1},
	{evidence: 1, lines: 1, also: 1, cpus: 0, missing: 1},
}

// tail is why, what else was seen, the dump itself and what to do next.
func (s *screen) tail(most tailLimit) []string {
	var lines []string
	if len(s.rep.Findings) > 0 {
		lines = append(s.because(most), s.alsoSeen(s.rep.Findings[1:], most.also)...)
	}
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

// more says that a list goes on.
func (s *screen) more(n int, what string) []string {
	return s.row("", "… and "+count(n, "more "+what)+" (--json)", 1)
}

// because is the evidence, without what the trace shows already.
func (s *screen) because(most tailLimit) (lines []string) {
	label, shown := "because", 0
	for _, e := range s.rep.Findings[0].Evidence {
		if s.inTrace(e) {
			continue
		}
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

// alsoSeen are the other findings that matter most.
func (s *screen) alsoSeen(findings []triage.Finding, most int) (lines []string) {
	label := "also seen"
	for i, f := range findings {
		if i == most {
			return append(lines, s.more(len(findings)-i, "finding")...)
		}
		text := f.Title
		if len(f.Evidence) > 0 && f.Evidence[0].Line > 0 {
			text = fmt.Sprintf("log line %d: %s", f.Evidence[0].Line, f.Title)
		}
		lines = append(lines, s.row(label, text, 1)...)
		label = ""
	}
	return lines
}

// cpuLines say where each CPU stood.
func (s *screen) cpuLines(most int) (lines []string) {
	label := "registers"
	for i, c := range s.rep.CPUs[:min(most, len(s.rep.CPUs))] {
		if i == most-1 && i < len(s.rep.CPUs)-2 {
			return append(lines, s.more(len(s.rep.CPUs)-i, "CPU")...)
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

// next are the commands that an engineer wants now.
func (s *screen) next() []string {
	line := func(label, command string) string { // never clipped: it is there to be pasted
		return "  " + s.paint.bold(fmt.Sprintf("%-10s", label)) + " kautopsy " + command + " " + shellQuote(s.file)
	}
	if s.text {
		return []string{line("next", "oops --json")}
	}
	next := []string{line("next", "log --level err")}
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
func dumpLine(k *kernel.Kernel) string {
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
	return fmt.Sprintf("%s %s, %s; no vmlinux: no source lines", bytesOf(uint64(k.Dump().Size())), what, state)
}
