package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/sched"
)

type waitqFlags struct {
	dump *dumpFlags
	json bool
}

func waitqCommand() command {
	return command{
		name: "waitq", group: "Tasks", args: "DUMP ADDRESS|SYMBOL|STRUCT.MEMBER ADDRESS",
		short: "who waits on a wait queue",
		long: `ADDRESS is that of a wait_queue_head, in hexadecimal; STRUCT.MEMBER with the
address of a STRUCT is the wait queue, simple wait queue or completion in it.
An entry that belongs to no task, like that of epoll, is told with the function
that a wake-up calls.`,
		example: "kautopsy waitq /var/crash/vmcore kauditd_wait",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &waitqFlags{dump: addDumpFlags(fs)}
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *waitqFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	head, err := waitQueue(env, k, rest)
	if err != nil {
		return err
	}
	waiters, err := sched.WaitQueue(env.ctx, k, head)
	if err != nil && len(waiters) == 0 {
		return err
	}
	env.met(err)
	if f.json {
		return printJSON(env.out, waitqDocument(head, waiters, err))
	}
	for _, w := range waiters {
		if w.Task.Addr != 0 {
			fmt.Fprintln(env.out, taskHead(w.Task))
			continue
		}
		fmt.Fprintf(env.out, "no task: entry %x, private %x, wakes by %s\n", w.Addr, w.Private, printable(w.Function.String()))
	}
	if len(waiters) == 0 {
		fmt.Fprintf(env.out, "wait queue %s (%x) is empty\n", printable(rest[0]), head.Addr)
	}
	if err != nil {
		env.warn("the others could not be read: %v", err)
	}
	return nil
}

// waitQueue finds the wait queue that the arguments name.
func waitQueue(env *environment, k *kernel.Kernel, args []string) (kernel.Object, error) {
	switch len(args) {
	case 0:
		return kernel.Object{}, usagef("which wait queue?")
	case 1:
		at, err := resolve(env, k, args[0])
		if err != nil {
			return kernel.Object{}, err
		}
		head, err := k.Cast(at, "struct wait_queue_head")
		if err != nil {
			head, err = k.Cast(at, "struct __wait_queue_head") // until 4.12
		}
		return head, err
	case 2:
		spelled, member, ok := strings.Cut(args[0], ".")
		if !ok {
			return kernel.Object{}, usagef("%q is no STRUCT.MEMBER", args[0])
		}
		at, err := resolve(env, k, args[1])
		if err != nil {
			return kernel.Object{}, err
		}
		o, err := k.Cast(at, "struct "+spelled)
		if err != nil {
			return kernel.Object{}, err
		}
		return o.Member(member)
	}
	return kernel.Object{}, noMore(args[2:])
}

func waitqDocument(head kernel.Object, waiters []sched.Waiter, err error) any {
	type waiter struct {
		Address   hexAddress   `json:"address"`
		Task      *taskRef     `json:"task,omitempty"`
		Exclusive bool         `json:"exclusive"`
		Private   hexAddress   `json:"private"`
		Function  *functionRef `json:"function,omitempty"`
	}
	docs := make([]waiter, 0, len(waiters))
	for _, w := range waiters {
		doc := waiter{hexAddress(w.Addr), refTask(w.Task), w.Flags&1 != 0, hexAddress(w.Private), nil}
		if w.Function.Addr != 0 {
			fn := refFunction(w.Function)
			doc.Function = &fn
		}
		docs = append(docs, doc)
	}
	return struct {
		Schema  int              `json:"schema"`
		Address hexAddress       `json:"address"`
		Waiters []waiter         `json:"waiters"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, hexAddress(head.Addr), docs, missing("wait queue", err)}
}
