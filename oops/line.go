package oops

import (
	"bytes"
	"time"
)

const (
	maxLine   = 64 << 10 // bytes of one line that are looked at; printk's records hold 1 KiB
	maxPrefix = 128      // how far into a line a time stamp is searched
)

// line is one line of the text without what others put before the kernel's message.
type line struct {
	number int
	stamp  []byte // as written, nil when absent
	time   time.Duration
	timed  bool   // time is known
	caller []byte // "T187", "C1"
	fence  bool   // a markdown code fence: what was quoted begins or ends here
	msg    []byte
}

// splitter cuts lines out of a text. scratch is reused for lines that must be cleaned.
type splitter struct {
	scratch []byte
}

// split takes a line apart. The prefixes it knows, any of them absent:
//
//	2017-04-08 03:34:51    [29201245.714153] msg     a console logger, a login prompt, "> " before the stamp
//	<6>[   12.345678] [  T187] msg                   level, stamp, caller (PRINTK_CALLER, pstore, makedumpfile)
//	[Sat Nov 21 13:19:10 2026] msg                   dmesg -T
//	Jan 19 00:06:19 host kernel: [   12.3] msg       syslog, journalctl
//	6,339,5140900,-,caller=T1;msg                    /dev/kmsg, netconsole's extended form
func (s *splitter) split(raw []byte, number int) line {
	l := line{number: number}
	b := s.clean(raw[:min(len(raw), maxLine)])
	b = cutLevel(b)
	if i := stampIndex(b); i >= 0 {
		b = l.cutStamp(b[i:])
		b = l.cutCaller(b)
		l.msg = cutHost(b)
		return l
	}
	if rest, ok := l.cutKmsg(b); ok {
		l.msg = rest
		return l
	}
	if i := syslogEnd(b); i >= 0 {
		b = cutLevel(b[i:])
		if stampIndex(b) == 0 {
			b = l.cutCaller(l.cutStamp(b))
		}
	}
	l.fence = bytes.HasPrefix(b, []byte("```")) || bytes.HasPrefix(b, []byte("~~~"))
	l.msg = unquote(b)
	return l
}

// clean removes the line's CR, NULs and terminal escape sequences. Only lines that have such are copied.
func (s *splitter) clean(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	if bytes.IndexByte(b, 0x1b) < 0 && bytes.IndexByte(b, 0) < 0 {
		return b
	}
	out := s.scratch[:0]
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == 0x1b:
			i += escapeLen(b[i:]) - 1
		case b[i] != 0:
			out = append(out, b[i])
		}
	}
	s.scratch = out
	return out
}

// escapeLen is the length of the escape sequence that b begins with: ESC [ parameters final (ECMA-48 CSI), or
// ESC and one byte.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return len(b)
	}
	if b[1] != '[' {
		return 2
	}
	n := 2 + run(b[2:], func(c byte) bool { return c >= 0x20 && c < 0x40 })
	return min(n+1, len(b))
}

// cutLevel removes printk's "<6>".
func cutLevel(b []byte) []byte {
	if len(b) < 3 || b[0] != '<' || !isDigit(b[1]) {
		return b
	}
	n := 1 + run(b[1:], isDigit)
	if n < len(b) && n <= 4 && b[n] == '>' {
		return b[n+1:]
	}
	return b
}

// stampIndex finds the '[' of a time stamp at the begin of b, or behind a blank, '>' or ':' near it.
func stampIndex(b []byte) int {
	head := b[:min(len(b), maxPrefix)]
	for at := 0; ; {
		i := bytes.IndexByte(head[at:], '[')
		if i < 0 {
			return -1
		}
		at += i
		if (at == 0 || bytes.IndexByte([]byte(" >:\t"), b[at-1]) >= 0) && stampLen(b[at:]) > 0 {
			return at
		}
		at++
	}
}

// stampLen is the length of the stamp "[ 123.456789]" or "[Sat Nov 21 13:19:10 2026]" that b begins with, 0 if
// it begins with none.
func stampLen(b []byte) int {
	if len(b) < 5 || b[0] != '[' {
		return 0
	}
	if isLetter(b[1]) {
		return dateLen(b)
	}
	i := 1 + blanks(b[1:])
	seconds := run(b[i:], isDigit)
	i += seconds
	if seconds == 0 || seconds > 12 || i >= len(b) || b[i] != '.' {
		return 0
	}
	fraction := run(b[i+1:], isDigit)
	i += 1 + fraction
	if fraction < 3 || fraction > 9 || i >= len(b) || b[i] != ']' {
		return 0
	}
	return i + 1
}

