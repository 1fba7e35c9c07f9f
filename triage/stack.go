package triage

import (
	"iter"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
)

// The stack in memory is a better witness of a crash than the trace in the log: it has no
// words that merely look like return addresses, and it is there when the log is not. So the
// frames of a report are replaced by those of its stack, if it is the same one, and the
// rules for text judge them.

// taken are the functions in which a CPU takes its own registers for the dump: it was not
// interrupted there.
var taken = []string{"__crash_kexec", "crash_kexec", "machine_kexec", "crash_setup_regs", "crash_save_cpu", "panic", "vpanic"}

// died is a stack without what the CPU did behind its panic: it waits there, when no kernel
// takes over, until the dump is taken from outside.
func died(st kernel.Stack) kernel.Stack {
	if len(st.Frames) == 0 || slices.Contains(taken, Function(st.Frames[0].Symbol.Name)) {
		return st
	}
	for i, f := range st.Frames {
		if name := Function(f.Symbol.Name); f.Kind != kernel.FrameGuess && (name == "panic" || name == "vpanic") {
			st.Frames = st.Frames[i:]
			return st
		}
	}
	return st
}

// textFrames turns a stack into frames of a report.
func textFrames(st kernel.Stack) []oops.Frame {
	out := make([]oops.Frame, len(st.Frames))
	context := oops.InTask
	for i, f := range slices.Backward(st.Frames) {
		if f.Regs != nil && !f.Regs.User() {
			context = contextOfEntry(f.Kind, context)
		}
		addr := oops.Address(f.Addr)
		out[i] = oops.Frame{
			Symbol: f.Symbol.Name, Offset: f.Offset, Size: f.Symbol.Size, Module: f.Symbol.Module, Address: &addr,
			Unsure: f.Kind == kernel.FrameGuess, Context: context, Interrupted: interruptedAt(st.Frames, i),
		}
	}
	return out
}

// contextOfEntry is the context of the frames above an entry into the kernel.
func contextOfEntry(kind kernel.FrameKind, below oops.Context) oops.Context {
	switch kind {
	case kernel.FrameIRQ:
		return oops.InIRQ
	case kernel.FrameNMI:
		return oops.InNMI
	case kernel.FrameException:
		return oops.InException
	}
	return below
}

// interruptedAt tells whether something came in at a frame: a fault, an interrupt, or the
// dump itself.
func interruptedAt(frames []kernel.Frame, i int) bool {
	if i > 0 {
		return frames[i-1].Regs != nil
	}
	return frames[0].Kind == kernel.FrameInterrupted && !slices.Contains(taken, Function(frames[0].Symbol.Name))
}

// subject is the CPU that a report is about: the one that is stuck, if another one noticed
// it, else the one that crashed.
func (s *scene) subject(o *oops.Oops) (c *cpuScene, ok bool) {
	cpu := s.crash
	if elsewhere, stuck := s.stuckElsewhere(o); stuck {
		cpu = elsewhere
	}
	if cpu < 0 && o.CPU != nil { // the dump is not the kernel's own
		cpu = *o.CPU
	}
	if c = s.cpu(cpu); c == nil || len(c.stack.Frames) == 0 {
		return nil, false
	}
	return c, true
}

// cpu is the CPU of that number, nil if nothing is known of it.
func (s *scene) cpu(number int) *cpuScene {
	i := slices.IndexFunc(s.cpus, func(c cpuScene) bool { return c.cpu == number })
	if i < 0 {
		return nil
	}
	return &s.cpus[i]
}

// stuckElsewhere is the CPU that is stuck, when it is not the one that noticed and crashed.
func (s *scene) stuckElsewhere(o *oops.Oops) (cpu int, ok bool) {
	if !noticed[o.Kind] || len(o.StuckCPUs) == 0 || slices.Contains(o.StuckCPUs, s.crash) {
		return 0, false
	}
	return o.StuckCPUs[0], true
}

