package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kautopsy/kautopsy/triage"
)

// screen prints a report as the first screen: the verdict first, nothing to scroll, 80
// columns unless the terminal is wider.
type screen struct {
	rep      *triage.Report
	file     string
	dumpLine string
	text     bool // the report is of a text, not of a dump
	damaged  bool // of what is missing something was lost or corrupt
	width    int
	height   int
	paint    painter
}

const (
	screenWidth = 80
	wideScreen  = 120 // lines longer than this are hard to read
	screenLines = 25
	leastLines  = 16 // what a report takes, however low the terminal
	headLines   = 3  // of the headline, and of its detail
)

func newScreen(env *environment, rep *triage.Report) *screen {
	s := &screen{rep: rep, width: env.columns(), height: screenLines, paint: newPainter(env)}
	if h := env.outTerm.height; h > 0 {
		s.height = min(screenLines, max(h-1, leastLines)) // the shell's prompt comes behind it
	}
	return s
}

// columns is how wide lines may be: 80 columns, or as wide as the terminal within reason.
func (env *environment) columns() int {
	if !env.outTerm.is() {
		return screenWidth
	}
	return min(max(env.outTerm.width, 40), wideScreen)
}

// print writes the screen. What must be there is counted first; the trace gets the lines
// that are left, and when these are too few the tail says less.
func (s *screen) print(w io.Writer) {
	head := append(append(s.headline(), ""), s.facts()...)
	var tail []string
	room, least := 0, min(leastTrace, len(s.frames()))
	for _, most := range tailLimits {
		tail = s.tail(most)
		if room = s.height - len(head) - len(tail) - 2; room >= least {
			break
		}
	}
	lines := append(head, "")
	if b := s.hung(); b != nil {
		room--
		lines = append(lines, s.paint.dim(clip("  stack of "+printable(who(b.Task))+":", s.width)))
	}
	if trace := s.trace(max(least, room)); len(trace) > 0 {
		lines = append(append(lines, trace...), "")
	}
	for _, l := range append(lines, tail...) {
		fmt.Fprintln(w, strings.TrimRight(l, " "))
	}
}

// leastTrace is how many lines the trace has at least, if it is that long.
const leastTrace = 6

// headline is the verdict with how sure it is at the right edge, and its detail.
func (s *screen) headline() []string {
	v := s.rep.Verdict
	text, word := printable(v.Headline), string(v.Confidence)
	if text == "" {
		text = string(v.Kind)
	}
	lines := atMost(headLines, breakSentence(text, s.width-columns(word)-2, s.width-2))
	gap := strings.Repeat(" ", max(1, s.width-columns(lines[0])-columns(word)))
	for i := range lines {
		lines[i] = s.paint.red(clip(lines[i], s.width-2))
	}
	lines[0] += gap + s.paint.bold(word)
	for i, l := range lines[1:] {
		lines[i+1] = "  " + l
	}
	for _, l := range atMost(headLines, wrap(printable(v.Detail), s.width-2)) {
		lines = append(lines, "  "+clip(l, s.width-2))
	}
	return lines
}

// atMost leaves so many lines; what is too much stands behind the last of them, to be
// clipped.
func atMost(n int, lines []string) []string {
	if len(lines) <= n {
		return lines
	}
	return append(lines[:n-1:n-1], strings.Join(lines[n-1:], " "))
}

// breakSentence breaks a sentence that is too long for its first line, at a comma if there
// is one.
func breakSentence(text string, first, rest int) []string {
	if columns(text) <= first {
		return []string{text}
	}
	for end := len(text); ; {
		end = strings.LastIndex(text[:end], ", ")
		if end < 0 {
			break
		}
		if columns(text[:end+1]) <= first {
			return append([]string{text[:end+1]}, wrap(text[end+2:], rest)...)
		}
	}
	return wrap(text, first)
}

// row puts a label in front of text and breaks it into at most so many lines.
func (s *screen) row(label, text string, most int) []string {
	room := s.width - 13
	text = printable(text)
	lines := atMost(most, wrap(text, room))
	for i, l := range lines {
		head := strings.Repeat(" ", 10)
		if i == 0 && label != "" {
			head = s.paint.bold(fmt.Sprintf("%-10s", label))
		}
		lines[i] = "  " + head + " " + clip(l, room)
	}
	return lines
}

// facts are the kernel, the time, the signature and the task.
func (s *screen) facts() []string {
	sys := s.rep.System
	var lines []string
	when := ""
	if sys != nil {
		lines = append(lines, s.row("kernel", kernelLine(sys), 2)...)
		lines = append(lines, s.row("hardware", s.hardware(sys.Hardware), 1)...)
		when = strings.NewReplacer("T", " ", "Z", " UTC").Replace(sys.Date)
	}
	times := s.row("when", when, 1)
	if sig := s.rep.Signature; sig != "" {
		if both := 13 + columns(when) + 17 + columns(sig); when != "" && both <= s.width {
			times[0] += "      " + s.paint.bold("signature") + "  " + sig
		} else {
			times = append(times, s.row("signature", sig, 1)...)
		}
	}
	lines = append(lines, times...)
	return append(lines, s.row("task", taskLine(s.rep), 1)...)
}

// hardware is without the BIOS where that is too much for a line.
func (s *screen) hardware(text string) string {
	if columns(text) > s.width-13 {
		text, _, _ = strings.Cut(text, ", BIOS ")
	}
	return text
}

func kernelLine(sys *triage.System) string {
	parts := []string{strings.TrimSpace(sys.Kernel.Release + " " + sys.Kernel.Machine)}
	if n := sys.Kernel.Nodename; n != "" {
		parts = append(parts, "host "+n)
	}
	if sys.UptimeNS != nil {
		parts = append(parts, "up "+shortDuration(time.Duration(*sys.UptimeNS)))
	}
	if sys.CPUs != nil {
		parts = append(parts, count(*sys.CPUs, "CPU"))
	}
	if sys.Taint != "" {
		parts = append(parts, "tainted "+sys.Taint)
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
}

// shortDuration prints a time with two units: "14 s", "3 h 12 min", "45 days 2 h".
func shortDuration(d time.Duration) string {
	sec := int(d / time.Second)
	switch {
	case sec < 120:
		return fmt.Sprintf("%d s", sec)
	case sec < 7200:
		return fmt.Sprintf("%d min", sec/60)
	case sec < 48*3600:
		return fmt.Sprintf("%d h %d min", sec/3600, sec/60%60)
	}
	return fmt.Sprintf("%d days %d h", sec/86400, sec/3600%24)
}

// taskLine is "swapper/1 (0) on CPU 1, in softirq".
func taskLine(r *triage.Report) string {
	v := r.Verdict
	var b strings.Builder
	if v.Task != nil {
		b.WriteString(v.Task.Comm)
		if v.Task.PID != nil {
			fmt.Fprintf(&b, " (%d)", *v.Task.PID)
		}
	}
	if v.CPU != nil {
		fmt.Fprintf(&b, " on CPU %d", *v.CPU)
	}
	if v.Context != "" && b.Len() > 0 {
		fmt.Fprintf(&b, ", in %s", contextWords[v.Context])
	}
	return strings.TrimSpace(b.String())
}

// contextWords say what the CPU was doing, behind "in".
var contextWords = map[triage.Context]string{
	triage.Process: "a process", triage.KThread: "a kernel thread", triage.Workqueue: "a work item",
	triage.Timer: "a timer", triage.SoftIRQ: "softirq", triage.IRQ: "an interrupt",
	triage.IPI: "a call from another CPU", triage.InNMI: "an NMI", triage.Idle: "the idle loop",
}
