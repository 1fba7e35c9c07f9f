package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/sched"
)

type sigFlags struct {
	dump  *dumpFlags
	set   string
	list  bool
	group bool
	json  bool
}

func sigCommand() command {
	return command{
		name: "sig", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "signals of a task: pending, blocked, handlers",
		long: `PRIVATE_PENDING are signals for the thread, SHARED_PENDING for its process.
Behind a queued signal stands who sent it and what with it. Without a task it
is the one that crashed. -s and -l need no dump.`,
		example: "kautopsy sig /var/crash/vmcore 1234",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &sigFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.group, "group", "g", false, "all threads of the process")
			fs.BoolVarP(&f.list, "list", "l", false, "only list the names of the signals")
			fs.StringVarP(&f.set, "sigset", "s", "", "only tell which signals are in `SET`, a hexadecimal mask as SigBlk of /proc/PID/status")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *sigFlags) run(env *environment, args []string) error {
	if f.list {
		for n := 1; n <= 64; n++ {
			fmt.Fprintf(env.out, "%4s %s\n", fmt.Sprintf("[%d]", n), sched.SignalName(n))
		}
		return nil
	}
	if f.set != "" {
		v, err := strconv.ParseUint(strings.TrimPrefix(f.set, "0x"), 16, 64)
		if err != nil {
			return usagef("%q is no mask of signals", f.set)
		}
		fmt.Fprintln(env.out, sched.SignalSet(v))
		return nil
	}
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	tasks, lost, err := pickOrCrashed(env, k, rest)
	if err != nil {
		return err
	}
	if f.group {
		if tasks, err = threadGroups(env, k, tasks); err != nil {
			return err
		}
	}
	docs := make([]sigDocument, 0, len(tasks))
	lack := lacking{env: env}
	for i, t := range tasks {
		s := sched.SignalsOf(env.ctx, k, t)
		lack.all(s.Missing)
		if f.json {
			docs = append(docs, signalDocument(t, s))
			continue
		}
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		first := !f.group || i == 0 || tasks[i-1].TGID != t.TGID
		printSignals(env, t, s, first)
	}
	if f.json {
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Tasks   []sigDocument    `json:"tasks"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, docs, append(lack.document(), lost...)})
	}
	lack.tell()
	return nil
}

// threadGroups are all threads of the processes that tasks belong to.
func threadGroups(env *environment, k *kernel.Kernel, tasks []kernel.Task) ([]kernel.Task, error) {
	all, _, err := allTasks(env, k)
	if err != nil {
		return nil, err
	}
	groups := make(map[int]bool)
	for _, t := range tasks {
		groups[t.TGID] = true
	}
	all = slices.DeleteFunc(all, func(t kernel.Task) bool { return !groups[t.TGID] })
	slices.SortStableFunc(all, func(a, b kernel.Task) int { return a.TGID - b.TGID })
	return all, nil
}

// printSignals prints a task's signals as crash does; what all threads of a process share
// only with the first of them.
func printSignals(env *environment, t kernel.Task, s sched.Signals, first bool) {
	fmt.Fprintln(env.out, taskHead(t))
	if first {
		printHandlers(env, s)
	}
	pending := "no"
	if s.Private.Set&^s.Blocked != 0 || s.Shared.Set&^s.Blocked != 0 {
		pending = "yes"
	}
	fmt.Fprintf(env.out, "SIGPENDING: %s\n   BLOCKED: %s\n", pending, setLine(s.Blocked))
	fmt.Fprintln(env.out, "PRIVATE_PENDING")
	printPending(env, s.Private)
	if first {
		fmt.Fprintln(env.out, "SHARED_PENDING")
		printPending(env, s.Shared)
	}
}

// printHandlers prints what happens on each signal.
func printHandlers(env *environment, s sched.Signals) {
	fmt.Fprintf(env.out, "SIGNAL_STRUCT: %x  NR_THREADS: %d\n", s.Struct, s.Threads)
	if s.Actions == nil {
		fmt.Fprintln(env.out, " (no handlers: the task has ended)")
		return
	}
	fmt.Fprintln(env.out, " SIG    SIGACTION        HANDLER       MASK       FLAGS")
	for _, a := range s.Actions {
		fmt.Fprintf(env.out, "%4s %016x %10s %016x %x", fmt.Sprintf("[%d]", a.Signal), a.Addr, handler(a.Handler), uint64(a.Mask), a.Flags)
		if names := actionFlags(a.Flags); names != "" {
			fmt.Fprintf(env.out, " (%s)", names)
		}
		fmt.Fprintln(env.out)
	}
}

func handler(h uint64) string {
	switch h {
	case sched.SigDfl:
		return "SIG_DFL"
	case sched.SigIgn:
		return "SIG_IGN"
	}
	return fmt.Sprintf("%x", h)
}

// actionNames are the bits of sa_flags (include/uapi/asm-generic/signal-defs.h).
var actionNames = []struct {
	bit  uint64
	name string
}{
	{0x1, "SA_NOCLDSTOP"},
	{0x2, "SA_NOCLDWAIT"},
	{0x4, "SA_SIGINFO"},
	{0x04000000, "SA_RESTORER"},
	{0x08000000, "SA_ONSTACK"},
	{0x10000000, "SA_RESTART"},
	{0x40000000, "SA_NODEFER"},
	{0x80000000, "SA_RESETHAND"},
}

func actionFlags(flags uint64) string {
	var names []string
	for _, n := range actionNames {
		if flags&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, "|")
}

// setLine is a set in hexadecimal with the names behind it.
func setLine(s sched.SignalSet) string {
	if s == 0 {
		return fmt.Sprintf("%016x", uint64(s))
	}
	return fmt.Sprintf("%016x  (%v)", uint64(s), s)
}

func printPending(env *environment, p sched.Pending) {
	fmt.Fprintf(env.out, "    SIGNAL: %s\n", setLine(p.Set))
	if len(p.Queue) == 0 {
		fmt.Fprintln(env.out, "  SIGQUEUE: (empty)")
		return
	}
	fmt.Fprintln(env.out, "  SIGQUEUE:  SIG  SIGINFO")
	for _, q := range p.Queue {
		fmt.Fprintf(env.out, "           %5d  %016x  %s, %s\n", q.Signal, q.Addr, sched.SignalName(q.Signal), sender(q))
	}
}

// sender tells where a signal came from, by what its code says is there.
func sender(q sched.QueuedSignal) string {
	s := signalCode(q.Code)
	switch q.Code {
	case 0, -6:
		s += fmt.Sprintf(" from PID %d, UID %d", q.PID, q.UID)
	case -1, -3:
		s += fmt.Sprintf(" from PID %d, UID %d, value %#x", q.PID, q.UID, q.Value)
	case -2:
		s += fmt.Sprintf(", value %#x", q.Value)
	}
	return s
}

// signalCode is who sent a signal (si_code; include/uapi/asm-generic/siginfo.h).
func signalCode(code int) string {
	switch code {
	case 0:
		return "SI_USER"
	case 0x80:
		return "SI_KERNEL"
	case -1:
		return "SI_QUEUE"
	case -2:
		return "SI_TIMER"
	case -3:
		return "SI_MESGQ"
	case -4:
		return "SI_ASYNCIO"
	case -5:
		return "SI_SIGIO"
	case -6:
		return "SI_TKILL"
	}
	return fmt.Sprintf("code %d", code)
}

type sigDocument struct {
	*taskRef
	Struct  hexAddress  `json:"signal_struct"`
	Threads int         `json:"threads"`
	Blocked hexAddress  `json:"blocked"`
	Ignored hexAddress  `json:"ignored"`
	Caught  hexAddress  `json:"caught"`
	Private sigPending  `json:"pending"`
	Shared  sigPending  `json:"shared_pending"`
	Actions []sigAction `json:"actions"`
}

type sigPending struct {
	Set   hexAddress  `json:"set"`
	Names []string    `json:"names"`
	Queue []sigQueued `json:"queue"`
}

type sigQueued struct {
	Address hexAddress `json:"address"`
	Signal  int        `json:"signal"`
	Name    string     `json:"name"`
	Code    int        `json:"code"`
	Errno   int        `json:"errno"`
	PID     int        `json:"pid"`
	UID     int        `json:"uid"`
	Value   hexAddress `json:"value"`
}

type sigAction struct {
	Signal  int        `json:"signal"`
	Name    string     `json:"name"`
	Address hexAddress `json:"address"`
	Handler hexAddress `json:"handler"`
	Mask    hexAddress `json:"mask"`
	Flags   hexAddress `json:"flags"`
}

func signalDocument(t kernel.Task, s sched.Signals) sigDocument {
	doc := sigDocument{
		taskRef: refTask(t), Struct: hexAddress(s.Struct), Threads: s.Threads, Blocked: hexAddress(s.Blocked),
		Ignored: hexAddress(s.Ignored), Caught: hexAddress(s.Caught),
		Private: pendingDocument(s.Private), Shared: pendingDocument(s.Shared), Actions: make([]sigAction, 0, len(s.Actions)),
	}
	for _, a := range s.Actions {
		doc.Actions = append(doc.Actions, sigAction{
			a.Signal, sched.SignalName(a.Signal), hexAddress(a.Addr), hexAddress(a.Handler), hexAddress(a.Mask), hexAddress(a.Flags),
		})
	}
	return doc
}

func pendingDocument(p sched.Pending) sigPending {
	doc := sigPending{hexAddress(p.Set), append([]string{}, strings.Fields(p.Set.String())...), make([]sigQueued, 0, len(p.Queue))}
	for _, q := range p.Queue {
		doc.Queue = append(doc.Queue, sigQueued{
			hexAddress(q.Addr), q.Signal, sched.SignalName(q.Signal), q.Code, q.Errno, q.PID, q.UID, hexAddress(q.Value),
		})
	}
	return doc
}
