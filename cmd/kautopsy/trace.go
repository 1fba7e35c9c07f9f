package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/triage"
)

// traceLine is a line of a trace; entry marks where something came in.
type traceLine struct {
	text   string
	entry  bool
	frames int // that it stands for
}

// trace is the stack in at most n lines. Frames before the culprit are the kernel's way of
// dying and go first when there is no room, then those in the midst: what was interrupted
// stays.
func (s *screen) trace(n int) []string {
	frames := s.frames()
	lines := s.traceLines(frames)
	if over := len(lines) - n + 1; over > 1 { // a line says that some are left out
		lines = s.withoutDying(lines, interesting(frames), over)
	}
	if len(lines) > n {
		lines = s.fit(lines, n)
	}
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, l.text)
	}
	return out
}

// withoutDying leaves out so many lines at the begin, but none behind the first of so many
// frames: those that came in when the kernel died go together.
func (s *screen) withoutDying(lines []traceLine, frames, over int) []traceLine {
	last := 0
	for seen := 0; seen < frames; last++ {
		seen += lines[last].frames
	}
	cut := min(over, last)
	for i := cut; i < last; i++ {
		if lines[i].entry {
			cut = i
			break
		}
	}
	if cut < 2 {
		return lines
	}
	return append([]traceLine{s.omitted("    … %s of how it died", framesOf(lines[:cut]), true)}, lines[cut:]...)
}

// omitted is the line that stands for so many frames.
func (s *screen) omitted(form string, frames int, counted bool) traceLine {
	var what any = frames
	if counted {
		what = count(frames, "frame")
	}
	return traceLine{s.paint.dim(fmt.Sprintf(form, what)), false, frames}
}

// fit takes lines out of a trace that is too long: behind the first lines, and behind the
// first one that was interrupted.
func (s *screen) fit(lines []traceLine, n int) []traceLine {
	const kept = 2 // of what was interrupted: the entry, and the place
	at := slices.IndexFunc(lines, func(l traceLine) bool { return l.entry })
	if at < 0 || at+kept > len(lines) || n < 2*kept+2 {
		return append(lines[:n-1:n-1], s.omitted("    … %d more", framesOf(lines[n-1:]), false))
	}
	rest := lines[at+kept:]
	room := n - kept // for what came in
	if len(rest) > 0 {
		room--
	}
	out := lines[:at:at]
	if at > room {
		out = append(lines[:room-1:room-1], s.omitted("    … %d more", framesOf(lines[room-1:at]), false))
	}
	out = append(out, lines[at:at+kept]...)
	if free := n - len(out); len(rest) > free {
		out = append(out, rest[:free-1]...)
		return append(out, s.omitted("    … %d more", framesOf(rest[free-1:]), false))
	}
	return append(out, rest...)
}

func framesOf(lines []traceLine) (n int) {
	for _, l := range lines {
		n += l.frames
	}
	return n
}

// traceLines are the lines of a whole trace; a recursion is one.
func (s *screen) traceLines(frames []triage.Frame) (lines []traceLine) {
	for len(frames) > 0 {
		same := repeats(frames)
		line := traceLine{s.frame(frames[0]), false, same}
		if what := cameIn(frames); what != "" {
			line = traceLine{s.paint.dim(clip("  --- "+what+": "+printable(frames[0].Symbol), s.width)), true, same}
		}
		if same > 1 {
			line.text += s.paint.dim(fmt.Sprintf("  × %d", same))
		}
		lines, frames = append(lines, line), frames[same:]
	}
	return lines
}

// cameIn tells what came in with the first of the frames, "" if it is a mere function: an
// entry into the kernel has what it interrupted behind it.
func cameIn(frames []triage.Frame) string {
	if len(frames) < 2 || frames[1].Kind != "interrupted" || frames[0].Symbol == "" || frames[0].Culprit {
		return ""
	}
	switch {
	case frames[0].Kind == "nmi":
		return "NMI"
	case frames[0].Kind == "exception":
		return "exception"
	case frames[1].Symbol == "":
		return "" // a process
	}
	return "interrupt"
}

// repeats is how many frames at the start are the same place: a recursion.
func repeats(frames []triage.Frame) int {
	n := 1
	for n < len(frames) && !frames[n-1].Culprit && frameName(frames[n]) == frameName(frames[0]) && frames[n].Kind == frames[0].Kind {
		n++
	}
	return n
}

