package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
)

func foreachCommand() command {
	return command{
		name: "foreach", group: "Tasks", args: "DUMP [FILTER…] COMMAND [flags] [ARG…]",
		short: "run a command for many tasks: foreach vmcore UN bt",
		long: `Filters are states (RU IN UN ID ST TR ZO DE PA NE), kernel, user, gleader (the
first thread of each process), active (what ran), PIDs, addresses of tasks,
names, and regular expressions of names: 'w-.*'. Of states and of tasks that are
named one must fit, of the others all. A name that is also a filter or a command
is meant with a backslash before it: '\files'. The commands are those that take
tasks: ` + strings.Join(perTask(), ", ") + `.`,
		example: "kautopsy foreach /var/crash/vmcore UN bt",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := addDumpFlags(fs)
			fs.SetInterspersed(false) // the flags behind COMMAND are the command's
			return func(env *environment, args []string) error { return foreach(env, f, args) }
		},
	}
}

// perTask are the commands that foreach runs.
func perTask() []string { return []string{"bt", "ps", "task", "files", "sig", "vm"} }

func foreach(env *environment, dump *dumpFlags, args []string) error {
	if len(args) == 0 {
		return usagef("which dump?")
	}
	if _, err := os.Stat(args[0]); err != nil {
		if dump := laterFile(args[1:]); dump != "" {
			return usagef("the dump comes first: %s %s", shellQuote(dump), shellQuote(args[0]))
		}
	}
	i := slices.IndexFunc(args[1:], func(w string) bool { return slices.Contains(perTask(), w) }) + 1
	if i == 0 {
		return usagef("which command? one of %s", strings.Join(perTask(), ", "))
	}
	var filter taskFilter
	for _, w := range args[1:i] {
		if err := filter.take(w); err != nil {
			return err
		}
	}
	k, _, done, err := dump.openKernel(env, args[:1])
	if err != nil {
		return err
	}
	defer done()
	all, missing, err := allTasks(env, k)
	if err != nil {
		return err
	}
	tasks := slices.DeleteFunc(all, func(t kernel.Task) bool { return !filter.wanted(t) })
	if len(tasks) == 0 {
		return fmt.Errorf("no task fits %s", strings.Join(args[1:i], " "))
	}
	if err := filter.answered(env, tasks); err != nil {
		return err
	}
	env.chosen = &chosenTasks{k, tasks, missing}
	return dispatch(env, slices.Insert(slices.Clone(args[i:]), 1, args[0]))
}

// take takes a word of foreach: what kind of task, a state, or a task.
func (f *taskFilter) take(word string) error {
	switch word {
	case "kernel":
		f.kernel = true
	case "user":
		f.user = true
	case "gleader":
		f.leaders = true
	case "active":
		f.active = true
	default:
		if slices.Contains(kernel.TaskStates(), word) {
			return f.addState(word)
		}
		return f.add(word)
	}
	return nil
}
