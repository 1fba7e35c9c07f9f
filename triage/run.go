package triage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/symbols"
)

// ErrNoKernel: the dump has neither a log nor symbols of a Linux kernel that could be asked.
var ErrNoKernel = errors.New("no Linux kernel found in the dump")

// Run answers from a dump: the verdict of its log, addresses and registers with symbols, and
// what the kernel says of the machine. A layer that is missing is told in Report.Missing and
// the others still answer; only a dump without any of them, VMCOREINFO included, is an
// error, ErrNoKernel with the reasons.
func Run(ctx context.Context, k *kernel.Kernel) (*Report, error) {
	text, logErr := k.LogText(ctx)
	table, symErr := k.AllSymbols(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := k.Info(); err != nil && len(text) == 0 && table == nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKernel, logErr)
	}
	scene := look(ctx, k)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	log, err := oops.Parse(text)
	if o := scene.unreported(); err != nil && o != nil {
		log.Oopses = append(log.Oopses, o)
	}
	r := judged(log, scene)
	switch {
	case err == nil:
		r.LogTail = tail(text, log.Oopses[0].FirstLine)
	case len(log.Oopses) > 0:
		silence(r, logErr)
	}
	r.miss("the end of the dump", k.Dump().Complete(), "what stood there is lost")
	r.miss("the log", logErr, "what the kernel said before it died is not known")
	if table == nil {
		r.miss("symbols", symErr, "addresses have no names")
	} else {
		r.miss("some symbols", symErr, "some addresses have no names")
	}
	n := namer{table}
	r.CPUs = cpus(k, n)
	scene.addCPUs(r.CPUs)
	r.Missing = append(r.Missing, scene.missing...)
	if len(log.Oopses) == 0 {
		r.withoutReport(k, text, scene)
		scene.addState(r)
		scene.addDeadlocks(r)
	}
	if n.table != nil {
		n.place(r)
		r.addLines(ctx, k)
		r.addValues(ctx, k, scene)
	}
	r.addSystem(ctx, k)
	return r, nil
}

func (r *Report) miss(what string, err error, cost string) {
	if err != nil {
		r.Missing = append(r.Missing, Missing{What: what, Why: err.Error(), Cost: cost, Err: err})
	}
}

// withoutReport gives the verdict on a dump whose log holds no report: the machine was
// alive, or the report is lost.
func (r *Report) withoutReport(k *kernel.Kernel, text []byte, s *scene) {
	crashed := noted(k)
	cpu, err := k.CrashCPU()
	if !crashed && len(text) > 0 && errors.Is(err, kernel.ErrNotCrashed) {
		r.Verdict = Verdict{
			Kind: oops.None, Confidence: Likely,
			Headline: "no crash: the kernel was running when the dump was taken",
			Detail:   "its log has no report, it noted no time of a crash, and no CPU was in panic",
		}
		return
	}
	r.Verdict = Verdict{Kind: oops.Unknown, Confidence: Guess, Headline: "what happened is not known"}
	switch {
	case crashed && len(text) == 0:
		r.Verdict.Headline = "the kernel crashed; its log is not in the dump"
	case crashed || err == nil:
		r.Verdict.Headline = "the kernel crashed; its log has no report of it"
	case len(text) == 0:
		r.Verdict.Headline += ": the kernel's log is not in the dump"
	}
	if err == nil {
		r.Verdict.CPU = &cpu
		r.Verdict.Headline += fmt.Sprintf(", CPU %d was in the crash path", cpu)
		if c := s.cpu(cpu); c != nil && c.task.Addr != 0 {
			t := taskOf(c.task)
			r.Verdict.Task = &t
		}
	}
}

// noted tells whether the kernel noted the time of its crash, which it does for kdump.
func noted(k *kernel.Kernel) bool {
	info, err := k.Info()
	if err != nil {
		return false
	}
	_, crashed := info.CrashTime()
	return crashed
}

// CPU is what the notes say of one processor when it stopped.
type CPU struct {
	CPU       int                     `json:"cpu"`
	PID       *int                    `json:"pid,omitempty"`
	Comm      string                  `json:"comm,omitempty"`
	PC        Frame                   `json:"pc"`
	Registers map[string]oops.Address `json:"registers"`
	Frames    []string                `json:"frames,omitempty"` // its stack; none if it ran a process
}