// dateLen is the length of "[Sat Nov 21 13:19:10 2026]" at the begin of b, or 0.
func dateLen(b []byte) int {
	const form = "[Sat Nov 21 13:19:10 2026]"
	if len(b) < len(form) || b[len(form)-1] != ']' {
		return 0
	}
	for i := range len(form) - 1 {
		same := b[i] == form[i] || isDigit(b[i]) && isDigit(form[i]) || isLetter(b[i]) && isLetter(form[i])
		if !same && !(i == 9 && b[i] == ' ') { // the day of the month is padded with a blank
			return 0
		}
	}
	return len(form)
}

// cutStamp takes the stamp that b begins with, and one blank.
func (l *line) cutStamp(b []byte) []byte {
	n := stampLen(b)
	l.stamp = bytes.TrimSpace(b[1 : n-1])
	l.time, l.timed = seconds(l.stamp)
	b = b[n:]
	if len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// seconds reads "25.102072".
func seconds(s []byte) (time.Duration, bool) {
	if len(s) == 0 || !isDigit(s[0]) {
		return 0, false
	}
	n := run(s, isDigit)
	if n > 9 {
		return 0, false // beyond any uptime; 10^9 s still fit a Duration
	}
	var d, unit time.Duration = 0, time.Second
	for _, c := range s[:n] {
		d = d*10 + time.Duration(c-'0')
	}
	d *= time.Second
	for _, c := range s[min(n+1, len(s)):] {
		unit /= 10
		d += time.Duration(c-'0') * unit
	}
	return d, true
}

// cutCaller takes "[  T187] " or "[    C1] ".
func (l *line) cutCaller(b []byte) []byte {
	if len(b) < 4 || b[0] != '[' {
		return b
	}
	i := 1 + blanks(b[1:])
	if i >= len(b) || (b[i] != 'T' && b[i] != 'C') {
		return b
	}
	end := i + 1 + run(b[i+1:], isDigit)
	if end == i+1 || end >= len(b) || b[end] != ']' {
		return b
	}
	l.caller = b[i:end]
	b = b[end+1:]
	if len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

var kernelMark = []byte(" kernel: ")

// cutHost removes the "host kernel: " that journalctl -o short-monotonic puts behind the stamp.
func cutHost(b []byte) []byte {
	i := bytes.IndexByte(b[:min(len(b), maxPrefix)], ' ')
	if i > 0 && bytes.HasPrefix(b[i:], kernelMark) && b[i-1] != ':' {
		return b[i+len(kernelMark):]
	}
	return b
}

// syslogEnd is where the message begins in a line with a syslog header, or -1. The header begins with a date,
// so that a kernel message which only quotes "kernel: " is left whole.
func syslogEnd(b []byte) int {
	if len(b) < 16 || !(isDigit(b[0]) || isMonth(b)) {
		return -1
	}
	if i := bytes.Index(b[:min(len(b), maxPrefix)], kernelMark); i >= 0 {
		return i + len(kernelMark)
	}
	return -1
}

// isMonth reports whether b begins with "Jan " and the like.
func isMonth(b []byte) bool {
	return b[3] == ' ' && bytes.Contains([]byte("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "), b[:4])
}

// cutKmsg takes the record header "level,sequence,microseconds,flags[,caller=T1];".
func (l *line) cutKmsg(b []byte) ([]byte, bool) {
	if len(b) == 0 || !isDigit(b[0]) {
		return b, false
	}
	end := bytes.IndexByte(b[:min(len(b), maxPrefix)], ';')
	if end < 0 {
		return b, false
	}
	f := bytes.SplitN(b[:end], []byte(","), 5)
	if len(f) < 4 || run(f[0], isDigit) != len(f[0]) || run(f[1], isDigit) != len(f[1]) {
		return b, false
	}
	if n := run(f[2], isDigit); n == 0 || n != len(f[2]) || n > 15 {
		return b, false
	}
	l.stamp, l.timed = f[2], true
	for _, c := range f[2] {
		l.time = l.time*10 + time.Duration(c-'0')
	}
	l.time *= time.Microsecond
	if len(f) == 5 {
		l.caller = bytes.TrimPrefix(f[4], []byte("caller="))
	}
	return b[end+1:], true
}

// unquote removes the marks that mail and markdown put round a quoted line.
func unquote(b []byte) []byte {
	for len(b) > 1 && b[0] == '>' {
		b = bytes.TrimPrefix(b[1:], []byte(" "))
	}
	return bytes.Trim(b, "`")
}
