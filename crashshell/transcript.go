package crashshell

import (
	"bytes"
	"regexp"
	"strings"
)

// Exchange is a command of a recorded session and what crash said to it. Text that stands
// before the first command, or outside of the session, has the Command "".
type Exchange struct {
	Command string `json:"command"`
	Output  []byte `json:"-"`
}

// Typed parses the output as Answer.Typed does. Text that no command stands for may be the
// banner of crash's start.
func (e *Exchange) Typed() (any, error) {
	a := Answer{Command: e.Command, Output: e.Output}
	if e.Command == "" {
		a.Command = "sys"
	}
	return a.Typed()
}

var (
	promptLine  = regexp.MustCompile(`^crash(?:[-_.][\w.-]*)?> ?(.*)$`)
	pagerLine   = regexp.MustCompile(`^(?:-- MORE --.*|\(END\)|NOTE: stdin: not a tty)$`)
	fenceLine   = regexp.MustCompile("^ *(?:```|~~~)")
	terminalSeq = regexp.MustCompile(`\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()][0-9A-B]|[=>])`)
)

// ParseTranscript divides a recorded session at crash's prompts: a terminal's log, or crash's
// output of a file of commands. What the pager, the terminal and "please wait" add is dropped.
// A code fence of Markdown ends an answer, so that a report with a session in it can be read as
// it is.
func ParseTranscript(text []byte) []Exchange {
	var list []Exchange
	now := Exchange{}
	keep := func() {
		if now.Command != "" || len(bytes.TrimSpace(now.Output)) > 0 {
			list = append(list, now)
		}
	}
	for line := range bytes.Lines(cleaned(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))) {
		line = terminalSeq.ReplaceAll(line, nil)
		plain := strings.TrimRight(string(line), " \n")
		m := promptLine.FindStringSubmatch(plain)
		switch {
		case m != nil:
			keep()
			now = Exchange{Command: strings.TrimSpace(m[1])}
		case fenceLine.MatchString(plain):
			keep()
			now = Exchange{}
		case !pagerLine.MatchString(plain):
			now.Output = append(now.Output, line...)
		}
	}
	keep()
	return list
}
