package crashshell

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Processes are the tasks of an answer to ps.
type Processes struct {
	List   []Process      `json:"list"`
	States map[string]int `json:"states,omitempty"` // of ps -S: tasks by state
	Rest   []string       `json:"rest,omitempty"`   // lines not understood
}

// Process is a task: a row of the table, or a block of ps with -a, -c, -g, -l, -m, -p, -r or -t,
// which tells PID, Task, CPU and Comm alone beside what was asked for.
type Process struct {
	PID    int     `json:"pid"`
	PPID   *int    `json:"ppid,omitempty"` // -1 if crash did not find the parent
	CPU    int     `json:"cpu"`
	Task   Address `json:"task,omitempty"`
	KStack Address `json:"kernel_stack_pointer,omitempty"` // of ps -s, instead of Task; 0 of what ran
	State  string  `json:"state,omitempty"`                // RU, IN, UN, …
	Active bool    `json:"active,omitempty"`               // ran on a CPU
	Mem    float64 `json:"mem_percent,omitempty"`
	VSZ    uint64  `json:"vsz_kib,omitempty"`
	RSS    uint64  `json:"rss_kib,omitempty"`
	Comm   string  `json:"comm"`
	Kernel bool    `json:"kernel_thread,omitempty"` // its name is in brackets; in the table only

	Args      string         `json:"args,omitempty"`        // of ps -a, joined by blanks
	Env       []string       `json:"env,omitempty"`         // of ps -a
	Times     []Field        `json:"times,omitempty"`       // of ps -t, as crash says them
	Limits    []Limit        `json:"rlimits,omitempty"`     // of ps -r
	Idle      *time.Duration `json:"last_run_ns,omitempty"` // of ps -m: ago
	Stamp     uint64         `json:"last_stamp,omitempty"`  // of ps -l
	Relatives []Relative     `json:"relatives,omitempty"`   // of ps -c, -g and -p
	Errors    []string       `json:"errors,omitempty"`      // crash's own: "ps: no user stack"
}

// Relative is a child, a thread or, of ps -p, the next task down from the first ancestor.
type Relative struct {
	TaskHeader
	Depth int `json:"depth"`
}

// Limit is a resource limit; an empty text never occurs, "(unlimited)" is crash's word.
type Limit struct {
	Name    string `json:"name"`
	Current string `json:"current"`
	Maximum string `json:"maximum"`
}

var (
	psHeading  = regexp.MustCompile(`^\s*PID\s+PPID\s+CPU\s+(TASK|KSTACKP)\s+ST\s+%MEM\s+VSZ\s+RSS\s+COMM\s*$`)
	psRow      = regexp.MustCompile(`^\s*(>?)\s*(\d+)\s+(-?\d+)\s+(\d+)\s+([0-9a-f]{6,16}|--)\s+([A-Z?]{2})\s+([\d.]+)\s+(\d+)\s+(\d+) {1,2}(.*)$`)
	psState    = regexp.MustCompile(`^ +([A-Z]{2}): (\d+)$`)
	psLastRun  = regexp.MustCompile(`^\[\s*(?:(\d+)|(\d{1,6}) (\d\d):(\d\d):(\d\d)\.(\d{3}))\] +\[([A-Z?]{2})\] +(PID:.*)$`)
	psTime     = regexp.MustCompile(`^ *(RUN TIME|START TIME|UTIME|STIME): (.*)$`)
	psLimit    = regexp.MustCompile(`^\s+([A-Z]+)\s+(\d+|\(unlimited\))\s+(\d+|\(unlimited\))\s*$`)
	psOfCPU    = regexp.MustCompile(`^CPU: \d+$`)
	psLimitTop = regexp.MustCompile(`^\s+RLIMIT\s+CURRENT\s+MAXIMUM\s*$`)
)

// ParseProcesses reads the answer to ps with any of its options. The error is ErrForm.
func ParseProcesses(out []byte) (Processes, error) {
	p := &psParser{all: Processes{List: []Process{}}}
	for line := range answerLines(out) {
		if strings.TrimSpace(line) != "" && !p.row(line) && !p.block(line) {
			p.all.Rest = append(p.all.Rest, line)
		}
	}
	return p.all, formError(p.known, p.all.Rest)
}

// psParser is where ParseProcesses is.
type psParser struct {
	all    Processes
	kstack bool     // the table's fourth column is KSTACKP
	open   *Process // takes the lines of a block
	env    bool     // the last line was one of the environment
	known  bool
}

