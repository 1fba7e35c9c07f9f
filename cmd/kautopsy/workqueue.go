package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/sched"
)

type workqueueFlags struct {
	dump *dumpFlags
	all  bool
	json bool
}

func workqueueCommand() command {
	return command{
		name: "workqueue", group: "Tasks", args: "DUMP [QUEUE…]",
		short: "work queues: what workers do, and what waits for them",
		long: `Pools with something to do, each with its busy workers and the works that wait;
then works that the max_active of their queue holds back, then delayed works.
QUEUE is the name of a work queue: only what belongs to it.`,
		example: "kautopsy workqueue /var/crash/vmcore events",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &workqueueFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.all, "all", "a", false, "idle pools and workers too, and every work queue")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *workqueueFlags) run(env *environment, args []string) error {
	k, names, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	works, err := sched.Works(env.ctx, k)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(works.Queues, func(q sched.WorkQueue) bool { return q.Name == name }) {
			return fmt.Errorf("no work queue %q (kautopsy workqueue -a lists them)", name)
		}
	}
	lack := lacking{env: env}
	if lack.all(works.Missing); f.json {
		return printJSON(env.out, workqueueDocument(works, names))
	}
	lack.tell()
	p := &workPrinter{env, f.all, names}
	p.pools(works.Pools)
	p.inactive(works.Queues)
	p.delayed(works.Delayed)
	if f.all {
		p.queues(works.Queues)
	}
	return nil
}

type workPrinter struct {
	env   *environment
	all   bool
	names []string // of the queues that are asked for, all when empty
}

// asked tells whether a work belongs to a queue that is asked for.
func (p *workPrinter) asked(w sched.Work) bool { return askedQueue(p.names, w.Queue) }

func askedQueue(names []string, queue string) bool {
	return len(names) == 0 || slices.Contains(names, queue)
}

// pools prints the pools, those in which nothing is to be done only when asked.
func (p *workPrinter) pools(pools []*sched.Pool) {
	printed := 0
	for _, pool := range pools {
		busy := slices.DeleteFunc(slices.Clone(pool.Workers), func(w sched.Worker) bool { return w.Current == nil || !p.asked(*w.Current) })
		pending := slices.DeleteFunc(slices.Clone(pool.Pending), func(w sched.Work) bool { return !p.asked(w) })
		if len(busy)+len(pending) == 0 && !p.all {
			continue
		}
		if printed++; printed == 1 {
			fmt.Fprintln(p.env.out, "POOL  CPU  NICE  WORKERS  IDLE  PENDING  ADDRESS")
		}
		fmt.Fprintf(p.env.out, "%4d  %3s  %4d  %7d  %4d  %7d  %x%s\n", pool.ID, poolCPU(pool), pool.Nice, len(pool.Workers), pool.Idle, len(pool.Pending), pool.Addr, poolNote(pool))
		for _, w := range busy {
			p.worker(w)
		}
		if p.all {
			p.idle(pool)
		}
		for _, w := range pending {
			p.work("pending", w)
		}
	}
	if printed == 0 {
		fmt.Fprintln(p.env.out, "no work is executed or waits for a worker")
	}
}

func poolCPU(pool *sched.Pool) string {
	if pool.CPU < 0 {
		return "any"
	}
	return fmt.Sprint(pool.CPU)
}

func poolNote(pool *sched.Pool) string {
	switch {
	case pool.BH():
		return "  (softirq)"
	case pool.Stalled > 0:
		return fmt.Sprintf("  (nothing taken for %d jiffies)", pool.Stalled)
	}
	return ""
}

// worker prints what a worker does.
func (p *workPrinter) worker(w sched.Worker) {
	who := w.Task.Comm
	if w.Rescuer != "" {
		who = "rescuer of " + w.Rescuer
	}
	took := ""
	if w.For > 0 {
		took = fmt.Sprintf("  for %s of CPU time", w.For.Round(time.Microsecond))
	}
	p.work(fmt.Sprintf("PID %d %s", w.Task.PID, printable(who)), *w.Current, took)
	for _, next := range w.Next {
		p.work("then", next)
	}
}

// idle lists the workers that have nothing to do.
func (p *workPrinter) idle(pool *sched.Pool) {
	var pids []string
	for _, w := range pool.Workers {
		if w.Current == nil && w.Task.Addr != 0 {
			pids = append(pids, fmt.Sprint(w.Task.PID))
		}
	}
	if pids != nil {
		fmt.Fprintf(p.env.out, "      idle: PID %s\n", strings.Join(pids, " "))
	}
}

// work prints one work.
func (p *workPrinter) work(how string, w sched.Work, note ...string) {
	queue := ""
	if w.Queue != "" {
		queue = "  of " + printable(w.Queue)
	}
	fmt.Fprintf(p.env.out, "      %-24s %x  %s%s%s\n", how+":", w.Addr, printable(w.Function.String()), queue, strings.Join(note, ""))
}

// inactive prints what max_active holds back.
func (p *workPrinter) inactive(queues []sched.WorkQueue) {
	for _, q := range queues {
		if len(q.Inactive) == 0 || !askedQueue(p.names, q.Name) {
			continue
		}
		fmt.Fprintf(p.env.out, "\nINACTIVE WORKS of %s (max_active %d)\n", printable(q.Name), q.MaxActive)
		for _, w := range q.Inactive {
			p.work("inactive", w)
		}
	}
}