// cpus reads the registers of the notes. QEMU puts the CPU's number where the kernel puts
// the PID, so a PID is only told when the kernel itself saved the registers.
func cpus(k *kernel.Kernel, n namer) []CPU {
	found, _ := k.Dump().CPUs()
	saved := false
	if info, err := k.Info(); err == nil {
		_, saved = info.CrashTime()
	}
	out, numbers := make([]CPU, 0, len(found)), k.NoteCPUs()
	for i, c := range found {
		pc := oops.Address(c.Regs.PC())
		e := CPU{CPU: numbers[i], PC: Frame{Kind: "interrupted", Address: &pc}, Registers: make(map[string]oops.Address)}
		n.name(&e.PC)
		for name, v := range c.Regs.All() {
			e.Registers[name] = oops.Address(v)
		}
		if pid := int(c.Regs.PID); saved {
			e.PID = &pid
		}
		out = append(out, e)
	}
	return out
}

// namer joins names and addresses by the kernel's symbols.
type namer struct{ table *symbols.Table }

// place completes the frames and the culprit of a report: names for addresses, addresses
// for names.
func (n namer) place(r *Report) {
	if r.Panic != nil {
		for i := range r.Panic.Trace {
			n.complete(&r.Panic.Trace[i])
		}
	}
	for _, b := range r.Blocked {
		for i := range b.Frames {
			n.complete(&b.Frames[i])
		}
	}
	if c := r.Verdict.Culprit; c != nil && c.Address == nil && r.Panic != nil {
		if i := slices.IndexFunc(r.Panic.Trace, func(f Frame) bool { return f.Culprit }); i >= 0 {
			c.Address = r.Panic.Trace[i].Address
		}
	}
}

func (n namer) complete(f *Frame) {
	if f.Symbol == "" {
		n.name(f)
		return
	}
	if f.Address != nil || f.Offset == nil {
		return
	}
	if base, ok := n.only(f.Symbol, f.Module); ok {
		a := oops.Address(base + *f.Offset)
		f.Address = &a
	}
}

// name gives a frame that has only an address its symbol.
func (n namer) name(f *Frame) {
	if n.table == nil || f.Address == nil {
		return
	}
	s, off, err := n.table.At(uint64(*f.Address))
	if err != nil {
		return
	}
	f.Symbol, f.Module, f.Offset = s.Name, s.Module, &off
}

// only finds the address of a name that just one symbol of the module has.
func (n namer) only(name, module string) (addr uint64, ok bool) {
	for s := range n.table.Named(name) {
		if s.Module != module {
			continue
		}
		if ok && s.Addr != addr {
			return 0, false
		}
		addr, ok = s.Addr, true
	}
	return addr, ok
}

// addSystem adds what the kernel in the dump says; it knows better than its log.
func (r *Report) addSystem(ctx context.Context, k *kernel.Kernel) {
	s := k.System(ctx)
	if r.System == nil {
		r.System = &System{}
	}
	out := r.System
	out.Kernel = Kernel{Release: s.Release, Version: s.Version, Machine: s.Machine, Nodename: s.Nodename, BuildID: s.BuildID}
	if s.CPUs > 0 {
		out.CPUs = &s.CPUs
	}
	if !s.Date.IsZero() {
		out.Date = s.Date.UTC().Format("2006-01-02T15:04:05Z07:00")
	}
	if ns := s.Uptime.Nanoseconds(); ns > 0 {
		out.UptimeNS = &ns
	}
	if s.Tasks > 0 {
		out.Tasks = &s.Tasks
	}
	if s.Memory > 0 {
		out.MemoryBytes = &s.Memory
	}
	out.Load = s.Load
	if s.Taint != nil {
		out.Taint = kernel.TaintLetters(*s.Taint)
		out.TaintWords = oops.TaintWords(out.Taint)
	}
	if r.Verdict.CPU == nil && r.Verdict.Kind != oops.None {
		if cpu, err := k.CrashCPU(); err == nil {
			r.Verdict.CPU = &cpu
		}
	}
}