// amend puts what memory knows better into a report. It gives the CPU that the report is
// about if its stack is the report's; another stack is what happened later.
func (s *scene) amend(o *oops.Oops) *cpuScene {
	if s == nil {
		return nil
	}
	s.lastCalls(o.Trace)
	for i := range o.Tasks {
		if pid := o.Tasks[i].PID; pid != nil {
			if t, st, ok := s.byPID(*pid); ok && len(st.Frames) > 0 && t.State.Blocked() {
				o.Tasks[i].Trace = textFrames(st)
			}
		}
	}
	c, ok := s.subject(o)
	if _, elsewhere := s.stuckElsewhere(o); !ok || !elsewhere && !resembles(o, c) {
		return nil
	}
	o.Trace, o.PC, o.LR = textFrames(c.stack), nil, nil
	if c.task.Addr != 0 && (o.PID == nil || o.CPU == nil || *o.CPU != c.cpu) {
		pid := c.task.PID
		o.PID, o.Comm = &pid, c.task.Comm
	}
	o.CPU = &c.cpu
	if o.Registers == nil {
		if _, regs, ok := c.fault(); ok {
			o.Registers = reported(regs)
		}
	}
	s.evaluate(o, c)
	s.freed = s.freedObjects(o, c)
	return c
}

// lastCalls puts right what the kernel prints of a call that does not return and is the last
// instruction of its function: the return address is the begin of the next function. What
// stands there in place of a return address, for kprobes and ftrace, stays.
func (s *scene) lastCalls(trace []oops.Frame) {
	for i := range trace {
		f := &trace[i]
		if i == 0 || s.table == nil || f.Offset != 0 || f.Symbol == "" || f.Interrupted || f.Unsure ||
			strings.Contains(f.Symbol, "trampoline") || strings.HasPrefix(f.Symbol, "ret") {
			continue
		}
		next, err := s.table.Lookup(f.Symbol)
		if err != nil {
			continue
		}
		if sym, off, err := s.table.At(next.Addr - 1); err == nil && sym.Module == f.Module && sym.Addr < next.Addr {
			f.Symbol, f.Offset, f.Size = sym.Name, off+1, sym.Size
		}
	}
}

// resembles tells whether the stack of a CPU is what a report was printed from: it has at
// least half of the report's reliable functions.
func resembles(o *oops.Oops, c *cpuScene) bool {
	trace := o.Trace
	if o.PC != nil {
		trace = append([]oops.Frame{*o.PC}, trace...)
	}
	told, found := 0, 0
	for _, f := range trace {
		if f.Symbol == "" || f.Unsure {
			continue
		}
		told++
		if slices.ContainsFunc(c.stack.Frames, func(g kernel.Frame) bool { return Function(g.Symbol.Name) == Function(f.Symbol) }) {
			found++
		}
	}
	if told == 0 {
		return o.CPU == nil || *o.CPU == c.cpu
	}
	return found*2 >= told
}

// stackFrames are the frames of a stack in the document. The culprit's is marked.
func stackFrames(st kernel.Stack, c *Culprit) []Frame {
	out := make([]Frame, 0, len(st.Frames))
	for _, f := range st.Frames {
		addr, sp, off := oops.Address(f.Addr), oops.Address(f.SP), f.Offset
		g := Frame{N: len(out), Kind: string(f.Kind), Address: &addr, SP: &sp}
		if f.Symbol.Name != "" {
			g.Symbol, g.Module, g.Offset = f.Symbol.Name, f.Symbol.Module, &off
		}
		if c != nil && c.Function != "" && Function(g.Symbol) == c.Function && c.Offset != nil && *c.Offset == off {
			g.Culprit = true
			c = nil
		}
		out = append(out, g)
	}
	return out
}

// registers are those of a note or of an entry into the kernel.
type registers interface {
	Get(name string) (v uint64, ok bool)
	All() iter.Seq2[string, uint64]
}

// fault is the innermost place of a CPU's stack at which something came in, with the
// registers there: those of the entry, or those that the CPU was stopped with.
func (c *cpuScene) fault() (f kernel.Frame, regs registers, ok bool) {
	for i, f := range c.stack.Frames {
		if !interruptedAt(c.stack.Frames, i) {
			continue
		}
		if i > 0 {
			return f, c.stack.Frames[i-1].Regs, true
		}
		return f, c.regs, c.regs.Len() > 0
	}
	return f, nil, false
}

// register reads a register by the first of its names that the processor has.
func register(r registers, names ...string) (v uint64, ok bool) {
	for _, n := range names {
		if v, ok = r.Get(n); ok {
			return v, true
		}
	}
	return 0, false
}

// reported are the registers under the names by which reports have them.
func reported(r registers) map[string]oops.Address {
	out := make(map[string]oops.Address)
	for name, v := range r.All() {
		if len(name) > 1 && name[0] != 'x' { // arm64's are small in reports as well
			name = strings.ToUpper(name)
		}
		out[name] = oops.Address(v)
	}
	return out
}
