package oops

import (
	"bytes"
	"strings"
)

// A bug report often holds no log but what crash(8) said when it opened the dump:
//
//	     RELEASE: 3.10.0-514.el7.x86_64
//	     VERSION: #1 SMP Tue Nov 22 16:42:41 UTC 2016
//	       PANIC: "SysRq : Trigger a crash"
//	         PID: 5437
//	     COMMAND: "bash"
//	         CPU: 1
//	...
//	    [exception RIP: sysrq_handle_crash+22]
//
// These facts make a report; crash's backtraces are package crashshell's.

// sessionLines is how far before PANIC: the kernel's name may stand.
const sessionLines = 8

// session is what crash said of the kernel before it came to the panic.
type session struct {
	release, version string
	line             int
}

// sessionLine takes the lines of crash's first screen that come before a report is open, and PANIC: itself.
func (p *parser) sessionLine(l *line) {
	key, value, ok := bytes.Cut(bytes.TrimLeft(l.msg, " \t"), []byte(": "))
	if !ok {
		return
	}
	switch string(key) {
	case "RELEASE":
		p.crash = session{release: string(value), line: l.number}
	case "VERSION":
		p.crash.version = string(value)
	case "PANIC":
		p.sessionPanic(value, l)
	}
}

// sessionPanic opens the report of the quoted text: a headline, or what else crash found in the log.
func (p *parser) sessionPanic(quoted []byte, l *line) {
	text, _, closed := bytes.Cut(bytes.TrimPrefix(quoted, []byte(`"`)), []byte(`"`))
	if !closed || quoted[0] != '"' {
		return
	}
	h, ok := matchAll(text)
	if !ok {
		return
	}
	inner := *l
	inner.msg = text
	t := p.thread(l.caller, true)
	t.headline(h, &inner)
	if t.oops != nil && l.number-p.crash.line <= sessionLines {
		t.oops.Release, t.oops.Version = p.crash.release, p.crash.version
	}
}

// sessionTask takes "PID: 5437" and "COMMAND: "bash"" behind PANIC:.
func (t *thread) sessionTask(key, value string) {
	switch n, rest, ok := cutInt(strings.TrimSpace(value)); {
	case key == "COMMAND" && t.state.Comm == "":
		t.state.Comm = strings.Trim(strings.TrimSpace(value), `"`)
	case key == "PID" && ok && rest == "" && t.state.PID == nil:
		t.state.PID = &n
	}
}

// exceptionRIP takes "[exception RIP: sysrq_handle_crash+22]". crash prints offsets in decimal.
func (t *thread) exceptionRIP(s string, _ *line) {
	symbol, offset, ok := strings.Cut(strings.TrimSuffix(s, "]"), "+")
	n, rest, number := cutInt(offset)
	if ok && number && rest == "" && t.state.PC == nil {
		t.state.PC = &Frame{Symbol: symbol, Offset: uint64(n)}
	}
}
