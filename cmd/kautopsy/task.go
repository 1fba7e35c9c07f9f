package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type taskFlags struct {
	dump    *dumpFlags
	members []string
	radix   radixFlags
	json    bool
}

func taskCommand() command {
	return command{
		name: "task", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "task_struct and thread_info of a task, or members of them",
		long: `Without a task it is the one that crashed. MEMBER is a path as struct takes it,
se.vruntime or signal; one that task_struct does not have is looked for in
thread_info.`,
		example: "kautopsy task /var/crash/vmcore -R comm,pid,__state 1",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &taskFlags{dump: addDumpFlags(fs)}
			fs.StringSliceVarP(&f.members, "member", "R", nil, "only these `MEMBERS`, several by commas")
			addRadixFlags(fs, &f.radix)
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *taskFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	tasks, lost, err := pickOrCrashed(env, k, rest)
	if err != nil {
		return err
	}
	p := &taskPrinter{env: env, style: valueStyle(env, k, f.radix), flags: f}
	for _, t := range tasks {
		parts, err := f.parts(env, k, t)
		if err != nil {
			return err
		}
		if err := p.task(t, parts); err != nil {
			return err
		}
	}
	if f.json {
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Tasks   []taskDocument   `json:"tasks"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, append([]taskDocument{}, p.docs...), append(append([]kernel.Missing{}, lost...), p.lost...)})
	}
	return nil
}

// taskPrinter prints tasks, or gathers their documents.
type taskPrinter struct {
	env     *environment
	style   kernel.ValueStyle
	flags   *taskFlags
	docs    []taskDocument
	lost    []kernel.Missing
	printed int
}

// task prints one task.
func (p *taskPrinter) task(t kernel.Task, parts []taskPart) error {
	doc := taskDocument{refTask(t), []objectDocument{}}
	if p.printed++; !p.flags.json {
		if p.printed > 1 {
			fmt.Fprintln(p.env.out)
		}
		fmt.Fprintln(p.env.out, taskHead(t))
	}
	for i, part := range parts {
		vals, err := part.values(part.object)
		if err != nil {
			return err
		}
		for _, v := range vals {
			p.lost = append(p.lost, valueMissing(p.env, fmt.Sprintf("task %d", t.PID), v)...)
		}
		if p.flags.json {
			doc.Objects = append(doc.Objects, part.document(part.object, vals, -1))
			continue
		}
		if i > 0 && p.flags.members == nil {
			fmt.Fprintln(p.env.out)
		}
		part.text(p.env, part.object, vals, p.style, false)
	}
	p.docs = append(p.docs, doc)
	return nil
}

type taskDocument struct {
	*taskRef
	Objects []objectDocument `json:"objects"`
}

// taskPart is a struct of a task, or the members of it that are asked for.
type taskPart struct {
	aggregate
	object kernel.Object
}

// parts are a task's task_struct, and its thread_info, where they hold what is asked for.
func (f *taskFlags) parts(env *environment, k *kernel.Kernel, t kernel.Task) ([]taskPart, error) {
	own := taskPart{aggregate{k: k, t: t.Type}, t.Object}
	info, infoErr := threadInfo(k, t)
	if f.members == nil {
		if infoErr != nil {
			return []taskPart{own}, nil // inside of task_struct, or gone with the stack
		}
		return []taskPart{own, {aggregate{k: k, t: info.Type}, info}}, nil
	}
	other := taskPart{aggregate{k: k, t: info.Type}, info}
	for _, m := range f.members {
		path := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(m), "task_struct."), "thread_info.")
		_, err := t.Type.Member(path)
		switch {
		case err == nil:
			own.members = append(own.members, path)
		case errors.Is(err, symbols.ErrNoMember) && infoErr == nil && info.Has(path):
			other.members = append(other.members, path)
		default:
			return nil, suggest(env, k, err, path, t.Type)
		}
	}
	var parts []taskPart
	for _, p := range []taskPart{own, other} {
		if p.members != nil {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// threadInfo is a task's struct thread_info: a member of task_struct with
// CONFIG_THREAD_INFO_IN_TASK (4.9 on), else at the far end of its stack.
func threadInfo(k *kernel.Kernel, t kernel.Task) (kernel.Object, error) {
	if info, err := t.Member("thread_info"); err == nil {
		return info, nil
	}
	at, err := t.Pointer("stack")
	if err != nil {
		return kernel.Object{}, err
	}
	return k.Cast(at, "struct thread_info")
}
