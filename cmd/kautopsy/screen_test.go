package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/triage"
)

// escape is a colour of a painted line.
var escape = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestScreenFits: the report of every kind of crash is at most 25 lines of 80 columns, or
// of the terminal's, says the verdict first and how sure it is, and ends with what to do.
func TestScreenFits(t *testing.T) {
	texts, err := filepath.Glob("../../testdata/kinds/*.dmesg.txt")
	if err != nil || len(texts) == 0 {
		t.Fatalf("no texts: %v", err)
	}
	for _, text := range texts {
		for _, width := range []int{0, 80, 200} {
			env := &environment{outTerm: terminal{width: width}}
			got := callIn(t, env, "oops", text)
			if got.code != exitOK || got.err != "" {
				t.Errorf("%s: exit %d, %s", text, got.code, got.err)
			}
			checkScreen(t, text, got.out, width)
		}
	}
	checkScreen(t, "tiny", call(t, "triage", tiny(t, "vmcore.zlib")).out, 0)
}

// TestLowTerminal: the verdict stays on the screen when the prompt comes behind the report.
func TestLowTerminal(t *testing.T) {
	for _, height := range []int{25, 24, 20} {
		env := &environment{outTerm: terminal{80, height}}
		got := callIn(t, env, "oops", "../../testdata/kinds/stackoverflow.dmesg.txt")
		if n := strings.Count(got.out, "\n"); n > height-1 || got.code != exitOK {
			t.Errorf("%d lines on a terminal of %d, exit %d:\n%s", n, height, got.code, got.out)
		}
	}
}

func checkScreen(t *testing.T, name, out string, width int) {
	t.Helper()
	if painted := escape.MatchString(out); painted != (width > 0) {
		t.Errorf("%s at %d columns: colour %v", name, width, painted)
	}
	lines := strings.Split(strings.TrimSuffix(escape.ReplaceAllString(out, ""), "\n"), "\n")
	if len(lines) > screenLines {
		t.Errorf("%s: %d lines:\n%s", name, len(lines), out)
	}
	if width == 0 {
		width = screenWidth
	}
	for _, l := range lines {
		if columns(l) > width && !strings.Contains(l, "  kautopsy ") {
			t.Errorf("%s: %d columns, not %d: %s", name, columns(l), width, l)
		}
	}
	if !regexp.MustCompile(`\S  +(sure|likely|guess)$`).MatchString(lines[0]) {
		t.Errorf("%s: the first line is %q", name, lines[0])
	}
	if !strings.HasPrefix(lines[len(lines)-1], "  next       kautopsy ") {
		t.Errorf("%s: the last line is %q", name, lines[len(lines)-1])
	}
}

// TestColour: only for a terminal that wants it (https://no-color.org).
func TestColour(t *testing.T) {
	for _, c := range []struct {
		width int
		env   map[string]string
		want  bool
	}{
		{80, map[string]string{"TERM": "xterm"}, true},
		{80, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{80, map[string]string{"TERM": "dumb"}, false},
		{0, map[string]string{"TERM": "xterm"}, false},
	} {
		env := &environment{outTerm: terminal{width: c.width}, getenv: func(k string) string { return c.env[k] }}
		out := callIn(t, env, "oops", tiny(t, "truth/vmcore-dmesg.txt")).out
		if got := escape.MatchString(out); got != c.want {
			t.Errorf("width %d, %v: colour %v", c.width, c.env, got)
		}
	}
}

// TestHostileStrings: nothing that the dead kernel says moves the cursor, in any form of
// the report.
func TestHostileStrings(t *testing.T) {
	evil := "x\x1b[2J\r\n\u009b1A\u202e\x7f|`<b>"
	pid, cpu, offset := 1, 0, uint64(4)
	address := oops.Address(0x1000)
	frame := triage.Frame{Symbol: evil, Module: evil, Offset: &offset, Address: &address, Culprit: true}
	rep := &triage.Report{
		Verdict: triage.Verdict{
			Headline: evil, Detail: evil, Title: evil, Confidence: "sure", CPU: &cpu,
			Culprit: &triage.Culprit{Function: evil, Why: evil}, Task: &triage.Task{PID: &pid, Comm: evil},
		},
		Signature: "sig",
		Findings: []triage.Finding{
			{Title: evil, Evidence: []triage.Evidence{{Text: evil}, {Text: evil, Line: 3}}}, {Title: evil},
		},
		Panic:   &triage.Panic{Trace: []triage.Frame{frame, {Symbol: evil}}},
		CPUs:    []triage.CPU{{PC: frame}},
		System:  &triage.System{Kernel: triage.Kernel{Release: evil, Nodename: evil, Machine: evil}, Hardware: evil, Date: evil, Taint: evil},
		Missing: []triage.Missing{{What: evil, Why: evil}},
	}
	odd := regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]")
	var text, markdown, document strings.Builder
	s := &screen{rep: rep, file: "vm\x1bcore", dumpLine: evil, width: screenWidth, height: screenLines}
	s.print(&text)
	if err := s.markdown(&markdown); err != nil {
		t.Fatal(err)
	}
	if err := printJSON(&document, rep); err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "JSON": document.String()} {
		if m := odd.FindString(out); m != "" || !strings.Contains(out, "[2J") {
			t.Errorf("%s has %q in it:\n%q", name, m, out)
		}
	}
}

