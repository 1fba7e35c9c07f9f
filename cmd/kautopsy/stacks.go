package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/stacks"
)

type stacksFlags struct {
	dump  *dumpFlags
	state string
	top   int
	pprof string
	html  string
	http  string
	from  string
	fold  bool
	json  bool
}

func stacksCommand() command {
	return command{
		name: "stacks", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "equal stacks together, the most frequent first",
		long: `One group is tasks in one state with the same functions on their stacks.
FILE - is standard output. The profile has one sample a task:

    kautopsy stacks --pprof st.pb.gz vmcore && go tool pprof -top st.pb.gz

--http serves pprof's flame graph, top, source and disassembly until Ctrl-C; the
code is that of the dump. No browser is opened; the address is on stderr.`,
		example: "kautopsy stacks --html stacks.html /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &stacksFlags{dump: addCodeFlags(fs)}
			fs.StringVar(&f.state, "state", "", "only tasks in `STATE`, several with commas: RU, IN, UN, ID, ST, TR, ZO, DE")
			fs.IntVarP(&f.top, "top", "n", 0, "only the `N` largest groups")
			fs.StringVar(&f.html, "html", "", "write a flame graph to `FILE`: a page that needs nothing else")
			fs.StringVar(&f.pprof, "pprof", "", "write a pprof profile to `FILE`")
			fs.StringVar(&f.http, "http", "", "serve pprof's pages at `ADDR`, HOST:PORT; :PORT is for this machine alone")
			fs.StringVar(&f.from, "source", "", "with --http: the kernel's sources are in `DIR`")
			fs.BoolVar(&f.fold, "folded", false, "a line a group, as flamegraph.pl and speedscope read it")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *stacksFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	list, missing, err := f.read(env, k, rest)
	if err != nil {
		return err
	}
	groups := kernel.GroupStacks(list)
	all := len(groups)
	if f.top > 0 && f.top < len(groups) {
		groups = groups[:f.top]
	}
	switch {
	case f.html != "":
		return writeOutput(env, k.Dump(), f.html, func(w io.Writer) error { return stacks.WriteHTML(w, groups, k.System(env.ctx)) })
	case f.pprof != "":
		return writeOutput(env, k.Dump(), f.pprof, stacks.Profile(list, k.System(env.ctx)).Write)
	case f.http != "":
		return f.serve(env, args[0], k, stacks.Profile(list, k.System(env.ctx)))
	case f.fold:
		return stacks.WriteFolded(env.out, groups)
	case f.json:
		return printJSON(env.out, stacksDocument(groups, missing))
	}
	fmt.Fprintf(env.out, "%s on %s\n", count(len(list), "task"), count(all, "different stack"))
	printGroups(env.out, groups)
	if rest := all - len(groups); rest > 0 {
		fmt.Fprintf(env.out, "\nand %s\n", count(rest, "smaller group"))
	}
	return nil
}

// read unwinds the tasks that are asked for.
func (f *stacksFlags) read(env *environment, k *kernel.Kernel, args []string) ([]kernel.TaskStack, []kernel.Missing, error) {
	states := &taskFilter{}
	if f.state != "" {
		if err := states.addState(f.state); err != nil {
			return nil, nil, err
		}
	}
	tasks, missing, err := pickTasks(env, k, args)
	if err != nil {
		return nil, nil, err
	}
	u, err := k.Unwinder(env.ctx)
	if err != nil {
		return nil, nil, err
	}
	lack := &lacking{env: env, list: missing}
	var list []kernel.TaskStack
	for _, t := range tasks {
		if !states.wanted(t) {
			continue
		}
		s, err := u.Stack(env.ctx, t)
		if t.State.Letter() != "Z" && t.State.Letter() != "X" { // those have given their stacks back
			lack.add(fmt.Sprintf("stack of task %d", t.PID), cmp.Or(err, s.Why))
		}
		list = append(list, kernel.TaskStack{Task: t, Stack: s})
	}
	lack.tell()
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("no task %s", strings.TrimSpace(strings.Join(args, " ")+" "+f.state))
	}
	return list, lack.document(), nil
}

// namesShown is how many tasks of a group are named.
const namesShown = 5

func printGroups(w io.Writer, groups []kernel.StackGroup) {
	for _, g := range groups {
		fmt.Fprintf(w, "\n%5d  %s  %s\n", len(g.Tasks), g.State, groupNames(g.Tasks))
		for _, f := range g.Frames {
			mark := ""
			switch f.Kind {
			case kernel.FrameGuess:
				mark = "? "
			case kernel.FrameException, kernel.FrameIRQ, kernel.FrameNMI:
				mark = "--- "
			}
			fmt.Fprintf(w, "           %s%s\n", mark, printable(groupFrame(f)))
		}
	}
}

// groupNames names some tasks of a group: "w-busy (221), thr-01 (230) and 3 more".
func groupNames(tasks []kernel.Task) string {
	var names []string
	for _, t := range tasks[:min(namesShown, len(tasks))] {
		names = append(names, fmt.Sprintf("%s (%d)", printable(t.Comm), t.PID))
	}
	s := strings.Join(names, ", ")
	if more := len(tasks) - namesShown; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// groupFrame is a frame without its offset, in which the stacks of a group may differ.
func groupFrame(f kernel.Frame) string {
	switch {
	case f.Symbol.Name == "":
		return fmt.Sprintf("%#x", f.Addr)
	case f.Symbol.Module != "":
		return f.Symbol.Name + " [" + f.Symbol.Module + "]"
	}
	return f.Symbol.Name
}

type stacksGroup struct {
	Count  int      `json:"count"`
	State  string   `json:"state"`
	Tasks  []psTask `json:"tasks"`
	Frames []string `json:"frames"`
}

func stacksDocument(groups []kernel.StackGroup, missing []kernel.Missing) any {
	list := make([]stacksGroup, 0, len(groups))
	for _, g := range groups {
		d := stacksGroup{Count: len(g.Tasks), State: g.State.String(), Frames: []string{}}
		for _, t := range g.Tasks {
			d.Tasks = append(d.Tasks, newPSTask(t))
		}
		for _, f := range g.Frames {
			d.Frames = append(d.Frames, groupFrame(f))
		}
		list = append(list, d)
	}
	return struct {
		Schema  int              `json:"schema"`
		Groups  []stacksGroup    `json:"groups"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, append([]kernel.Missing{}, missing...)}
}
