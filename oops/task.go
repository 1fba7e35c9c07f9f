package oops

import (
	"strconv"
	"strings"
)

// hungTask reads "INFO: task NAME:PID blocked for more than 120 seconds."
func (t *thread) hungTask(s string, l *line) {
	_, s, _ = strings.Cut(s, "INFO: task ")
	name, rest, found := strings.Cut(s, " blocked ")
	if !found {
		return
	}
	task := newTask(name, l.number)
	task.State = "D"
	if n := intAfter(rest, "more than "); n != nil {
		task.Seconds = *n
	}
	if strings.HasPrefix(rest, "in I/O wait") {
		task.WaitsOn = "I/O"
	}
	t.task = task
}

// newTask makes a Task of "NAME:PID"; a name may have colons.
func newTask(name string, number int) *Task {
	task := &Task{Comm: name, Line: number}
	if comm, pid, ok := cutLast(name, ":"); ok {
		if n, err := strconv.Atoi(pid); err == nil {
			task.Comm, task.PID = comm, &n
		}
	}
	return task
}

// owner reads "INFO: task X:1 is blocked on a mutex likely owned by task Y:2." (since 6.15).
func (t *thread) owner(s string, _ *line) {
	name, what, found := strings.Cut(s, " blocked on a")
	if !found {
		return
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, " is"), " <reader>")
	waiter := newTask(strings.TrimSuffix(name, " <writer>"), 0)
	task := t.waiting(waiter.Comm, waiter.PID)
	if task == nil {
		return
	}
	what = strings.TrimLeft(strings.TrimPrefix(what, "n "), " ")
	task.WaitsOn, _ = word(strings.TrimSuffix(what, ","))
	if _, owner, ok := strings.Cut(what, " by task "); ok {
		owner, _ = word(owner)
		task.Owner = strings.TrimRight(owner, ".,")
	}
}

// waiting finds the task among those of the open report.
func (t *thread) waiting(comm string, pid *int) *Task {
	same := func(x *Task) bool {
		return x != nil && x.Comm == comm && x.PID != nil && pid != nil && *x.PID == *pid
	}
	if same(t.task) {
		return t.task
	}
	if t.oops != nil {
		for i := range t.oops.Tasks {
			if same(&t.oops.Tasks[i]) {
				return &t.oops.Tasks[i]
			}
		}
	}
	return nil
}

// taskLine reads "task:ck-abba-one     state:D stack:0     pid:190   ppid:2      flags:0x00004000".
func (t *thread) taskLine(s string, l *line) {
	comm, rest, found := strings.Cut(s, " state:")
	if !found || rest == "" {
		return
	}
	t.showTask(strings.TrimSpace(comm), rest[:1], intAfter(rest, " pid:"), l)
}

// oldTaskLine reads the form before 5.10: "bash            D ffff8800be3a7c08     0  5437   5432 0x00000080".
func (t *thread) oldTaskLine(s string, l *line) bool {
	f := strings.Fields(s)
	for i := 1; i+3 < len(f); i++ {
		if len(f[i]) != 1 || !strings.Contains("RSDTtXZPIW", f[i]) || !isHex(f[i+1][0]) {
			continue
		}
		pid, err := strconv.Atoi(f[i+3])
		if err != nil {
			return false
		}
		t.showTask(strings.Join(f[:i], " "), f[i], &pid, l)
		return true
	}
	return false
}

// showTask begins the state of a task, or completes that of the task which the headline names.
func (t *thread) showTask(comm, state string, pid *int, l *line) {
	if t.task != nil && t.task.PID != nil && pid != nil && *t.task.PID == *pid {
		t.task.State = state
		return
	}
	t.flush()
	t.task = &Task{Comm: comm, PID: pid, State: state, Line: l.number}
}

// stuck reads the CPU that a lockup headline names: "CPU#1 stuck", "on cpu 3", "on CPU0", "on CPU { 1}".
func (o *Oops) stuck(s string) {
	for _, mark := range []string{"lockup - CPU#", "LOCKUP on cpu ", "LOCKUP on CPU", "detected CPU "} {
		if n := intAfter(s, mark); n != nil {
			o.StuckCPUs = append(o.StuckCPUs, *n)
			return
		}
	}
	if _, list, ok := strings.Cut(s, "{"); ok {
		list, _, _ = strings.Cut(list, "}")
		for _, w := range strings.Fields(list) {
			if n, _, ok := cutInt(w); ok {
				o.StuckCPUs = append(o.StuckCPUs, n)
			}
		}
	}
}

// stalled reads a CPU of an RCU stall: "1-....: (1496 ticks this GP) idle=..." or "1: (2101 ticks this GP)".
func (o *Oops) stalled(s string) bool {
	n, rest, ok := cutInt(s)
	if !ok {
		return false
	}
	flags, after, found := strings.Cut(rest, ":")
	if !found || len(flags) > 8 || !strings.HasPrefix(after, " (") {
		return false
	}
	o.StuckCPUs = append(o.StuckCPUs, n)
	return true
}
