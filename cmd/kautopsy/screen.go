package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/triage"
)

// screen prints a report as the first screen: the verdict first, nothing to scroll, 80
// columns unless the terminal is wider.
type screen struct {
	rep      *triage.Report
	file     string
	dumpLine string
	text     bool // the report is of a text, not of a dump
	width    int
	paint    painter
}

const (
	screenWidth = 80
	wideScreen  = 120 // lines longer than this are hard to read
	screenLines = 25
)

func newScreen(env *environment, rep *triage.Report) *screen {
	width := screenWidth
	if w := env.outTerm.width; w > 0 {
		width = min(max(w, 40), wideScreen)
	}
	return &screen{rep: rep, width: width, paint: newPainter(env)}
}

// painter colours words, or leaves them alone.
type painter struct{ on bool }

// newPainter colours only for a terminal that wants it (https://no-color.org).
func newPainter(env *environment) painter {
	return painter{env.outTerm.is() && env.getenv("NO_COLOR") == "" && env.getenv("TERM") != "dumb"}
}

func (p painter) with(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) bold(s string) string { return p.with("1", s) }
func (p painter) red(s string) string  { return p.with("1;31", s) }
func (p painter) dim(s string) string  { return p.with("2", s) }

// print writes the screen. What must be there is counted first; the trace gets the lines
// that are left.
func (s *screen) print(w io.Writer) {
	head := append(s.headline(), "")
	facts := s.facts()
	tail := s.tail()
	room := screenLines - len(head) - len(facts) - len(tail) - 2
	lines := append(head, facts...)
	if trace := s.trace(max(4, room)); len(trace) > 0 {
		lines = append(append(append(lines, ""), trace...), "")
	} else {
		lines = append(lines, "")
	}
	for _, l := range append(lines, tail...) {
		fmt.Fprintln(w, strings.TrimRight(l, " "))
	}
}

// headline is the verdict with how sure it is at the right edge, and its detail.
func (s *screen) headline() []string {
	v := s.rep.Verdict
	word := string(v.Confidence)
	room := s.width - len(word) - 2
	lines := wrap(printable(v.Headline), room)
	if len(lines) == 0 {
		lines = []string{string(v.Kind)}
	}
	gap := strings.Repeat(" ", max(1, s.width-columns(lines[0])-len(word)))
	first := lines[0]
	for i := range lines {
		lines[i] = s.paint.red(lines[i])
	}
	lines[0] = s.paint.red(first) + gap + s.paint.bold(word)
	for _, l := range wrap(printable(v.Detail), s.width-2) {
		lines = append(lines, "  "+l)
	}
	return lines
}

func columns(s string) int { return utf8.RuneCountInString(s) }

// row puts a label in front of text and breaks what is too long.
func (s *screen) row(label, text string, most int) []string {
	text = printable(text)
	lines := wrap(text, s.width-13)
	switch {
	case most == 1 && text != "":
		lines = []string{clip(text, s.width-13)}
	case len(lines) > most:
		lines = lines[:most]
		lines[most-1] = clip(lines[most-1]+" …", s.width-13)
	}
	for i := range lines {
		name := ""
		if i == 0 {
			name = label
		}
		lines[i] = "  " + s.paint.bold(fmt.Sprintf("%-10s", name)) + " " + lines[i]
	}
	return lines
}

func clip(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	r := []rune(text)
	return string(r[:max(0, width-1)]) + "…"
}

