package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
)

// compareTasks holds the rows of ps against the task list, by the address of the task.
func (c *comparison) compareTasks() {
	ps, err := c.session.Processes(c.ctx)
	c.failed("tasks", "ps", err)
	theirs := make(map[uint64]crashshell.Process)
	for _, p := range ps.List {
		theirs[uint64(p.Task)] = p
	}
	ours := make(map[uint64]kernel.Task)
	equal := 0
	for _, t := range c.tasks {
		ours[t.Addr] = t
		p, there := theirs[t.Addr]
		switch {
		case !there:
			c.notListed(t)
		case c.sameTask(t, p):
			equal++
		}
	}
	for _, p := range ps.List {
		if _, there := ours[uint64(p.Task)]; !there {
			c.onlyCrash(p)
		}
	}
	c.row("tasks", "", len(c.tasks), len(ps.List), equal)
}

// notListed is a task that crash does not have. Which of the two is right the kernel's own way
// from a PID to its task tells.
func (c *comparison) notListed(t kernel.Task) {
	if err := hashed(t); err != nil {
		d := c.group("tasks", "task", undecided, "crash does not list")
		d.example("PID %d %s at %x: %v", t.PID, t.Comm, t.Addr, err)
		return
	}
	d := c.group("tasks", "task", crashWrong, "crash does not list")
	d.Because = c.known("tasks")
	d.Checked = []string{"the struct pid of each but the idle ones holds its number and leads back to it"}
	d.example("PID %d %s", t.PID, t.Comm)
}

// onlyCrash is a task that kautopsy does not have.
func (c *comparison) onlyCrash(p crashshell.Process) {
	t, err := c.k.TaskAt(uint64(p.Task))
	if err == nil {
		err = hashed(t)
	}
	d := c.group("tasks", "task", kautopsyWrong, "kautopsy does not list")
	if err != nil {
		d = c.group("tasks", "task", crashWrong, "crash lists that are none")
		d.Checked = []string{"no struct pid leads to them"}
	}
	d.example("PID %d %s at %x", p.PID, p.Comm, uint64(p.Task))
}

// hashed tells whether a task is the one that its struct pid leads to: thread_pid and pid_links
// since 4.19 (2c4704756cab), pids before. Idle tasks have none.
func hashed(t kernel.Task) error {
	if t.Idle {
		return nil
	}
	link, pid, err := pidOf(t.Object)
	if err != nil {
		return err
	}
	number, err := firstOf(pid, "numbers")
	if err != nil {
		return err
	}
	nr, err := number.Int("nr")
	if err != nil {
		return err
	}
	head, err := firstOf(pid, "tasks")
	if err != nil {
		return err
	}
	first, err := head.Pointer("first")
	switch {
	case err != nil:
		return err
	case nr != int64(t.PID) || first != link:
		return fmt.Errorf("its struct pid is that of %d and leads to %#x", nr, first)
	}
	return nil
}

// pidOf is the node by which a task hangs on its struct pid, and that.
func pidOf(t kernel.Object) (link uint64, pid kernel.Object, err error) {
	if t.Has("thread_pid") {
		node, err := firstOf(t, "pid_links")
		if err != nil {
			return 0, pid, err
		}
		pid, err = t.Follow("thread_pid")
		return node.Addr, pid, err
	}
	node, err := firstOf(t, "pids")
	if err != nil {
		return 0, pid, err
	}
	pid, err = node.Follow("pid")
	return node.Addr, pid, err
}

// firstOf is the first one of an array.
func firstOf(o kernel.Object, array string) (kernel.Object, error) {
	m, err := o.Member(array)
	if err != nil {
		return m, err
	}
	return m.Index(0)
}

// sameTask compares what both say of a task. What kautopsy has is what stands at the address
// that crash itself names.
func (c *comparison) sameTask(t kernel.Task, p crashshell.Process) bool {
	// crash has the states of the kernel under names of its own since ever; a parent that it did not find is -1
	wrong := []string{}
	check := func(what string, ours, theirs any) {
		if fmt.Sprint(ours) != fmt.Sprint(theirs) {
			wrong = append(wrong, fmt.Sprintf("%s %v, crash says %v", what, ours, theirs))
		}
	}
	check("PID", t.PID, p.PID)
	check("name", t.Comm, p.Comm)
	check("state", t.State, p.State)
	check("CPU", t.CPU, p.CPU)
	if p.PPID != nil {
		check("parent", t.PPID, *p.PPID)
	}
	c.sameSizes(t, p)
	if len(wrong) == 0 {
		return true
	}
	d := c.group("tasks", "task", crashWrong, "crash describes otherwise than their task_struct")
	d.Because = c.known("tasks")
	d.Checked = []string{"read again at the addresses that crash names"}
	d.example("PID %d %s: %s", t.PID, t.Comm, strings.Join(wrong, ", "))
	if again, err := c.k.TaskAt(t.Addr); err != nil || again.PID != t.PID || again.State != t.State || again.CPU != t.CPU || again.PPID != t.PPID {
		d.Fault, d.Checked = kautopsyWrong, []string{"read again, they are otherwise"}
	}
	return false
}