// delayed prints what waits for its timer.
func (p *workPrinter) delayed(works []sched.DelayedWork) {
	works = slices.DeleteFunc(works, func(d sched.DelayedWork) bool { return !p.asked(d.Work) })
	if len(works) == 0 {
		return
	}
	fmt.Fprintln(p.env.out, "\nDELAYED WORKS\n   JIFFIES LEFT  CPU  WORK              FUNCTION  QUEUE")
	for _, d := range works {
		fmt.Fprintf(p.env.out, "  %13d  %3d  %016x  %s  %s\n", d.Left, d.CPU, d.Addr, printable(d.Function.String()), printable(d.Queue))
	}
}

// queueFlags are the bits of workqueue_struct.flags (enum wq_flags; the same since 4.x but
// for WQ_BH, 6.9 on).
var queueFlags = []struct {
	bit  uint64
	name string
}{
	{1 << 0, "BH"},
	{1 << 1, "UNBOUND"},
	{1 << 2, "FREEZABLE"},
	{1 << 3, "MEM_RECLAIM"},
	{1 << 4, "HIGHPRI"},
	{1 << 5, "CPU_INTENSIVE"},
	{1 << 6, "SYSFS"},
	{1 << 7, "POWER_EFFICIENT"},
	{1 << 16, "DRAINING"},
	{1 << 17, "ORDERED"},
}

// queues lists the work queues.
func (p *workPrinter) queues(queues []sched.WorkQueue) {
	fmt.Fprintln(p.env.out, "\nWORK QUEUES\n  WORKQUEUE_STRUCT  MAX_ACTIVE  POOLS  NAME  FLAGS")
	for _, q := range queues {
		if !askedQueue(p.names, q.Name) {
			continue
		}
		var flags []string
		for _, f := range queueFlags {
			if q.Flags&f.bit != 0 {
				flags = append(flags, f.name)
			}
		}
		fmt.Fprintf(p.env.out, "  %016x  %10d  %5d  %s  %s\n", q.Addr, q.MaxActive, len(q.Pools), printable(q.Name), strings.Join(flags, "|"))
	}
}

type workItem struct {
	Address  hexAddress  `json:"address"`
	Function functionRef `json:"function"`
	Queue    string      `json:"queue,omitempty"`
	Barrier  bool        `json:"barrier,omitempty"`
}

func refWork(w sched.Work) workItem {
	return workItem{hexAddress(w.Addr), refFunction(w.Function), w.Queue, w.Barrier}
}

func refWorks(works []sched.Work, names []string) []workItem {
	out := make([]workItem, 0, len(works))
	for _, w := range works {
		if askedQueue(names, w.Queue) {
			out = append(out, refWork(w))
		}
	}
	return out
}

type workWorker struct {
	Address   hexAddress `json:"address"`
	Task      *taskRef   `json:"task,omitempty"`
	Rescuer   string     `json:"rescuer_of,omitempty"`
	Current   *workItem  `json:"current,omitempty"`
	CurrentNS int64      `json:"current_ns,omitempty"`
	Next      []workItem `json:"next,omitempty"`
}

type workPool struct {
	ID      int          `json:"id"`
	Address hexAddress   `json:"address"`
	CPU     int          `json:"cpu"`
	Node    int          `json:"node"`
	Nice    int          `json:"nice"`
	Flags   hexAddress   `json:"flags"`
	Idle    int          `json:"idle"`
	Stalled uint64       `json:"stalled_jiffies,omitempty"`
	Workers []workWorker `json:"workers"`
	Pending []workItem   `json:"pending"`
}

type workQueueItem struct {
	Name      string     `json:"name"`
	Address   hexAddress `json:"address"`
	Flags     hexAddress `json:"flags"`
	MaxActive int        `json:"max_active"`
	Pools     []int      `json:"pools"`
	Inactive  []workItem `json:"inactive"`
}

type workDelayed struct {
	workItem
	Left int64 `json:"left_jiffies"`
	CPU  int   `json:"cpu"`
}

func workqueueDocument(works *sched.WorkQueues, names []string) any {
	doc := struct {
		Schema  int              `json:"schema"`
		Pools   []workPool       `json:"pools"`
		Queues  []workQueueItem  `json:"queues"`
		Delayed []workDelayed    `json:"delayed"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, []workPool{}, []workQueueItem{}, []workDelayed{}, append([]kernel.Missing{}, works.Missing...)}
	for _, p := range works.Pools {
		pool := workPool{p.ID, hexAddress(p.Addr), p.CPU, p.Node, p.Nice, hexAddress(p.Flags), p.Idle, p.Stalled, []workWorker{}, refWorks(p.Pending, names)}
		for _, w := range p.Workers {
			worker := workWorker{Address: hexAddress(w.Addr), Task: refTask(w.Task), Rescuer: w.Rescuer, CurrentNS: int64(w.For)}
			if w.Current != nil {
				current := refWork(*w.Current)
				worker.Current, worker.Next = &current, refWorks(w.Next, nil)
			}
			if w.Current == nil && len(names) == 0 || w.Current != nil && askedQueue(names, w.Current.Queue) {
				pool.Workers = append(pool.Workers, worker)
			}
		}
		doc.Pools = append(doc.Pools, pool)
	}
	for _, q := range works.Queues {
		if !askedQueue(names, q.Name) {
			continue
		}
		item := workQueueItem{q.Name, hexAddress(q.Addr), hexAddress(q.Flags), q.MaxActive, []int{}, refWorks(q.Inactive, nil)}
		for _, p := range q.Pools {
			item.Pools = append(item.Pools, p.ID)
		}
		doc.Queues = append(doc.Queues, item)
	}
	for _, d := range works.Delayed {
		if askedQueue(names, d.Queue) {
			doc.Delayed = append(doc.Delayed, workDelayed{refWork(d.Work), d.Left, d.CPU})
		}
	}
	return doc
}
