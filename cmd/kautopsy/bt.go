package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
)

type btFlags struct {
	dump   *dumpFlags
	active bool
	all    bool
	offset bool
	json   bool
}

func btCommand() command {
	return command{
		name: "bt", group: "What happened", args: "DUMP [PID|TASK|COMM…]",
		short: "stack of a task; without one of the task that crashed",
		long: `Unwinds by the tables in the dump itself: ORC on x86_64, frame records on arm64.
Where a stack does not come to its proper end the reason follows; frames that
are no more than words on the stack are marked with "?".`,
		example: "kautopsy bt -a /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &btFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.active, "active", "a", false, "the tasks that ran, one a CPU")
			fs.BoolVar(&f.all, "all", false, "every task")
			fs.BoolVarP(&f.offset, "symbol-offset", "s", false, "show each frame's offset in its function")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *btFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	tasks, missing, err := f.choose(env, k, rest)
	if err != nil {
		return err
	}
	u, err := k.Unwinder(env.ctx)
	if err != nil {
		return err
	}
	docs := make([]btStack, 0, len(tasks))
	for i, t := range tasks {
		s, err := u.Stack(env.ctx, t)
		if err != nil {
			s.Why = err
		}
		env.met(s.Why)
		if f.json {
			docs = append(docs, stackDocument(t, s))
			continue
		}
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		f.print(env.out, k, t, s)
	}
	if f.json {
		return printJSON(env.out, btDocument{schema, docs, append([]kernel.Missing{}, missing...)})
	}
	return nil
}

// choose picks the tasks whose stacks are asked for.
func (f *btFlags) choose(env *environment, k *kernel.Kernel, args []string) ([]kernel.Task, []kernel.Missing, error) {
	if !f.all && !f.active {
		return pickOrCrashed(env, k, args)
	}
	tasks, missing, err := pickTasks(env, k, args)
	if err != nil || f.all {
		return tasks, missing, err
	}
	tasks = slices.DeleteFunc(tasks, func(t kernel.Task) bool { return !t.OnCPU })
	slices.SortStableFunc(tasks, func(a, b kernel.Task) int { return a.CPU - b.CPU })
	return tasks, missing, nil
}

// stackSlot is where crash says that a frame is: on x86_64 the word in which the return
// address stands.
func stackSlot(k *kernel.Kernel, f kernel.Frame) uint64 {
	if k.Machine() == "x86_64" && f.Kind != kernel.FrameInterrupted {
		return f.SP - 8
	}
	return f.SP
}

// print writes a stack in crash's form.
func (f *btFlags) print(w io.Writer, k *kernel.Kernel, t kernel.Task, s kernel.Stack) {
	fmt.Fprintln(w, taskHead(t))
	if len(s.Frames) == 0 && s.Complete {
		fmt.Fprintln(w, "    (in user mode)")
	}
	for i, fr := range s.Frames {
		name := fr.Symbol.Name
		if name == "" {
			name = "(unknown)"
		}
		if f.offset {
			name += fmt.Sprintf("+%d", fr.Offset)
		}
		mark := ""
		if fr.Kind == kernel.FrameGuess {
			mark = "? "
		}
		line := fmt.Sprintf("%s [%016x] %s%s at %x", fmt.Sprintf("%3s", fmt.Sprintf("#%d", i)), stackSlot(k, fr), mark, printable(name), fr.Addr)
		if fr.Symbol.Module != "" {
			line += " [" + printable(fr.Symbol.Module) + "]"
		}
		fmt.Fprintln(w, line)
		if fr.Regs != nil {
			printFrameRegs(w, fr.Regs)
		}
	}
	if s.Why != nil {
		fmt.Fprintf(w, "    stops here: %s\n", printable(s.Why.Error()))
	}
}

// crashRegs are the registers of x86_64 in the order and under the names of crash.
var crashRegs = [][2]string{
	{"rip", "RIP"},
	{"rsp", "RSP"},
	{"eflags", "RFLAGS"},
	{"rax", "RAX"},
	{"rbx", "RBX"},
	{"rcx", "RCX"},
	{"rdx", "RDX"},
	{"rsi", "RSI"},
	{"rdi", "RDI"},
	{"rbp", "RBP"},
	{"r8", "R8"},
	{"r9", "R9"},
	{"r10", "R10"},
	{"r11", "R11"},
	{"r12", "R12"},
	{"r13", "R13"},
	{"r14", "R14"},
	{"r15", "R15"},
	{"orig_rax", "ORIG_RAX"},
	{"cs", "CS"},
	{"ss", "SS"},
}

// regsPerLine is how many registers crash prints on a line.
const regsPerLine = 3

// printFrameRegs prints the registers of what an entry interrupted, in crash's order where
// the processor is x86_64, else in the order of its pt_regs.
func printFrameRegs(w io.Writer, regs *kernel.PtRegs) {
	order := crashRegs
	if _, ok := regs.Get("rip"); !ok {
		order = nil
		for name := range regs.All() {
			order = append(order, [2]string{name, strings.ToUpper(name)})
		}
	}
	for i, r := range order {
		v, _ := regs.Get(r[0])
		width := 16
		if r[0] == "cs" || r[0] == "ss" {
			width = 4
		}
		if r[0] == "eflags" {
			width = 8
		}
		sep := "  "
		switch {
		case i%regsPerLine == 0:
			sep = "    "
		case r[1] == "R8" || r[1] == "R9":
			sep = "   "
		}
		fmt.Fprintf(w, "%s%s: %0*x", sep, r[1], width, v)
		if i%regsPerLine == regsPerLine-1 || i == len(order)-1 {
			fmt.Fprintln(w)
		}
	}
}

type btDocument struct {
	Schema  int              `json:"schema"`
	Stacks  []btStack        `json:"stacks"`
	Missing []kernel.Missing `json:"missing"`
}

type btStack struct {
	Task     hexAddress            `json:"task"`
	PID      int                   `json:"pid"`
	Comm     string                `json:"comm"`
	CPU      int                   `json:"cpu"`
	State    string                `json:"state"`
	Frames   []btFrame             `json:"frames"`
	Regs     map[string]hexAddress `json:"registers,omitempty"` // of user space
	How      string                `json:"how"`
	Complete bool                  `json:"complete"`
	Why      string                `json:"why,omitempty"`
}

type btFrame struct {
	N       int        `json:"n"`
	Kind    string     `json:"kind"`
	Address hexAddress `json:"address"`
	SP      hexAddress `json:"sp"`
	Symbol  string     `json:"symbol,omitempty"`
	Offset  uint64     `json:"offset"`
	Module  string     `json:"module,omitempty"`
}

func stackDocument(t kernel.Task, s kernel.Stack) btStack {
	doc := btStack{
		Task: hexAddress(t.Addr), PID: t.PID, Comm: t.Comm, CPU: t.CPU, State: t.State.String(),
		Frames: make([]btFrame, 0, len(s.Frames)), How: s.How, Complete: s.Complete,
	}
	for i, f := range s.Frames {
		doc.Frames = append(doc.Frames, btFrame{
			i, string(f.Kind), hexAddress(f.Addr), hexAddress(f.SP), f.Symbol.Name, f.Offset, f.Symbol.Module,
		})
	}
	if user, ok := s.User(); ok {
		doc.Regs = make(map[string]hexAddress)
		for name, v := range user.All() {
			doc.Regs[name] = hexAddress(v)
		}
	}
	if s.Why != nil {
		doc.Why = s.Why.Error()
	}
	return doc
}
