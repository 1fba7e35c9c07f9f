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

type irqFlags struct {
	dump     *dumpFlags
	used     bool
	affinity bool
	softirqs bool
	counts   bool
	cpus     cpuSet
	json     bool
}

func irqCommand() command {
	return command{
		name: "irq", group: "The system", args: "DUMP [NUMBER…]",
		short: "interrupts: who handles them, how often they came",
		long: `Prints the struct irq_desc of each interrupt and who handles it. Counts are
those of the moment when the kernel died.`,
		example: "kautopsy irq -s /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &irqFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.counts, "counts", "s", false, "how often each CPU served them, as /proc/interrupts")
			fs.VarP(&f.cpus, "cpu", "c", "with -s: only these `CPUS`: 1, or 0,2-3")
			fs.BoolVarP(&f.affinity, "affinity", "a", false, "which CPUs may serve them")
			fs.BoolVarP(&f.softirqs, "softirqs", "b", false, "softirqs: their functions, and on which CPUs they were raised")
			fs.BoolVarP(&f.used, "used", "u", false, "only those that somebody handles")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *irqFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if f.softirqs {
		return f.vectors(env, k, rest)
	}
	irqs, err := f.choose(env, k, rest)
	if err != nil {
		return err
	}
	lack := lacking{env: env}
	for _, q := range irqs {
		lack.all(q.Missing)
	}
	if f.json {
		return f.document(env, k, irqs, lack)
	}
	lack.tell()
	switch {
	case f.counts:
		return f.printCounts(env, k, irqs, len(rest) > 0)
	case f.affinity:
		printAffinity(env, irqs)
	default:
		printIRQs(env, irqs)
	}
	return nil
}

// choose picks the interrupts that are asked for.
func (f *irqFlags) choose(env *environment, k *kernel.Kernel, args []string) ([]sched.IRQ, error) {
	var numbers []int
	for _, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil || n < 0 {
			return nil, usagef("%q is no number of an interrupt", a)
		}
		numbers = append(numbers, n)
	}
	irqs, err := sched.IRQs(env.ctx, k)
	if err != nil {
		return nil, err
	}
	irqs = slices.DeleteFunc(irqs, func(q sched.IRQ) bool {
		return numbers != nil && !slices.Contains(numbers, q.Number) || (f.used || f.affinity) && len(q.Actions) == 0
	})
	if len(irqs) == 0 && numbers != nil {
		return nil, fmt.Errorf("no interrupt %s", strings.Join(args, " "))
	}
	return irqs, nil
}

// printIRQs prints crash's table.
func printIRQs(env *environment, irqs []sched.IRQ) {
	fmt.Fprintln(env.out, " IRQ   IRQ_DESC/_DATA      IRQACTION      NAME")
	for _, q := range irqs {
		if len(q.Actions) == 0 {
			fmt.Fprintf(env.out, "%3d   %016x      (unused)\n", q.Number, q.Addr)
			continue
		}
		for i, a := range q.Actions {
			head := fmt.Sprintf("%3d   %016x", q.Number, q.Addr)
			if i > 0 {
				head = strings.Repeat(" ", len(head))
			}
			fmt.Fprintf(env.out, "%s  %016x  %q  %s\n", head, a.Addr, printable(a.Name), printable(a.Handler.String()))
		}
	}
}

func printAffinity(env *environment, irqs []sched.IRQ) {
	fmt.Fprintln(env.out, "IRQ NAME                 AFFINITY")
	for _, q := range irqs {
		var names []string
		for _, a := range q.Actions {
			names = append(names, printable(a.Name))
		}
		fmt.Fprintf(env.out, "%3d %-20s %s\n", q.Number, strings.Join(names, ","), cpuList(q.Affinity))
	}
}

// cpuList spells CPUs as "0-3,8".
func cpuList(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		last := i
		for last+1 < len(cpus) && cpus[last+1] == cpus[last]+1 {
			last++
		}
		part := strconv.Itoa(cpus[i])
		if last > i {
			part += "-" + strconv.Itoa(cpus[last])
		}
		parts = append(parts, part)
		i = last + 1
	}
	return strings.Join(parts, ",")
}

// printCounts prints what /proc/interrupts would.
func (f *irqFlags) printCounts(env *environment, k *kernel.Kernel, irqs []sched.IRQ, named bool) error {
	online := k.OnlineCPUs()
	only := func(counts []uint64) string {
		var b strings.Builder
		for i, n := range counts {
			if f.cpus.has(online[i]) {
				fmt.Fprintf(&b, " %10d", n)
			}
		}
		return b.String()
	}
	head := "    "
	for _, cpu := range online {
		if f.cpus.has(cpu) {
			head += fmt.Sprintf(" %10s", fmt.Sprintf("CPU%d", cpu))
		}
	}
	fmt.Fprintln(env.out, head)
	for _, q := range irqs {
		if q.Listed() || named {
			fmt.Fprintf(env.out, "%3d:%s  %s\n", q.Number, only(q.Counts), printable(q.Line()))
		}
	}
	if named {
		return nil
	}
	arch, err := sched.ArchInterrupts(env.ctx, k)
	for _, c := range arch {
		fmt.Fprintf(env.out, "%s:%s  %s\n", c.Label, only(c.Counts), c.What)
	}
	return err
}