// sameSizes compares the sizes of a process, which crash prints in KiB.
func (c *comparison) sameSizes(t kernel.Task, p crashshell.Process) {
	if t.VSZ>>10 == p.VSZ && t.RSS>>10 == p.RSS {
		return
	}
	again, err := c.k.TaskAt(t.Addr)
	var d *difference
	switch {
	case t.VSZ>>10 == p.VSZ && p.RSS < t.RSS>>10 && p.RSS >= (t.RSS-t.HeldBack)>>10:
		d = c.group("sizes", "task", neither, "crash counts otherwise")
		d.Because = "crash leaves out what threads hold back in task_struct.rss_stat, as /proc does, or of a child of vfork what those of its parent do"
		d.Checked = []string{"the difference is not more than what is held back"}
	case err != nil || again.VSZ != t.VSZ || again.RSS != t.RSS:
		d = c.group("sizes", "task", kautopsyWrong, "kautopsy does not read the same twice")
	default:
		d = c.group("sizes", "task", crashWrong, "crash gives another size than the counters of their mm_struct")
		d.Because = c.known("sizes")
		d.Checked = []string{"the counters, read again, are kautopsy's"}
	}
	d.example("PID %d %s: VSZ %d RSS %d KiB, crash says %d and %d", t.PID, t.Comm, t.VSZ>>10, t.RSS>>10, p.VSZ, p.RSS)
}

// group is the difference of that kind, made when it is the first; it counts one more.
func (c *comparison) group(subject, object string, fault verdict, what string) *difference {
	for _, d := range c.all {
		if d.Subject == subject && d.Fault == fault && d.What == what {
			d.Count++
			return d
		}
	}
	d := c.add(subject, object, fault)
	d.Count, d.What = 1, what
	return d
}

// comparePanic asks which task died.
func (c *comparison) comparePanic() {
	ours, oursErr := crashedTask(c.env, c.k, c.tasks)
	bt, err := c.session.Backtraces(c.ctx)
	c.failed("panic task", "bt", err)
	theirs := crashshell.Backtrace{}
	if len(bt.List) > 0 {
		theirs = bt.List[0]
	}
	equal := 0
	switch {
	case oursErr != nil && len(bt.List) == 0:
		d := c.add("panic task", "task", bothPartial)
		d.Count, d.What = 1, fmt.Sprintf("neither tells which died: %v", oursErr)
	case oursErr != nil:
		d := c.add("panic task", "task", kautopsyWrong)
		d.Count, d.What = 1, fmt.Sprintf("kautopsy does not tell which died: %v", oursErr)
		d.example("crash says PID %d %s", theirs.PID, theirs.Command)
	case len(bt.List) > 0 && uint64(theirs.Task) != ours.Addr:
		d := c.add("panic task", "task", crashWrong)
		d.Count, d.What, d.Because = 1, "crash takes for the one that died", c.known("panic task")
		d.Checked = []string{fmt.Sprintf("the kernel's own note: the task on CPU %d, PID %d %s", ours.CPU, ours.PID, ours.Comm)}
		d.example("PID %d %s", theirs.PID, theirs.Command)
	case len(bt.List) > 0:
		equal = 1
	}
	c.row("panic task", "", 1, min(1, len(bt.List)), equal)
}

// compareLog holds the texts against each other, line by line.
func (c *comparison) compareLog() {
	ours, err := c.k.LogText(c.ctx)
	c.lack.add("log", err)
	a, err := c.session.Run(c.ctx, "log")
	c.failed("log", "log", err)
	if len(a.Output) == 0 {
		lines := bytes.Count(ours, []byte("\n"))
		c.row("log", "lines", lines, 0, 0)
		if err == nil && lines > 0 {
			d := c.add("log", "line", crashWrong)
			d.Count, d.What, d.Because = lines, "crash does not find", c.known("log")
		}
		return
	}
	mine, its := bytes.Split(bytes.TrimSpace(ours), []byte("\n")), bytes.Split(bytes.TrimSpace(a.Output), []byte("\n"))
	equal, extra := 0, 0
	i, j := 0, 0
	for i < len(mine) && j < len(its) {
		switch {
		case bytes.Equal(mine[i], its[j]):
			equal++
			i, j = i+1, j+1
		case len(its[j]) == 0:
			extra++
			j++
		case its[j][0] == ' ' && bytes.Equal(bytes.TrimLeft(its[j], " "), bytes.TrimLeft(mine[i], " ")):
			d := c.group("log", "line", neither, "stand farther right at crash")
			d.Because = "crash indents the later lines of a record by the width of its time stamp; kautopsy prints them as the kernel wrote them"
			d.Checked = []string{"but for blanks at their beginning they are the same"}
			d.example("%s", bytes.TrimSpace(mine[i]))
			i, j = i+1, j+1
		default:
			d := c.group("log", "line", undecided, "are not the same")
			d.example("%q, crash says %q", mine[i], its[j])
			i, j = i+1, j+1
		}
	}
	if extra > 0 {
		d := c.add("log", "line", crashWrong)
		d.Count, d.What, d.Because = extra, "are empty, and in no record", c.known("empty lines")
		if equal == len(mine) {
			d.Checked = []string{"all others are the same"}
		}
	}
	if rest := len(mine) - i + len(its) - j; rest > 0 {
		d := c.add("log", "line", undecided)
		d.Count, d.What = rest, "are at the end of one only"
	}
	c.row("log", "lines", len(mine), len(its), equal)
}