// TestCrowdedScreen: a report of everything at once says less of each, and never the trace
// away.
func TestCrowdedScreen(t *testing.T) {
	long := strings.Repeat("many words of evidence ", 20)
	rep := &triage.Report{
		Verdict:   triage.Verdict{Headline: strings.Repeat("a headline, ", 12) + "end", Detail: long, Confidence: "likely"},
		Signature: "general-protection-12345678",
		Panic:     &triage.Panic{},
		System:    &triage.System{Kernel: triage.Kernel{Release: long}, Hardware: long, Date: "2026-11-21T14:26:45Z"},
	}
	for i := range 40 {
		rep.Panic.Trace = append(rep.Panic.Trace, triage.Frame{Symbol: fmt.Sprintf("some_function_%d", i)})
		rep.Findings = append(rep.Findings, triage.Finding{Title: long, Evidence: []triage.Evidence{{Text: long}, {Text: long}, {Text: long}}})
		rep.CPUs = append(rep.CPUs, triage.CPU{PC: triage.Frame{Symbol: "cpu_idle"}})
		rep.Missing = append(rep.Missing, triage.Missing{What: "a thing", Why: long})
	}
	var out strings.Builder
	(&screen{rep: rep, file: "vmcore", dumpLine: "a dump", width: screenWidth, height: screenLines}).print(&out)
	if n := strings.Count(out.String(), "some_function"); n < leastTrace-1 {
		t.Errorf("%d frames", n)
	}
	checkScreen(t, "crowded", out.String(), 0)
}

// TestRecursionTakesOneLine: the same place over and over is said once, with its count.
func TestRecursionTakesOneLine(t *testing.T) {
	rep := &triage.Report{Panic: &triage.Panic{Trace: []triage.Frame{{Symbol: "top", Culprit: true}}}}
	for i := range 30 {
		rep.Panic.Trace = append(rep.Panic.Trace, triage.Frame{N: i + 1, Symbol: "recurse"})
	}
	rep.Panic.Trace = append(rep.Panic.Trace, triage.Frame{N: 31, Symbol: "entry"})
	got := (&screen{rep: rep, width: screenWidth}).trace(5)
	if len(got) != 3 || !strings.Contains(got[1], "recurse  × 30") || !strings.Contains(got[2], "entry") {
		t.Errorf("%q", got)
	}
}

// TestTraceLosesTheWayOfDying: without room the frames before the culprit go first.
func TestTraceLosesTheWayOfDying(t *testing.T) {
	rep := &triage.Report{Panic: &triage.Panic{}}
	for i, name := range []string{"dump_stack", "vpanic", "panic", "die", "culprit", "caller", "entry"} {
		rep.Panic.Trace = append(rep.Panic.Trace, triage.Frame{N: i, Symbol: name, Culprit: name == "culprit"})
	}
	s := &screen{rep: rep, width: screenWidth}
	show := func(n int) string {
		return strings.Join(strings.Fields(strings.Join(s.trace(n), " ")), " ")
	}
	for n, want := range map[int]string{
		7: "dump_stack vpanic panic die culprit <- culprit caller entry",
		5: "… 3 frames of how it died die culprit <- culprit caller entry",
		4: "… 4 frames of how it died culprit <- culprit caller entry",
		3: "… 4 frames of how it died culprit <- culprit … 2 more",
	} {
		if got := show(n); got != want {
			t.Errorf("in %d lines: %s\nwant %s", n, got, want)
		}
	}
	rep.Panic.Trace[4].Culprit = false // then what called panic is what counts
	if got, want := show(5), "… 3 frames of how it died die culprit caller entry"; got != want {
		t.Errorf("without a culprit: %s\nwant %s", got, want)
	}
}

// TestFrameName: an address without a name is user space only behind an interrupt.
func TestFrameName(t *testing.T) {
	a := oops.Address(0x43b160)
	for want, f := range map[string]triage.Frame{
		"0x43b160  (user space)": {N: 3, Kind: "interrupted", Address: &a},
		"0x43b160":               {N: 0, Kind: "interrupted", Address: &a},
		"schedule":               {Symbol: "schedule", Address: &a},
		"":                       {},
	} {
		if got := frameName(f); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}

// TestProgressBar: drawn on a terminal only, and taken off the screen.
func TestProgressBar(t *testing.T) {
	for width, want := range map[int]string{0: "", 80: "50 %"} {
		var out strings.Builder
		b := &bar{w: &out, cols: width}
		b.show(5, 10)
		b.end()
		if got := out.String(); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%d columns: %q", width, got)
		}
		if got := out.String(); got != "" && !strings.HasSuffix(got, " \r") {
			t.Errorf("the bar stays: %q", got)
		}
	}
}

// TestTerminalOf: a file is no terminal.
func TestTerminalOf(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if term := terminalOf(f); term.is() || term.width != 0 {
		t.Errorf("%s is a terminal of %d columns", f.Name(), term.width)
	}
}