// facts are the kernel, the time, the signature and the task.
func (s *screen) facts() []string {
	sys := s.rep.System
	var lines []string
	if sys != nil {
		lines = append(lines, s.row("kernel", kernelLine(sys), 2)...)
		if sys.Hardware != "" {
			lines = append(lines, s.row("hardware", sys.Hardware, 1)...)
		}
	}
	when := ""
	if sys != nil && sys.Date != "" {
		when = strings.NewReplacer("T", " ", "Z", " UTC").Replace(sys.Date)
	}
	switch sig := s.rep.Signature; {
	case when != "" && sig != "":
		lines = append(lines, s.row("when", when, 1)[0]+"      "+s.paint.bold("signature")+"  "+sig)
	case when != "":
		lines = append(lines, s.row("when", when, 1)...)
	case sig != "":
		lines = append(lines, s.row("signature", sig, 1)...)
	}
	return append(lines, s.row("task", taskLine(s.rep), 1)...)
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
		parts = append(parts, fmt.Sprintf("%d CPUs", *sys.CPUs))
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

// trace is the stack in at most n lines. Frames before the culprit are the kernel's way of
// dying and go first when there is no room.
func (s *screen) trace(n int) []string {
	if s.rep.Panic == nil {
		return nil
	}
	frames := slices.DeleteFunc(slices.Clone(s.rep.Panic.Trace), func(f triage.Frame) bool { return f.Kind == "guess" })
	if len(frames) == 0 {
		frames = s.rep.Panic.Trace
	}
	start := slices.IndexFunc(frames, func(f triage.Frame) bool { return f.Culprit })
	skipped := 0
	if start > 0 && len(frames) > n {
		skipped = min(start, len(frames)-n+1)
	}
	var lines []string
	if skipped > 0 {
		lines = append(lines, s.paint.dim(fmt.Sprintf("  … %d frames of how it died", skipped)))
	}
	frames = frames[skipped:]
	room := n - len(lines)
	for i, f := range frames {
		if i == room-1 && len(frames) > room {
			return append(lines, s.paint.dim(fmt.Sprintf("  … %d more", len(frames)-i)))
		}
		lines = append(lines, s.frame(f))
	}
	return lines
}

// frame is one line of the trace: name, module, and the mark of the culprit.
func (s *screen) frame(f triage.Frame) string {
	name := f.Symbol
	if f.Offset != nil && name != "" {
		name += fmt.Sprintf("+%#x", *f.Offset)
	}
	if name == "" && f.Address != nil {
		name = f.Address.String()
		if f.Kind == "interrupted" {
			name += "  (user space)"
		}
	}
	mark := "  "
	switch f.Kind {
	case "interrupted":
		mark = "> "
	case "guess":
		mark = "? "
	}
	line := "  " + mark + clip(printable(name), s.width-30)
	if f.Module != "" {
		line = fmt.Sprintf("%-36s [%s]", line, printable(f.Module))
	}
	if !f.Culprit {
		return line
	}
	return s.paint.bold(clip(line, s.width-12)) + "  " + s.paint.red("<- culprit")
}

// tail is why, what else was seen, the dump itself and what to do next.
func (s *screen) tail() []string {
	var lines []string
	if len(s.rep.Findings) > 0 {
		for i, e := range s.rep.Findings[0].Evidence[:min(3, len(s.rep.Findings[0].Evidence))] {
			label := ""
			if i == 0 {
				label = "because"
			}
			lines = append(lines, s.row(label, evidenceLine(e), 1)...)
		}
		lines = append(lines, s.alsoSeen(s.rep.Findings[1:])...)
	}
	lines = append(lines, s.cpuLines()...)
	if s.dumpLine != "" {
		lines = append(lines, s.row("dump", s.dumpLine, 1)...)
	}
	for i, m := range s.rep.Missing {
		if i == 2 {
			lines = append(lines, s.row("", fmt.Sprintf("… and %d more (--json)", len(s.rep.Missing)-i), 1)...)
			break
		}
		lines = append(lines, s.row("missing", m.What+": "+m.Why, 1)...)
	}
	return append(lines, s.next()...)
}

func evidenceLine(e triage.Evidence) string {
	if e.Line > 0 {
		return fmt.Sprintf("log line %d: %s", e.Line, e.Text)
	}
	return e.Text
}

// alsoSeen are the other findings, the two that matter most.
func (s *screen) alsoSeen(findings []triage.Finding) (lines []string) {
	for i, f := range findings {
		label := "also seen"
		if i > 0 {
			label = ""
		}
		if i == 2 {
			return append(lines, s.row("", fmt.Sprintf("… and %d more (--json)", len(findings)-i), 1)...)
		}
		text := f.Title
		if len(f.Evidence) > 0 && f.Evidence[0].Line > 0 {
			text = fmt.Sprintf("log line %d: %s", f.Evidence[0].Line, f.Title)
		}
		lines = append(lines, s.row(label, text, 1)...)
	}
	return lines
}

// cpuLines say where each CPU stood, two of them.
func (s *screen) cpuLines() (lines []string) {
	for i, c := range s.rep.CPUs {
		if i == 2 {
			return append(lines, s.row("", fmt.Sprintf("… and %d more CPUs (--json)", len(s.rep.CPUs)-i), 1)...)
		}
		label := "registers"
		if i > 0 {
			label = ""
		}
		where := c.PC.Address.String()
		if c.PC.Symbol != "" {
			where = fmt.Sprintf("%s+%#x", c.PC.Symbol, *c.PC.Offset)
		}
		text := fmt.Sprintf("CPU %d at %s", c.CPU, where)
		if c.PID != nil {
			text += fmt.Sprintf(", PID %d", *c.PID)
		}
		lines = append(lines, s.row(label, text, 1)...)
	}
	return lines
}

// next are the commands that an engineer wants now.
func (s *screen) next() []string {
	file := shellQuote(s.file)
	if s.text {
		return s.row("next", "kautopsy oops --json "+file, 1)
	}
	return s.row("next", fmt.Sprintf("kautopsy log --level err %s", file), 1)
}

// shellQuote makes a file's name safe to paste.
func shellQuote(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:+,@%=-") == "" && name != "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// dumpLine says what the dump is and whether it is whole.
func dumpLine(k *kernel.Kernel) string {
	h := k.Dump().Header
	what := h.Format
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
	if h.Incomplete {
		state = "INCOMPLETE"
	}
	return fmt.Sprintf("%s %s, %s; no vmlinux, so no source lines", bytesOf(uint64(k.Dump().Size())), what, state)
}