// row takes what stands in one line: the table, its heading, the counts, and last runs.
func (p *psParser) row(line string) bool {
	if m := psHeading.FindStringSubmatch(line); m != nil {
		p.kstack, p.known = m[1] == "KSTACKP", true
	} else if m := psRow.FindStringSubmatch(line); m != nil {
		p.add(tableRow(m, p.kstack))
		p.open = nil
	} else if m := psLastRun.FindStringSubmatch(line); m != nil {
		return p.lastRun(m)
	} else if m := psState.FindStringSubmatch(line); m != nil && p.open == nil {
		if p.all.States == nil {
			p.all.States = make(map[string]int)
		}
		p.all.States[m[1]], p.known = atoi(m[2]), true
	} else if psOfCPU.MatchString(line) { // of ps -C; each row tells it too
		p.open, p.known = nil, true
	} else {
		return false
	}
	return true
}

func (p *psParser) add(t Process) {
	p.all.List = append(p.all.List, t)
	p.open, p.env, p.known = &p.all.List[len(p.all.List)-1], false, true
}

func tableRow(m []string, kstack bool) Process {
	ppid := atoi(m[3])
	t := Process{Active: m[1] == ">", PID: atoi(m[2]), PPID: &ppid, CPU: atoi(m[4]), State: m[6], Comm: m[10]}
	if at := parseAddress(m[5]); kstack {
		t.KStack = at
	} else {
		t.Task = at
	}
	if t.Mem, _ = strconv.ParseFloat(m[7], 64); t.Mem > 1e6 { // nor is it then a number of JSON
		t.Mem = 0
	}
	t.VSZ, _ = strconv.ParseUint(m[8], 10, 64)
	t.RSS, _ = strconv.ParseUint(m[9], 10, 64)
	if n := len(t.Comm); n > 2 && t.Comm[0] == '[' && t.Comm[n-1] == ']' {
		t.Comm, t.Kernel = t.Comm[1:n-1], true
	}
	return t
}

func (h TaskHeader) process() Process {
	return Process{PID: h.PID, Task: h.Task, CPU: h.CPU, Comm: h.Command}
}

func (p *psParser) lastRun(m []string) bool {
	h, ok := parseTaskHeader(m[8])
	if !ok {
		return false
	}
	t := h.process()
	t.State = m[7]
	if m[1] != "" {
		t.Stamp, _ = strconv.ParseUint(m[1], 10, 64)
	} else {
		hours := 24*min(atoi(m[2]), 100_000) + atoi(m[3])
		d := time.Duration(hours)*time.Hour + time.Duration(atoi(m[4]))*time.Minute +
			time.Duration(atoi(m[5]))*time.Second + time.Duration(atoi(m[6]))*time.Millisecond
		t.Idle = &d
	}
	p.add(t)
	p.open = nil
	return true
}

// block takes a task's heading and what stands below it.
func (p *psParser) block(line string) bool {
	text := strings.TrimLeft(line, " ")
	depth := len(line) - len(text)
	h, ok := parseTaskHeader(text)
	if ok && depth == 0 {
		p.add(h.process())
		return true
	}
	t := p.open
	if t == nil {
		return false
	}
	if ok {
		t.Relatives = append(t.Relatives, Relative{h, depth})
		return true
	}
	return p.arguments(t, line) || p.facts(t, line)
}

// arguments takes the lines of ps -a. Those of the environment after the first are indented;
// a value may hold anything but the end of a line.
func (p *psParser) arguments(t *Process, line string) bool {
	if args, ok := strings.CutPrefix(line, "ARG: "); ok {
		t.Args = strings.TrimSuffix(args, " ")
		return true
	}
	text, ok := strings.CutPrefix(line, "ENV: ")
	if !ok && p.env {
		text, ok = strings.CutPrefix(line, "     ")
	}
	if ok {
		t.Env, p.env = append(t.Env, text), true
	}
	return ok
}

// facts takes the lines of ps -t and -r, and what a task lacks.
func (p *psParser) facts(t *Process, line string) bool {
	text := strings.TrimSpace(line)
	switch {
	case text == "(no children)", text == "(no threads)", psLimitTop.MatchString(line):
	case strings.HasPrefix(text, "ps: "), strings.HasPrefix(text, "foreach: "):
		t.Errors = append(t.Errors, text)
	case psTime.MatchString(line):
		m := psTime.FindStringSubmatch(line)
		t.Times = append(t.Times, Field{m[1], m[2]})
	case psLimit.MatchString(line):
		m := psLimit.FindStringSubmatch(line)
		t.Limits = append(t.Limits, Limit{m[1], m[2], m[3]})
	default:
		return false
	}
	return true
}
