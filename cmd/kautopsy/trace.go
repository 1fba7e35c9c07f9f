package main

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/triage"
)

// trace is the stack in at most n lines. Frames before the culprit are the kernel's way of
// dying and go first when there is no room.
func (s *screen) trace(n int) []string {
	frames := s.frames()
	skipped := 0
	if start := interesting(frames); start > 0 && len(frames) > n {
		skipped = min(start, len(frames)-n+1)
	}
	var lines []string
	if skipped > 0 {
		lines = append(lines, s.paint.dim(fmt.Sprintf("    … %s of how it died", count(skipped, "frame"))))
	}
	frames = frames[skipped:]
	for len(frames) > 0 {
		same := repeats(frames)
		left := len(frames) - same
		if len(lines) == n-1 && left > 0 {
			return append(lines, s.paint.dim(fmt.Sprintf("    … %d more", len(frames))))
		}
		line := s.frame(frames[0])
		if same > 1 {
			line += s.paint.dim(fmt.Sprintf("  × %d", same))
		}
		lines, frames = append(lines, line), frames[same:]
	}
	return lines
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
	if s.rep.Panic == nil {
		return nil
	}
	frames := slices.DeleteFunc(slices.Clone(s.rep.Panic.Trace), func(f triage.Frame) bool { return f.Kind == "guess" })
	if len(frames) == 0 {
		return s.rep.Panic.Trace
	}
	return frames
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
		return line
	}
	mark := culpritMark
	if s.saysWhy(f) {
		mark += ": " + printable(s.rep.Verdict.Culprit.Why)
	}
	return s.paint.bold(clip(line, s.width-columns(mark)-2)) + "  " + s.paint.red(mark)
}

const culpritMark = "<- culprit"

// moduleColumn is where a frame's module stands behind its name.
const moduleColumn = 28

func (s *screen) plainFrame(f triage.Frame) string {
	line := "  " + frameMark(f.Kind) + printable(frameName(f))
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

// frameMark stands before a frame: "?" as the kernel puts it, ">" where an interrupt or a
// system call came in.
func frameMark(kind string) string {
	switch kind {
	case "interrupted":
		return "> "
	case "guess":
		return "? "
	}
	return "  "
}
