package kernel

import (
	"context"
	"fmt"
	"time"
)

// Format is how a record is printed. The zero value prints as kexec-tools' vmcore-dmesg
// does, byte for byte; the fields are crash's options of log.
type Format struct {
	Boot   time.Time // when not zero: wall clock instead of seconds since boot (-T)
	NoTime bool      // no time stamp (-t)
	Level  bool      // <N> before the text (-m)
	Caller bool      // who logged it (-c)
	Dict   bool      // the dictionary on lines of its own (-d)
}

// plain tells whether a line of the byte ring can stand as it is.
func (f Format) plain() bool { return f.Boot.IsZero() && !f.NoTime && !f.Level && !f.Caller }

// Append prints a record: a stamp, the text with what is not printable as \xNN, a newline.
// Of records with several lines only the first has a stamp. A line of the byte ring stands
// as the kernel wrote it unless the format asks for something else.
func (f Format) Append(b []byte, r Record) []byte {
	if r.Raw != nil && f.plain() {
		return append(b, r.Raw...)
	}
	start := len(b)
	b = f.stamp(b, r)
	if f.Caller && r.Caller != "" {
		b = fmt.Appendf(b, "[%6s] ", r.Caller)
	}
	indent := len(b) - start
	if f.Level && r.Level >= 0 {
		b = fmt.Appendf(b, "<%d>", r.Level)
	}
	b = append(appendPrintable(b, r.Text), '\n')
	if f.Dict {
		for _, p := range r.Dict {
			b = fmt.Appendf(b, "%*s", indent, "")
			b = append(appendPrintable(b, []byte(p.Key+"="+p.Value)), '\n')
		}
	}
	return b
}

func (f Format) stamp(b []byte, r Record) []byte {
	switch {
	case f.NoTime:
		return b
	case !f.Boot.IsZero():
		b = f.Boot.Add(r.Since).UTC().AppendFormat(append(b, '['), "Mon Jan _2 15:04:05 MST 2006")
		return append(b, "] "...)
	}
	ns := uint64(r.Since) // as the kernel keeps it
	return fmt.Appendf(b, "[%5d.%06d] ", ns/1e9, ns%1e9/1e3)
}

// appendPrintable writes bytes that are neither printable nor white space in the C locale
// as \xNN, as vmcore-dmesg does.
func appendPrintable(b, text []byte) []byte {
	for _, c := range text {
		if c >= ' ' && c < 0x7f || c >= '\t' && c <= '\r' {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, `\x%02x`, c)
		}
	}
	return b
}

// maxLogText bounds what LogText keeps.
const maxLogText = 64 << 20

// LogText is the whole log as vmcore-dmesg prints it. With an error there can be text too:
// the records that could be read.
func (k *Kernel) LogText(ctx context.Context) (text []byte, err error) {
	for r, rerr := range k.Log(ctx) {
		if rerr != nil {
			if err == nil {
				err = rerr
			}
			continue
		}
		if text = (Format{}).Append(text, r); len(text) > maxLogText {
			break
		}
	}
	return text, err
}
