package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// logFlags are crash's, with --level and --since to select.
type logFlags struct {
	dump                               *dumpFlags
	wall, level, noTime, dict, callers bool
	json                               bool
	upto                               string
	since                              string
}

func logCommand() command {
	return command{
		name: "log", group: "What happened", args: "DUMP",
		short: "the kernel's log",
		long: `Without flags the output is that of vmcore-dmesg, byte for byte. -T, -m, -t, -d
and -c are crash's. --level takes a name (emerg, alert, crit, err, warn, notice,
info, debug) or a number and shows that level and the worse ones. --since takes
seconds since boot (17.3), or how long before the last record (-30s, -5m).`,
		example: "kautopsy log --level err /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &logFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.wall, "ctime", "T", false, "wall clock instead of seconds since boot (approximate)")
			fs.BoolVarP(&f.level, "show-level", "m", false, "show each record's level as <N>")
			fs.BoolVarP(&f.noTime, "notime", "t", false, "no time stamps")
			fs.BoolVarP(&f.dict, "dict", "d", false, "show each record's dictionary (subsystem, device)")
			fs.BoolVarP(&f.callers, "caller", "c", false, "show who logged it: a task (T1) or a CPU (C0)")
			fs.StringVar(&f.upto, "level", "", "only `LEVEL` and worse")
			fs.StringVar(&f.since, "since", "", "only records from `TIME` on")
			fs.BoolVar(&f.json, "json", false, "print JSON Lines, a record a line")
			return f.run
		},
	}
}

var levelNames = []string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}

// parseLevel reads the argument of --level; 7 shows all.
func parseLevel(s string) (int, error) {
	if s == "" {
		return len(levelNames), nil
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < len(levelNames) {
		return n, nil
	}
	word := strings.ToLower(s)
	for i, name := range levelNames {
		if len(word) >= 3 && (strings.HasPrefix(name, word) || strings.HasPrefix(word, name)) {
			return i, nil // "inf", "warning", "error", "critical"
		}
	}
	return 0, usagef("--level %s: want one of %s, or 0 to 7", s, strings.Join(levelNames, ", "))
}

// parseSince reads the argument of --since; before means: counted back from the last record.
func parseSince(s string) (t time.Duration, before bool, err error) {
	if s == "" {
		return -1, false, nil
	}
	text, before := strings.CutPrefix(s, "-")
	if sec, err := strconv.ParseFloat(text, 64); err == nil && sec >= 0 && sec < math.MaxInt64/1e9 {
		return time.Duration(sec * float64(time.Second)), before, nil
	}
	if t, err = time.ParseDuration(text); err != nil || t < 0 {
		return 0, false, usagef("--since %s: want seconds since boot (17.3) or a time before the end (-30s)", s)
	}
	return t, before, nil
}

func (f *logFlags) run(env *environment, args []string) error {
	upto, err := parseLevel(f.upto)
	if err != nil {
		return err
	}
	since, before, err := parseSince(f.since)
	if err != nil {
		return err
	}
	k, done, err := f.dump.openAlone(env, args)
	if err != nil {
		return err
	}
	defer done()
	last := lastStamp(env, k, f.wall || before)
	if before {
		since = last - since
	}
	p := f.printer(env.out, k, last)
	return eachRecord(env, k, func(r kernel.Record) error {
		if r.Level > upto || since >= 0 && r.Since < since {
			return nil
		}
		return p(r)
	})
}

// lastStamp is the time stamp of the last record, when it is needed.
func lastStamp(env *environment, k *kernel.Kernel, needed bool) (last time.Duration) {
	if !needed {
		return 0
	}
	for r, err := range k.Log(env.ctx) {
		if err == nil {
			last = max(last, r.Since)
		}
	}
	return last
}

// eachRecord walks the log; damage on the way is told once at its end, and a log of which
// nothing could be read is no answer.
func eachRecord(env *environment, k *kernel.Kernel, do func(kernel.Record) error) error {
	var first error
	bad, good := 0, 0
	for r, err := range k.Log(env.ctx) {
		if err != nil {
			if errors.Is(err, env.ctx.Err()) && env.ctx.Err() != nil {
				return err
			}
			if bad++; first == nil {
				first = err
			}
			if len(r.Text) == 0 {
				continue
			}
		}
		good++
		if err := do(r); err != nil {
			return err
		}
	}
	switch {
	case first == nil:
		return nil
	case good == 0:
		return fmt.Errorf("no log: %w", first)
	}
	env.warn("%d records of the log could not be read; the first: %v", bad, first)
	if phys.Reason(first) != nil {
		env.partial = true
	}
	return nil
}

// printer gives the function that prints one record as the flags ask.
func (f *logFlags) printer(w io.Writer, k *kernel.Kernel, last time.Duration) func(kernel.Record) error {
	if f.json {
		return jsonRecord(w)
	}
	format := kernel.Format{NoTime: f.noTime, Level: f.level, Caller: f.callers, Dict: f.dict}
	if info, err := k.Info(); err == nil && f.wall {
		if crash, ok := info.CrashTime(); ok {
			format.Boot = crash.Add(-last.Truncate(time.Second)) // in whole seconds, as crash counts
		}
	}
	var line []byte
	return func(r kernel.Record) error {
		line = format.Append(line[:0], r)
		if !f.plain() {
			line = calm(line)
		}
		_, err := w.Write(line)
		return err
	}
}

// plain tells whether the output is vmcore-dmesg's, byte for byte.
func (f *logFlags) plain() bool {
	return !f.wall && !f.level && !f.noTime && !f.dict && !f.callers && f.upto == "" && f.since == ""
}

// calm writes as \xNN what vmcore-dmesg lets through and a terminal obeys: carriage returns,
// form feeds, and everything in the lines of a byte ring.
func calm(line []byte) []byte {
	obeyed := func(c byte) bool { return odd(c) && c != '\n' && c != '\t' }
	if !slices.ContainsFunc(line, obeyed) {
		return line
	}
	out := make([]byte, 0, len(line)+16)
	for _, c := range line {
		if obeyed(c) {
			out = fmt.Appendf(out, `\x%02x`, c)
		} else {
			out = append(out, c)
		}
	}
	return out
}

// jsonRecord prints a record as a line of JSON.
func jsonRecord(w io.Writer) func(kernel.Record) error {
	return func(r kernel.Record) error {
		doc := struct {
			Schema   int               `json:"schema"`
			Seq      uint64            `json:"seq"`
			TS       int64             `json:"ts_ns"`
			Level    *int              `json:"level"`
			Facility *int              `json:"facility"`
			Caller   string            `json:"caller,omitempty"`
			Dict     map[string]string `json:"dict,omitempty"`
			Text     string            `json:"text"`
		}{Schema: schema, Seq: r.Seq, TS: int64(r.Since), Caller: r.Caller, Text: string(r.Text)}
		if r.Level >= 0 {
			doc.Level, doc.Facility = &r.Level, &r.Facility
		}
		for _, p := range r.Dict {
			if doc.Dict == nil {
				doc.Dict = make(map[string]string)
			}
			doc.Dict[p.Key] = p.Value
		}
		return encodeJSON(w, doc, "")
	}
}
