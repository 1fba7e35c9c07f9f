package crashshell

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Sys is crash's banner. PID and what follows it stand in the banner of crash's start alone.
type Sys struct {
	Kernel    string        `json:"kernel,omitempty"`
	DebugInfo string        `json:"debuginfo,omitempty"`
	Dumpfiles []string      `json:"dumpfiles,omitempty"` // several of a split set
	Partial   bool          `json:"partial,omitempty"`   // pages were left out: [PARTIAL DUMP]
	CPUs      int           `json:"cpus,omitempty"`
	Offline   int           `json:"offline,omitempty"` // of the CPUs
	Date      time.Time     `json:"date,omitzero"`     // UTC where crash names no zone
	Uptime    time.Duration `json:"uptime_ns,omitempty"`
	Load      []float64     `json:"load,omitempty"` // of 1, 5 and 15 minutes
	Tasks     int           `json:"tasks,omitempty"`
	Nodename  string        `json:"nodename,omitempty"`
	Release   string        `json:"release,omitempty"`
	Version   string        `json:"version,omitempty"`
	Machine   string        `json:"machine,omitempty"`
	MHz       int           `json:"mhz,omitempty"`
	Memory    string        `json:"memory,omitempty"` // rounded by crash: "511.5 MB"
	Panic     string        `json:"panic,omitempty"`  // without the quotes

	PID        *int    `json:"pid,omitempty"`
	Command    string  `json:"command,omitempty"`
	Task       Address `json:"task,omitempty"`
	ThreadInfo Address `json:"thread_info,omitempty"`
	CPU        *int    `json:"cpu,omitempty"`
	State      string  `json:"state,omitempty"` // "TASK_RUNNING (PANIC)"

	Other []Field  `json:"other,omitempty"` // in the banner's form, as those of sys -i and sys -t
	Rest  []string `json:"rest,omitempty"`  // lines not understood
}

// Field is a line "NAME: value".
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

var sysLine = regexp.MustCompile(`^ *([A-Z][A-Z_ ]*[A-Z]):(?: (.*))?$`)

// ParseSys reads the answer to sys, or the banner of crash's start. The error is ErrForm.
func ParseSys(out []byte) (Sys, error) {
	var s Sys
	known, last := false, ""
	for line := range answerLines(out) {
		m := sysLine.FindStringSubmatch(line)
		switch {
		case strings.TrimSpace(line) == "":
		case m != nil:
			known, last = true, m[1]
			if value := strings.TrimSpace(m[2]); !s.set(last, value) {
				s.Other = append(s.Other, Field{last, value})
			}
		case last == "DUMPFILES" && strings.HasPrefix(line, "             "):
			s.addDump(strings.TrimSpace(line))
		default:
			s.Rest = append(s.Rest, line)
		}
	}
	return s, formError(known, s.Rest)
}

// set takes a line of the banner; false is one that is not known, or not understood.
func (s *Sys) set(name, value string) bool {
	text := map[string]*string{
		"KERNEL": &s.Kernel, "DEBUG KERNEL": &s.DebugInfo, "DEBUGINFO": &s.DebugInfo, "NODENAME": &s.Nodename,
		"RELEASE": &s.Release, "VERSION": &s.Version, "MEMORY": &s.Memory, "STATE": &s.State,
	}
	if p := text[name]; p != nil {
		*p = value
		return true
	}
	ok := true
	switch name {
	case "DUMPFILE", "DUMPFILES":
		s.addDump(value)
	case "CPUS":
		s.CPUs, s.Offline, ok = parseCPUs(value)
	case "DATE":
		s.Date, ok = parseDate(value)
	case "UPTIME":
		s.Uptime, ok = parseUptime(value)
	case "LOAD AVERAGE":
		s.Load, ok = parseLoad(value)
	case "TASKS":
		ok = parseInt(value, &s.Tasks)
	case "MACHINE":
		s.Machine, s.MHz = parseMachine(value)
	case "PANIC":
		s.Panic = unquoted(value)
	case "COMMAND":
		s.Command = unquoted(value)
	case "PID":
		ok = parseOptional(value, &s.PID)
	case "CPU":
		ok = parseOptional(value, &s.CPU)
	case "TASK":
		s.Task, s.ThreadInfo, ok = parseTask(value)
	default:
		ok = false
	}
	return ok
}

// addDump takes "vmcore  [PARTIAL DUMP]".
func (s *Sys) addDump(value string) {
	name, partial := strings.CutSuffix(value, "[PARTIAL DUMP]")
	s.Partial = s.Partial || partial
	s.Dumpfiles = append(s.Dumpfiles, strings.TrimSpace(name))
}

func parseInt(s string, p *int) bool {
	n, err := strconv.Atoi(s)
	if err == nil {
		*p = n
	}
	return err == nil
}

func parseOptional(s string, p **int) bool {
	n := 0
	if !parseInt(s, &n) {
		return false
	}
	*p = &n
	return true
}

var cpusValue = regexp.MustCompile(`^(\d+)(?: \[OFFLINE: (\d+)\])?$`)

func parseCPUs(s string) (all, offline int, ok bool) {
	m := cpusValue.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, false
	}
	return atoi(m[1]), atoi(m[2]), true
}

// parseDate takes ctime's form, and since 8.0 that with a time zone.
func parseDate(s string) (time.Time, bool) {
	for _, form := range []string{"Mon Jan _2 15:04:05 MST 2006", time.ANSIC} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

var uptimeValue = regexp.MustCompile(`^(?:(\d{1,7}) days?, )?(\d{1,2}):(\d\d):(\d\d)$`)

// parseUptime takes "3 days, 02:35:04".
func parseUptime(s string) (time.Duration, bool) {
	m := uptimeValue.FindStringSubmatch(s)
	if m == nil || atoi(m[1]) > 100_000 {
		return 0, false
	}
	hours := 24*atoi(m[1]) + atoi(m[2])
	return time.Duration(hours)*time.Hour + time.Duration(atoi(m[3]))*time.Minute + time.Duration(atoi(m[4]))*time.Second, true
}

func parseLoad(s string) (list []float64, ok bool) {
	for _, word := range strings.Split(s, ", ") {
		f, err := strconv.ParseFloat(word, 64)
		if err != nil || f < 0 || f > 1e9 {
			return nil, false
		}
		list = append(list, f)
	}
	return list, true
}

var machineValue = regexp.MustCompile(`^(\S+)(?: +\((\d+|unknown) Mhz\))?$`)

// parseMachine takes "x86_64  (2297 Mhz)".
func parseMachine(s string) (string, int) {
	if m := machineValue.FindStringSubmatch(s); m != nil {
		return m[1], atoi(m[2])
	}
	return s, 0
}

// unquoted takes what stands in quotes; crash may add "(check log for details)" behind.
func unquoted(s string) string {
	inner, ok := strings.CutPrefix(s, `"`)
	end := strings.LastIndexByte(inner, '"')
	if !ok || end < 0 {
		return s
	}
	return strings.TrimSpace(inner[:end])
}

var taskValue = regexp.MustCompile(`^([0-9a-f]+)(?:\s+\(1 of \d+\))?(?:\s+\[THREAD_INFO: ([0-9a-f]+)\])?$`)

func parseTask(s string) (task, info Address, ok bool) {
	m := taskValue.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, false
	}
	return parseAddress(m[1]), parseAddress(m[2]), true
}