// frames are those to show: the reliable ones, unless there are none.
func (s *screen) frames() []triage.Frame {
	all := s.stack()
	frames := slices.DeleteFunc(slices.Clone(all), func(f triage.Frame) bool { return f.Kind == "guess" })
	if len(frames) == 0 {
		return all
	}
	return frames
}

// stack is the one that tells why: of hung tasks that of the one in the culprit, or of the
// first; the task that noticed them does not tell.
func (s *screen) stack() []triage.Frame {
	if b := s.hung(); b != nil {
		waits := slices.IndexFunc(b.Frames, func(f triage.Frame) bool { return !strings.Contains(f.Symbol, "schedule") })
		return b.Frames[max(0, waits):]
	}
	if s.rep.Panic == nil {
		return nil
	}
	return s.rep.Panic.Trace
}

// hung is the task whose stack tells why tasks hang, nil for another crash.
func (s *screen) hung() *triage.Blocked {
	v := s.rep.Verdict
	var first *triage.Blocked
	for i := range s.rep.Blocked {
		b := &s.rep.Blocked[i]
		if v.Kind != oops.HungTask || len(b.Frames) == 0 {
			continue
		}
		if v.Culprit != nil && v.Culprit.Function != "" && v.Culprit.Function == b.Culprit {
			return b
		}
		if first == nil {
			first = b
		}
	}
	return first
}

// who is a task as "collect (186)".
func who(t triage.Task) string {
	if t.PID == nil {
		return t.Comm
	}
	return fmt.Sprintf("%s (%d)", t.Comm, *t.PID)
}

// interesting is the index of the frame from which on a trace tells why: the culprit, or
// what is behind the call of panic.
func interesting(frames []triage.Frame) int {
	if i := slices.IndexFunc(frames, func(f triage.Frame) bool { return f.Culprit }); i >= 0 {
		return i
	}
	for i, f := range slices.Backward(frames) {
		if f.Symbol == "panic" || f.Symbol == "vpanic" {
			return i + 1
		}
	}
	return 0
}

// frame is one line of the trace: name, module, and the mark of the culprit.
func (s *screen) frame(f triage.Frame) string {
	line := s.plainFrame(f)
	if !f.Culprit {
		return s.withSource(line, f)
	}
	mark := culpritMark
	if s.saysWhy(f) {
		mark += ": " + printable(s.rep.Verdict.Culprit.Why)
	}
	return s.paint.bold(clip(line, s.width-columns(mark)-2)) + "  " + s.paint.red(mark)
}

// sourceColumn is where a frame's file and line stand, if its name ends before.
const sourceColumn = 42

// withSource puts file and line behind a frame where there is room for both.
func (s *screen) withSource(line string, f triage.Frame) string {
	if f.File == "" {
		return line
	}
	at := fmt.Sprintf("%s:%d", printable(f.File), f.Line)
	room := s.width - columns(line) - columns(at)
	if room < 2 {
		return line
	}
	return line + strings.Repeat(" ", min(room, max(2, sourceColumn-columns(line)))) + s.paint.dim(at)
}

const culpritMark = "<- culprit"

// moduleColumn is where a frame's module stands behind its name.
const moduleColumn = 28

func (s *screen) plainFrame(f triage.Frame) string {
	line := "  " + frameMark(f) + printable(frameName(f))
	if f.Module != "" {
		line = fmt.Sprintf("%-*s [%s]", moduleColumn, line, printable(f.Module))
	}
	return clip(line, s.width)
}

// saysWhy tells whether there is room behind the culprit's frame to say why it is the one;
// where there is none the evidence says it.
func (s *screen) saysWhy(f triage.Frame) bool {
	c := s.rep.Verdict.Culprit
	return c != nil && c.Why != "" &&
		columns(s.plainFrame(f))+2+columns(culpritMark+": "+printable(c.Why)) <= s.width
}

func frameName(f triage.Frame) string {
	switch {
	case f.Symbol != "" && f.Offset != nil:
		return fmt.Sprintf("%s+%#x", f.Symbol, *f.Offset)
	case f.Symbol != "" || f.Address == nil:
		return f.Symbol
	case f.Kind == "interrupted" && f.N > 0: // the first one is where the kernel stood
		return f.Address.String() + "  (user space)"
	}
	return f.Address.String()
}

// frameMark stands before a frame: "?" as the kernel puts it, ">" before where a process
// came in.
func frameMark(f triage.Frame) string {
	switch {
	case f.Kind == "guess":
		return "? "
	case f.Kind == "interrupted" && f.N > 0 && f.Symbol == "":
		return "> "
	}
	return "  "
}
