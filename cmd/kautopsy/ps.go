package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
)

type psFlags struct {
	dump   *dumpFlags
	filter taskFilter
	states []string
	policy string
	cpus   cpuSet
	json   bool

	noHeader, stack bool
	summary         bool
	args, times     bool
	family          [3]bool // parents, children, threads
	recent, stamp   bool
	limits          bool
}

func psCommand() command {
	return command{
		name: "ps", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "tasks: pid, state, CPU, memory, name; arguments, times, family",
		long: `Reads the tasks by the types in the dump itself, or in a vmlinux (--vmlinux).
PIDs are decimal, TASK is the address of a task_struct, COMM a name or a regular
expression of names ('w-.*'). > marks the tasks that ran when the kernel died.
Tasks that only their PID or a run queue leads to are listed too, and told.`,
		example: "kautopsy ps --state UN /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &psFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.filter.kernel, "kernel", "k", false, "only kernel threads")
			fs.BoolVarP(&f.filter.user, "user", "u", false, "only processes of user space")
			fs.BoolVarP(&f.filter.leaders, "leaders", "G", false, "only the first thread of each process")
			fs.BoolVarP(&f.filter.active, "active", "A", false, "only what ran on a CPU")
			fs.StringArrayVar(&f.states, "state", nil, "only tasks in `STATE`: RU, IN, UN, ID, ST, TR, ZO, DE, PA, NE; several by commas")
			fs.StringVarP(&f.policy, "policy", "y", "", "only tasks of that scheduling `POLICY`: normal, fifo, rr, batch, idle, deadline, ext, or its number")
			fs.VarP(&f.cpus, "cpu", "C", "only tasks of these `CPUS`: 0,2-3")
			fs.BoolVarP(&f.summary, "summary", "S", false, "only how many tasks are in each state")
			fs.BoolVarP(&f.args, "arguments", "a", false, "command line and environment, where those pages are in the dump")
			fs.BoolVarP(&f.family[0], "parents", "p", false, "the parents of each task, the first one first")
			fs.BoolVarP(&f.family[1], "children", "c", false, "the children of each task")
			fs.BoolVarP(&f.family[2], "threads", "g", false, "the threads of each process")
			fs.BoolVarP(&f.times, "times", "t", false, "run time, start time, time in user space and in the kernel")
			fs.BoolVarP(&f.recent, "last-run", "m", false, "how long ago each task came to a CPU, the latest first")
			fs.BoolVarP(&f.stamp, "last-stamp", "l", false, "the same as the kernel's time stamp")
			fs.BoolVarP(&f.limits, "rlimits", "r", false, "resource limits")
			fs.BoolVarP(&f.stack, "stack-pointer", "s", false, "the kernel stack pointer in place of the task's address")
			fs.BoolVarP(&f.noHeader, "no-header", "H", false, "no heading")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *psFlags) run(env *environment, args []string) error {
	for _, s := range f.states {
		if err := f.filter.addState(s); err != nil {
			return err
		}
	}
	picked, err := f.onlyThese()
	if err != nil {
		return err
	}
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	tasks, missing, err := pickTasks(env, k, rest)
	if err != nil {
		return err
	}
	tasks = slices.DeleteFunc(slices.Clone(tasks), func(t kernel.Task) bool { return !f.filter.wanted(t) || !picked(t) })
	p := &psPrinter{env: env, k: k, f: f, tasks: tasks, missing: missing}
	if f.json {
		return printJSON(env.out, p.document())
	}
	p.print()
	return nil
}

// onlyThese tells which tasks -y and -C leave.
func (f *psFlags) onlyThese() (func(kernel.Task) bool, error) {
	policy, err := parsePolicy(f.policy)
	return func(t kernel.Task) bool {
		if !f.cpus.has(t.CPU) {
			return false
		}
		p, err := t.Uint("policy")
		return f.policy == "" || err == nil && p == policy
	}, err
}

// psPrinter is one run of ps.
type psPrinter struct {
	env     *environment
	k       *kernel.Kernel
	f       *psFlags
	tasks   []kernel.Task
	missing []kernel.Missing
}

// print prints what the flags ask for; of several forms the first.
func (p *psPrinter) print() {
	switch f := p.f; {
	case f.summary:
		printStates(p.env.out, p.tasks)
	case f.args:
		p.arguments()
	case f.family != [3]bool{}:
		p.relatives()
	case f.times:
		p.times()
	case f.recent, f.stamp:
		p.lastRuns()
	case f.limits:
		p.limits()
	default:
		p.table()
	}
}

// table prints crash's table.
func (p *psPrinter) table() {
	memory := p.k.System(p.env.ctx).Memory
	if !p.f.noHeader {
		column := "       TASK        "
		if p.f.stack {
			column = "      KSTACKP      "
		}
		fmt.Fprintf(p.env.out, "      PID    PPID  CPU%sST  %%MEM      VSZ      RSS  COMM\n", column)
	}
	for _, t := range p.tasks {
		mark := " "
		if t.OnCPU {
			mark = ">"
		}
		name := printable(t.Comm)
		if t.KernelThread {
			name = "[" + name + "]"
		}
		if t.Comm == "" && t.PID < 0 {
			name = "?"
		}
		at := t.Addr
		if p.f.stack {
			at, _ = t.SP()
		}
		share, vsz, rss := psMemory(t, memory)
		fmt.Fprintf(p.env.out, "%s %7s %7s %3s  %16x  %-2s %5s %8s %8s  %s\n",
			mark, known(t.PID), known(t.PPID), known(t.CPU), at, t.State, share, vsz, rss, name)
	}
}

// psMemory is what a process has of the machine's memory, in percent, and its sizes in KiB;
// "?" where that could not be read.
func psMemory(t kernel.Task, memory uint64) (share, vsz, rss string) {
	vsz, rss, share = fmt.Sprint(t.VSZ/1024), fmt.Sprint(t.RSS/1024), "0.0"
	if memory > 0 {
		share = fmt.Sprintf("%.1f", 100*float64(t.RSS)/float64(memory))
	}
	if t.MemoryErr != nil {
		share, rss = "?", "?"
		if t.VSZ == 0 {
			vsz = "?"
		}
	}
	return share, vsz, rss
}

// printStates counts the tasks by state, as crash's ps -S.
func printStates(w io.Writer, tasks []kernel.Task) {
	var order []string
	n := make(map[string]int)
	for _, t := range tasks {
		s := t.State.String()
		if n[s]++; n[s] == 1 {
			order = append(order, s)
		}
	}
	for _, s := range order {
		fmt.Fprintf(w, "  %s: %d\n", s, n[s])
	}
}
