package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
)

type psFlags struct {
	dump         *dumpFlags
	kernel, user bool
	leaders      bool
	summary      bool
	state        string
	json         bool
}

func psCommand() command {
	return command{
		name: "ps", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "tasks: pid, state, CPU, memory, name",
		long: `Reads the tasks by the types in the dump itself; a kernel without BTF has none.
PIDs are decimal, TASK is the address of a task_struct, COMM a name. > marks the
tasks that ran when the kernel died.`,
		example: "kautopsy ps --state UN /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &psFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.kernel, "kernel", "k", false, "only kernel threads")
			fs.BoolVarP(&f.user, "user", "u", false, "only processes of user space")
			fs.BoolVarP(&f.leaders, "leaders", "G", false, "only the first thread of each process")
			fs.BoolVarP(&f.summary, "summary", "S", false, "only how many tasks are in each state")
			fs.StringVar(&f.state, "state", "", "only tasks in `STATE`: RU, IN, UN, ID, ST, TR, ZO, DE, PA")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *psFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	all, missing, err := allTasks(env, k)
	if err != nil {
		return err
	}
	tasks := slices.DeleteFunc(all, func(t kernel.Task) bool { return !f.wanted(t, rest) })
	switch {
	case f.json:
		return printJSON(env.out, psDocument(tasks, missing))
	case len(tasks) == 0 && len(rest) > 0:
		return fmt.Errorf("no task %s", strings.Join(rest, " "))
	case f.summary:
		printStates(env.out, tasks)
	default:
		printTasks(env.out, tasks, k.System(env.ctx).Memory)
	}
	return nil
}

// allTasks reads the tasks, by PID with the idle ones first. Tasks that could not be read
// are told, and make the answer partial.
func allTasks(env *environment, k *kernel.Kernel) (tasks []kernel.Task, missing []kernel.Missing, err error) {
	for t, terr := range k.Tasks(env.ctx) {
		if terr != nil {
			missing = append(missing, kernel.NewMissing("tasks", terr, ""))
			env.partial = true
		}
		if t.Addr != 0 {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 && len(missing) > 0 {
		return nil, nil, missing[0].Err
	}
	if len(missing) > 0 {
		env.warn("%s could not be read in full; the first: %s", count(len(missing), "task"), missing[0].Why)
	}
	slices.SortStableFunc(tasks, func(a, b kernel.Task) int { return cmp.Compare(a.PID, b.PID) })
	return tasks, missing, nil
}

// wanted tells whether the flags and arguments ask for a task.
func (f *psFlags) wanted(t kernel.Task, args []string) bool {
	switch {
	case f.kernel && !t.KernelThread, f.user && t.KernelThread,
		f.leaders && t.PID != t.TGID, f.state != "" && !strings.EqualFold(f.state, t.State.String()):
		return false
	}
	return len(args) == 0 || slices.ContainsFunc(args, func(a string) bool { return isTask(t, a) })
}

// isTask tells whether an argument names a task: its PID, its address or its name.
func isTask(t kernel.Task, arg string) bool {
	if pid, err := strconv.Atoi(arg); err == nil && pid == t.PID {
		return true
	}
	if a, err := strconv.ParseUint(strings.TrimPrefix(arg, "0x"), 16, 64); err == nil && a == t.Addr {
		return true
	}
	return arg == t.Comm
}

// printTasks prints crash's table.
func printTasks(w io.Writer, tasks []kernel.Task, memory uint64) {
	fmt.Fprintln(w, "      PID    PPID  CPU       TASK        ST  %MEM      VSZ      RSS  COMM")
	for _, t := range tasks {
		mark := " "
		if t.OnCPU {
			mark = ">"
		}
		name := printable(t.Comm)
		if t.KernelThread {
			name = "[" + name + "]"
		}
		share := 0.0
		if memory > 0 {
			share = 100 * float64(t.RSS) / float64(memory)
		}
		fmt.Fprintf(w, "%s %7d %7d %3d  %16x  %-2s %5.1f %8d %8d  %s\n",
			mark, t.PID, t.PPID, t.CPU, t.Addr, t.State, share, t.VSZ/1024, t.RSS/1024, name)
	}
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

type psTask struct {
	Task    hexAddress `json:"task"`
	PID     int        `json:"pid"`
	TGID    int        `json:"tgid"`
	Comm    string     `json:"comm"`
	PPID    int        `json:"ppid"`
	State   string     `json:"state"`
	CPU     int        `json:"cpu"`
	OnCPU   bool       `json:"on_cpu"`
	Kernel  bool       `json:"kernel_thread"`
	RSS     uint64     `json:"rss_bytes"`
	VSZ     uint64     `json:"vsz_bytes"`
	StartNS int64      `json:"start_ns"`
}

func psDocument(tasks []kernel.Task, missing []kernel.Missing) any {
	list := make([]psTask, 0, len(tasks))
	for _, t := range tasks {
		list = append(list, psTask{
			hexAddress(t.Addr), t.PID, t.TGID, t.Comm, t.PPID, t.State.String(), t.CPU, t.OnCPU, t.KernelThread,
			t.RSS, t.VSZ, int64(t.Start),
		})
	}
	return struct {
		Schema  int              `json:"schema"`
		Tasks   []psTask         `json:"tasks"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, append([]kernel.Missing{}, missing...)}
}
