package oops

import (
	"strconv"
	"strings"
)

// OOM is what an out-of-memory report tells.
type OOM struct {
	Invoker    string    `json:"invoker,omitempty"` // task whose allocation failed
	GFP        string    `json:"gfp,omitempty"`     // "0xcc0(GFP_KERNEL)"
	Order      *int      `json:"order,omitempty"`
	Constraint string    `json:"constraint,omitempty"` // "CONSTRAINT_NONE", "CONSTRAINT_MEMCG"
	Victim     *OOMTask  `json:"victim,omitempty"`
	Tasks      []OOMTask `json:"tasks,omitempty"` // the table of those that could have been killed
}

// OOMTask is a task of the table. Sizes are in pages, as the kernel prints them.
type OOMTask struct {
	PID      int    `json:"pid"`
	Comm     string `json:"comm"`
	TotalVM  int    `json:"total_vm,omitempty"`
	RSS      int    `json:"rss,omitempty"`
	Swap     int    `json:"swap,omitempty"`
	ScoreAdj int    `json:"oom_score_adj,omitempty"`
}

// invoker reads "ck-oom invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0".
func (o *Oops) invoker(s string) {
	who, what, found := strings.Cut(s, " invoked oom-killer: ")
	if !found {
		return
	}
	o.OOM = &OOM{Invoker: who, Order: intAfter(what, "order=")}
	if _, gfp, ok := strings.Cut(what, "gfp_mask="); ok {
		o.OOM.GFP, _, _ = strings.Cut(gfp, ", ")
	}
}

func (o *Oops) oom() *OOM {
	if o.OOM == nil {
		o.OOM = &OOM{}
	}
	return o.OOM
}

// taskTable takes the heading of the table: the columns differ between versions, their names do not.
func (t *thread) taskTable(s string, _ *line) {
	t.trace, t.table = nil, nil
	if columns := strings.Fields(s); len(columns) > 0 {
		t.table = columns
	}
}

// oomRow reads "[    189]     0   189      565        0    28672       12             0 busybox".
func (t *thread) oomRow(s string) bool {
	inside, rest, found := strings.Cut(strings.TrimPrefix(s, "["), "]")
	pid, err := strconv.Atoi(strings.TrimSpace(inside))
	values := strings.Fields(rest)
	if !found || err != nil || len(values) < len(t.table) || t.oops == nil {
		return false
	}
	if o := t.oops.oom(); len(o.Tasks) < maxListed {
		o.Tasks = append(o.Tasks, oomTask(pid, t.table, values))
	}
	return true
}

// oomTask reads one row by its columns; the last, the name, may have blanks.
func oomTask(pid int, columns, values []string) OOMTask {
	task := OOMTask{PID: pid, Comm: strings.Join(values[len(columns)-1:], " ")}
	fields := map[string]*int{
		"total_vm": &task.TotalVM, "rss": &task.RSS, "swapents": &task.Swap, "oom_score_adj": &task.ScoreAdj,
	}
	for i, c := range columns {
		if field := fields[c]; field != nil {
			*field, _ = strconv.Atoi(values[i])
		}
	}
	return task
}

// oomKill reads "oom-kill:constraint=CONSTRAINT_NONE,...,task=busybox,pid=189,uid=0" (since 5.0).
func (t *thread) oomKill(s string, _ *line) {
	if t.oops == nil {
		return
	}
	t.table = nil
	for _, f := range strings.Split(s, ",") {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "constraint":
			t.oops.oom().Constraint = value
		case "task":
			t.oops.oom().Victim = &OOMTask{Comm: value}
		case "pid":
			if v := t.oops.oom().Victim; v != nil {
				v.PID, _ = strconv.Atoi(value)
			}
		}
	}
}

// killed reads "Killed process 189 (busybox) total-vm:..." and, before 5.3, "Kill process 189 (busybox) score
// 900 or sacrifice child".
func (t *thread) killed(s string, l *line) {
	if t.oops == nil || t.oops.Kind != OutOfMemory {
		return
	}
	_, after, found := strings.Cut(string(l.msg), "process ")
	pid, rest, ok := cutInt(after)
	name, _, closed := strings.Cut(strings.TrimPrefix(rest, " ("), ")")
	if found && ok && closed {
		t.oops.oom().Victim = &OOMTask{PID: pid, Comm: name}
	}
	t.ended = strings.Contains(s, "total-vm")
}
