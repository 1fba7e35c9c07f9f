package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/sched"
)

type runqFlags struct {
	dump          *dumpFlags
	cpus          cpuSet
	stamps, since bool
	json          bool
}

func runqCommand() command {
	return command{
		name: "runq", group: "Tasks", args: "DUMP",
		short: "run queues: what ran on each CPU, and what waited for it",
		long: `Fair tasks are in the order in which the scheduler keeps them, those of a group
behind their group; realtime tasks by priority, deadline tasks by deadline. The
number before a task is its priority: 120 is nice 0, below 100 is realtime.`,
		example: "kautopsy runq /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &runqFlags{dump: addDumpFlags(fs)}
			fs.VarP(&f.cpus, "cpu", "c", "only these `CPUS`: 1, or 0,2-3")
			fs.BoolVarP(&f.stamps, "timestamps", "t", false, "the queue's clock, and when each task last came to a CPU")
			fs.BoolVarP(&f.since, "running", "m", false, "for how long what ran did so")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *runqFlags) run(env *environment, args []string) error {
	k, done, err := f.dump.openAlone(env, args)
	if err != nil {
		return err
	}
	defer done()
	all, err := sched.RunQueues(env.ctx, k)
	if err != nil {
		return err
	}
	var queues []sched.RunQueue
	lack := lacking{env: env}
	for _, q := range all {
		if f.cpus.has(q.CPU) {
			queues = append(queues, q)
			lack.all(q.Missing)
		}
	}
	if f.json {
		return printJSON(env.out, runqDocument(queues, lack.document()))
	}
	lack.tell()
	switch {
	case f.stamps:
		printStamps(env.out, queues)
	case f.since:
		printRunning(env.out, queues)
	default:
		for i, q := range queues {
			if i > 0 {
				fmt.Fprintln(env.out)
			}
			printQueue(env.out, q)
		}
	}
	return nil
}

// queuedTask is how runq spells a task.
func queuedTask(t kernel.Task) string {
	if t.Addr == 0 {
		return "(not known)"
	}
	return fmt.Sprintf("PID: %-6s TASK: %016x  COMMAND: %q", known(t.PID), t.Addr, printable(t.Comm))
}

// printQueue prints a run queue as crash does; deadline tasks, which crash leaves out, where
// there are some.
func printQueue(w io.Writer, q sched.RunQueue) {
	fmt.Fprintf(w, "CPU %d RUNQUEUE: %x\n  CURRENT: %s\n", q.CPU, q.Addr, queuedTask(q.Curr))
	if q.Stop != nil {
		fmt.Fprintf(w, "  STOP: %s\n", queuedTask(*q.Stop))
	}
	if len(q.DL) > 0 {
		fmt.Fprintf(w, "  DL RB_ROOT: %x\n", q.DLTree)
		printQueued(w, q.DL)
	}
	fmt.Fprintf(w, "  RT PRIO_ARRAY: %x\n", q.RTArray)
	printQueued(w, q.RT)
	fmt.Fprintf(w, "  CFS RB_ROOT: %x\n", q.CFSTree)
	printQueued(w, q.CFS)
}

func printQueued(w io.Writer, list []sched.Queued) {
	if len(list) == 0 {
		fmt.Fprintln(w, "     [no tasks queued]")
	}
	for _, e := range list {
		indent := strings.Repeat("   ", e.Depth)
		switch {
		case e.Group != 0:
			fmt.Fprintf(w, "     %sTASK_GROUP: %x\n", indent, e.Group)
		case e.Server:
			fmt.Fprintf(w, "     %s[  -] deadline server, deadline %d\n", indent, e.Deadline)
		default:
			note := ""
			if e.Delayed {
				note = "  (sleeps; its dequeue is delayed)"
			}
			fmt.Fprintf(w, "     %s[%3d] %s%s\n", indent, e.Priority, queuedTask(e.Task), note)
		}
	}
}

// printStamps prints clocks and time stamps, the current task first.
func printStamps(w io.Writer, queues []sched.RunQueue) {
	for _, q := range queues {
		fmt.Fprintf(w, " CPU %d: %d\n", q.CPU, int64(q.Clock))
		for _, t := range q.Tasks() {
			at, err := t.Times()
			if err != nil {
				continue
			}
			fmt.Fprintf(w, "       %12d  %s\n", int64(at.Arrival), queuedTask(t))
		}
	}
}

func printRunning(w io.Writer, queues []sched.RunQueue) {
	for _, q := range queues {
		fmt.Fprintf(w, " CPU %d: [%s]  %s\n", q.CPU, dayClock(sinceArrival(q, q.Curr), true), queuedTask(q.Curr))
	}
}

// sinceArrival is for how long a task had been on its CPU.
func sinceArrival(q sched.RunQueue, t kernel.Task) time.Duration {
	if t.Addr == 0 {
		return 0
	}
	at, err := t.Times()
	if err != nil {
		return 0
	}
	return max(0, q.Clock-at.Arrival)
}

// taskRef is a task in JSON where only which one it is matters.
type taskRef struct {
	Task  hexAddress `json:"task"`
	PID   int        `json:"pid"`
	Comm  string     `json:"comm"`
	State string     `json:"state"`
}

func refTask(t kernel.Task) *taskRef {
	if t.Addr == 0 {
		return nil
	}
	return &taskRef{hexAddress(t.Addr), t.PID, t.Comm, t.State.String()}
}

type runqQueued struct {
	*taskRef
	Priority int        `json:"priority,omitempty"`
	VRuntime uint64     `json:"vruntime,omitempty"`
	Deadline uint64     `json:"deadline,omitempty"`
	Delayed  bool       `json:"delayed,omitempty"`
	Group    hexAddress `json:"task_group,omitempty"`
	Depth    int        `json:"depth,omitempty"`
	Server   bool       `json:"server,omitempty"`
}

type runqQueue struct {
	CPU       int          `json:"cpu"`
	Address   hexAddress   `json:"address"`
	ClockNS   int64        `json:"clock_ns"`
	Running   int          `json:"running"`
	Current   *taskRef     `json:"current,omitempty"`
	CurrentNS int64        `json:"current_ns"`
	Stop      *taskRef     `json:"stop,omitempty"`
	DL        []runqQueued `json:"dl"`
	RT        []runqQueued `json:"rt"`
	CFS       []runqQueued `json:"cfs"`
}

func runqDocument(queues []sched.RunQueue, missing []kernel.Missing) any {
	list := func(in []sched.Queued) []runqQueued {
		out := make([]runqQueued, 0, len(in))
		for _, e := range in {
			out = append(out, runqQueued{refTask(e.Task), e.Priority, e.VRuntime, e.Deadline, e.Delayed, hexAddress(e.Group), e.Depth, e.Server})
		}
		return out
	}
	docs := make([]runqQueue, 0, len(queues))
	for _, q := range queues {
		doc := runqQueue{
			CPU: q.CPU, Address: hexAddress(q.Addr), ClockNS: int64(q.Clock), Running: q.Running,
			Current: refTask(q.Curr), CurrentNS: int64(sinceArrival(q, q.Curr)),
			DL: list(q.DL), RT: list(q.RT), CFS: list(q.CFS),
		}
		if q.Stop != nil {
			doc.Stop = refTask(*q.Stop)
		}
		docs = append(docs, doc)
	}
	return struct {
		Schema  int              `json:"schema"`
		Queues  []runqQueue      `json:"queues"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, docs, missing}
}