// vectors prints the softirqs as crash does, and where they were raised.
func (f *irqFlags) vectors(env *environment, k *kernel.Kernel, rest []string) error {
	if err := noMore(rest); err != nil {
		return err
	}
	vectors, err := sched.SoftIRQs(env.ctx, k)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(env.out, softirqDocument(vectors, k.OnlineCPUs()))
	}
	fmt.Fprintln(env.out, "SOFTIRQ_VEC      ACTION")
	for _, v := range vectors {
		line := fmt.Sprintf("%7s  %016x  <%s>", fmt.Sprintf("[%d]", v.Number), v.Action.Addr, printable(v.Action.String()))
		if v.Action.Addr == 0 {
			line = fmt.Sprintf("%7s  %016x  (none)", fmt.Sprintf("[%d]", v.Number), 0)
		}
		if on := raisedOn(v, k.OnlineCPUs()); on != nil {
			line += "  raised on CPU " + cpuList(on)
		}
		fmt.Fprintln(env.out, line)
	}
	return nil
}

// raisedOn are the CPUs among those online on which the softirq waits.
func raisedOn(v sched.SoftIRQ, online []int) (cpus []int) {
	for i, yes := range v.Pending {
		if yes {
			cpus = append(cpus, online[i])
		}
	}
	return cpus
}

func softirqDocument(vectors []sched.SoftIRQ, online []int) any {
	type vector struct {
		Number int         `json:"number"`
		Name   string      `json:"name"`
		Action functionRef `json:"action"`
		Raised []int       `json:"raised_cpus"`
	}
	docs := make([]vector, 0, len(vectors))
	for _, v := range vectors {
		docs = append(docs, vector{v.Number, v.Name, refFunction(v.Action), append([]int{}, raisedOn(v, online)...)})
	}
	return struct {
		Schema   int              `json:"schema"`
		SoftIRQs []vector         `json:"softirqs"`
		Missing  []kernel.Missing `json:"missing"`
	}{schema, docs, []kernel.Missing{}}
}

type irqItem struct {
	IRQ      int         `json:"irq"`
	Address  hexAddress  `json:"address"`
	Chip     string      `json:"chip,omitempty"`
	HWIRQ    *uint64     `json:"hwirq,omitempty"`
	Flow     string      `json:"flow,omitempty"`
	Trigger  string      `json:"trigger,omitempty"`
	Handle   functionRef `json:"handle"`
	Actions  []irqAction `json:"actions"`
	Affinity []int       `json:"affinity,omitempty"`
	Counts   []uint64    `json:"counts,omitempty"`
	Listed   bool        `json:"in_proc_interrupts"`
}

type irqAction struct {
	Address hexAddress   `json:"address"`
	Name    string       `json:"name"`
	Handler functionRef  `json:"handler"`
	Thread  *functionRef `json:"thread_fn,omitempty"`
	Flags   hexAddress   `json:"flags"`
	Task    *taskRef     `json:"thread,omitempty"`
}

func (f *irqFlags) document(env *environment, k *kernel.Kernel, irqs []sched.IRQ, lack lacking) error {
	type other struct {
		Label  string   `json:"label"`
		What   string   `json:"what"`
		Counts []uint64 `json:"counts"`
	}
	docs, others := make([]irqItem, 0, len(irqs)), []other{}
	for _, q := range irqs {
		doc := irqItem{
			IRQ: q.Number, Address: hexAddress(q.Addr), Chip: q.Chip, Flow: q.Flow, Trigger: q.Trigger, Handle: refFunction(q.Handle),
			Actions: make([]irqAction, 0, len(q.Actions)), Affinity: q.Affinity, Counts: q.Counts, Listed: q.Listed(),
		}
		if q.Mapped {
			doc.HWIRQ = &q.HWIRQ
		}
		for _, a := range q.Actions {
			action := irqAction{hexAddress(a.Addr), a.Name, refFunction(a.Handler), nil, hexAddress(a.Flags), refTask(a.Task)}
			if a.Thread.Addr != 0 {
				fn := refFunction(a.Thread)
				action.Thread = &fn
			}
			doc.Actions = append(doc.Actions, action)
		}
		docs = append(docs, doc)
	}
	arch, err := sched.ArchInterrupts(env.ctx, k)
	lack.add("interrupts without a number", err)
	for _, c := range arch {
		others = append(others, other{c.Label, c.What, c.Counts})
	}
	return printJSON(env.out, struct {
		Schema  int              `json:"schema"`
		CPUs    []int            `json:"cpus"`
		IRQs    []irqItem        `json:"irqs"`
		Others  []other          `json:"others"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, append([]int{}, k.OnlineCPUs()...), docs, others, lack.document()})
}
