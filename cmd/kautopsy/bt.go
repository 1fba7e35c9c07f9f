package main

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
)

type btFlags struct {
	dump   *dumpFlags
	active bool
	all    bool
	cpus   cpuSet
	leave  string

	offset, hex    bool
	lines, locals  bool
	full, symbolic bool
	entries        bool
	text, textAll  bool
	raw            bool
	ref            string
	json           bool
}

func btCommand() command {
	return command{
		name: "bt", group: "What happened", args: "DUMP [PID|TASK|COMM…]",
		short: "stack of a task; without one of the task that crashed",
		long: `Unwinds by the tables in the dump itself: ORC on x86_64, frame records on arm64.
Where a stack does not come to its proper end the reason follows; where the
tasks cannot be read it begins at the registers that the notes have of each CPU;
frames that are no more than words on the stack are marked with "?". -t, -T, -e
and -r do not unwind, they show what lies on the task's own stack. -l takes file
and line from the kernel's vmlinux (-k): below a frame first those of the
functions that the compiler inlined there, then those of the frame's own. -L
adds their arguments and local variables: name = value (type), and what a
pointer leads to where that has a name. <optimised out>: the compiler kept no
value there; <rbx not kept>: it was in a register that a function called since
has used.`,
		example: "kautopsy bt -a /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &btFlags{dump: addCodeFlags(fs)}
			fs.BoolVarP(&f.active, "active", "a", false, "the tasks that ran, one a CPU")
			fs.VarP(&f.cpus, "cpu", "c", "the tasks that ran on these `CPUS`: 1, or 0,2-3")
			fs.StringVarP(&f.leave, "leave", "n", "", "with -a or -c: not the `idle` tasks")
			fs.BoolVar(&f.all, "all", false, "every task")
			fs.BoolVarP(&f.offset, "symbol-offset", "s", false, "show each frame's offset in its function")
			fs.BoolVarP(&f.hex, "hex", "x", false, "with -s: in hexadecimal")
			fs.BoolVarP(&f.lines, "lines", "l", false, "file and line of each frame, which needs a vmlinux")
			fs.BoolVarP(&f.locals, "locals", "L", false, "-l, and the arguments and local variables of each frame")
			fs.BoolVarP(&f.full, "full", "f", false, "the stack memory of each frame")
			fs.BoolVarP(&f.symbolic, "full-symbolic", "F", false, "the same, addresses of kernel and modules by name")
			fs.BoolVarP(&f.entries, "exceptions", "e", false, "only exception frames: the registers that entries into the kernel saved")
			fs.BoolVarP(&f.text, "text", "t", false, "every return address on the stack (a scan)")
			fs.BoolVarP(&f.textAll, "text-all", "T", false, "the same, from the far end of the stack on")
			fs.BoolVarP(&f.raw, "raw", "r", false, "the whole stack, word by word")
			fs.StringVarP(&f.ref, "reference", "R", "", "only stacks that have to do with `REF`: a function, or an address on the stack")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// btPrinter is one run of bt.
type btPrinter struct {
	env     *environment
	k       *kernel.Kernel
	u       *kernel.Unwinder
	f       *btFlags
	refAddr uint64       // of -R, 0 for none
	lines   *sourceLines // of -l and -L, else nil
	style   kernel.ValueStyle
	printed int
}

func (f *btFlags) run(env *environment, args []string) error {
	if f.leave != "" && (f.leave != "idle" || !f.active && !f.cpus.given()) {
		return usagef("-n takes the word idle, beside -a or -c")
	}
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	tasks, missing, err := f.choose(env, k, rest)
	if err != nil {
		return f.fromNotes(env, k, rest, err)
	}
	u, err := k.Unwinder(env.ctx)
	if err != nil {
		return err
	}
	b := &btPrinter{env: env, k: k, u: u, f: f, refAddr: f.reference(k)}
	if f.lines || f.locals {
		b.lines = newSourceLines(env, k)
	}
	if f.locals {
		b.style = valueStyle(env, k, radixFlags{})
	}
	if f.json {
		return printJSON(env.out, btDocument{schema, b.documents(tasks), append([]kernel.Missing{}, missing...)})
	}
	for _, t := range tasks {
		b.task(t)
	}
	if f.ref != "" && b.printed == 0 {
		return fmt.Errorf("no stack has to do with %s", f.ref)
	}
	return nil
}

// reference is the address that -R gives, or that its symbol has.
func (f *btFlags) reference(k *kernel.Kernel) uint64 {
	if s, err := k.Symbol(f.ref); err == nil {
		return s.Addr
	}
	a, err := strconv.ParseUint(strings.TrimPrefix(f.ref, "0x"), 16, 64)
	if err != nil {
		return 0
	}
	return a
}

// task prints one task's stack.
func (b *btPrinter) task(t kernel.Task) {
	var s kernel.Stack
	scan := b.f.text || b.f.textAll || b.f.entries || b.f.raw
	if !scan || b.f.ref != "" {
		s = b.unwind(t)
		if b.f.ref != "" && !b.refers(t, s) {
			return
		}
	}
	if b.printed++; b.printed > 1 {
		fmt.Fprintln(b.env.out)
	}
	if scan {
		b.scan(t)
		return
	}
	b.print(t, s)
}

// unwind walks a stack; what could not be done is in it.
func (b *btPrinter) unwind(t kernel.Task) kernel.Stack {
	s, err := b.u.Stack(b.env.ctx, t)
	if err != nil {
		s.Why = err
	}
	b.env.met(s.Why)
	return s
}

// choose picks the tasks whose stacks are asked for.
func (f *btFlags) choose(env *environment, k *kernel.Kernel, args []string) ([]kernel.Task, []kernel.Missing, error) {
	running := f.active || f.cpus.given()
	if !f.all && !running {
		return pickOrCrashed(env, k, args)
	}
	tasks, missing, err := pickTasks(env, k, args)
	if err != nil || !running {
		return tasks, missing, err
	}
	tasks = slices.DeleteFunc(slices.Clone(tasks), func(t kernel.Task) bool {
		return !t.OnCPU || !f.cpus.has(t.CPU) || f.leave == "idle" && t.PID == 0
	})
	slices.SortStableFunc(tasks, func(a, b kernel.Task) int { return a.CPU - b.CPU })
	if len(tasks) == 0 && f.cpus.given() {
		return nil, nil, fmt.Errorf("no task ran on CPU %s; the dump has %s", f.cpus.text, count(k.CPUs(), "CPU"))
	}
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

// print writes a task's stack in crash's form.
func (b *btPrinter) print(t kernel.Task, s kernel.Stack) {
	fmt.Fprintln(b.env.out, taskHead(t))
	b.stack(t, s)
}

func (b *btPrinter) stack(t kernel.Task, s kernel.Stack) {
	w := b.env.out
	if len(s.Frames) == 0 && s.Complete {
		fmt.Fprintln(w, "    (in user mode)")
		if s.Start != nil {
			printFrameRegs(w, s.Start)
		}
	}
	var mem kernel.StackMemory
	if b.f.full || b.f.symbolic {
		var err error
		mem, err = b.u.Memory(t)
		b.env.met(err)
	}
	locals := b.newStackLocals(s)
	for i, fr := range s.Frames {
		mark := ""
		if fr.Kind == kernel.FrameGuess {
			mark = "? "
		}
		fmt.Fprintf(w, "%3s [%016x] %s%s at %x%s\n", fmt.Sprintf("#%d", i), stackSlot(b.k, fr), mark, printable(b.f.function(fr)), fr.Addr, moduleOf(fr))
		b.sources(fr, locals.frame(fr, i))
		if fr.Regs != nil {
			printFrameRegs(w, fr.Regs)
		}
		if mem.Words != nil {
			b.frameMemory(mem, s.Frames, i)
		}
	}
	if s.Why != nil {
		fmt.Fprintf(w, "    stops here: %s\n", printable(s.Why.Error()))
	}
}

// sources prints the lines of a frame, those of functions inlined there with their names, and
// below each the variables of its function.
func (b *btPrinter) sources(fr kernel.Frame, scopes []kernel.Scope) {
	if b.lines == nil {
		return
	}
	lines := b.lines.frame(fr)
	for i := range max(len(lines), len(scopes)) {
		if i < len(lines) {
			s := lines[i]
			inlined := ""
			if s.Inlined {
				inlined = fmt.Sprintf("  %s (inlined)", printable(s.Function))
			}
			fmt.Fprintf(b.env.out, "    %s%s\n", crashLine(s), inlined)
		}
		if i < len(scopes) {
			b.printLocals(scopes[i].Locals)
		}
	}
}

// function is the name of a frame, with -s the offset behind it.
func (f *btFlags) function(fr kernel.Frame) string {
	switch {
	case fr.Symbol.Name == "":
		return "(unknown)"
	case f.offset && f.hex:
		return fmt.Sprintf("%s+%#x", fr.Symbol.Name, fr.Offset)
	case f.offset:
		return fmt.Sprintf("%s+%d", fr.Symbol.Name, fr.Offset)
	}
	return fr.Symbol.Name
}

// moduleOf is " [module]" behind a frame, "" for the kernel's own.
func moduleOf(fr kernel.Frame) string {
	if fr.Symbol.Module == "" {
		return ""
	}
	return " [" + printable(fr.Symbol.Module) + "]"
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
func printFrameRegs(w io.Writer, regs interface {
	Get(name string) (uint64, bool)
	All() iter.Seq2[string, uint64]
},
) {
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
