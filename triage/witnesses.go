package triage

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
)

// witness is one that says where the kernel crashed.
type witness struct {
	who string
	cpu int  // -1: does not tell
	pid *int // nil: does not tell
}

// witnesses compare what the log, the kernel's own variables, its tasks and the registers
// say of the CPU and task that crashed.
func (s *scene) witnesses(told *oops.Oops, c *cpuScene) []Finding {
	if s.crash < 0 {
		return nil
	}
	var all []witness
	for _, name := range []string{"panic_cpu", "crashing_cpu"} {
		if cpu, ok := s.variable(name); ok && cpu >= 0 { // -1 where the kernel did not come so far
			all = append(all, witness{who: name, cpu: cpu})
		}
	}
	if c := s.cpu(s.crash); c != nil {
		all = append(all, c.witnesses()...)
	}
	// What a watchdog prints is of the CPU that is stuck, and hung tasks are on none.
	if told.CPU != nil && !noticed[told.Kind] && (c != nil || told.Fatal()) {
		all = append(all, witness{"the log", *told.CPU, told.PID})
	}
	f := Finding{ID: "witnesses", Title: "log, tasks and registers agree on the CPU and task", Severity: Note, Confidence: Sure, Evidence: []Evidence{}}
	var pid *int
	for _, w := range all {
		text := w.who + " says"
		if w.cpu >= 0 {
			text += fmt.Sprintf(" CPU %d", w.cpu)
		}
		if w.pid != nil {
			text += fmt.Sprintf(" PID %d", *w.pid)
		}
		f.Evidence = append(f.Evidence, Evidence{Kind: "memory", Text: text})
		if w.cpu >= 0 && w.cpu != s.crash || pid != nil && w.pid != nil && *w.pid != *pid {
			f.ID, f.Title = "disagreement", "log, tasks and registers disagree on the CPU or task that crashed"
		}
		if pid == nil {
			pid = w.pid
		}
	}
	return []Finding{f}
}

// variable reads an int of the kernel's.
func (s *scene) variable(name string) (v int, ok bool) {
	sym, err := s.k.Symbol(name)
	if err != nil {
		return 0, false
	}
	b := make([]byte, 4)
	if _, err := s.k.ReadVirt(b, sym.Addr); err != nil {
		return 0, false
	}
	return int(int32(s.order().Uint32(b))), true
}

// witnesses are what the memory says of who ran on a CPU. QEMU's notes have the number of
// the CPU for a PID.
func (c *cpuScene) witnesses() (out []witness) {
	if c.task.Addr != 0 {
		pid := c.task.PID
		out = append(out, witness{"the task that is marked as running", c.task.CPU, &pid})
	}
	if pid := int(c.regs.PID); c.regs.Len() > 0 && pid != c.cpu+1 {
		out = append(out, witness{"the note with the registers", -1, &pid})
	}
	return out
}

// sameRegisters compares the registers that the report printed with those in memory.
func sameRegisters(told *oops.Oops, c *cpuScene) []Finding {
	_, regs, ok := c.fault()
	if !ok || told.PC == nil || len(told.Registers) == 0 {
		return nil
	}
	memory := reported(regs)
	f := Finding{
		ID: "registers-differ", Title: "registers in memory are not those of the report", Severity: Note, Confidence: Likely,
		Evidence: []Evidence{}, Advice: "the report is older than the dump, or memory was overwritten",
	}
	for _, name := range slices.Sorted(maps.Keys(told.Registers)) {
		in, found := memory[name]
		if found && in != told.Registers[name] && len(name) == 3 && name != "RSP" {
			f.Evidence = append(f.Evidence, Evidence{Kind: "register", Text: fmt.Sprintf("%s is %s in the report, %s in memory", name, told.Registers[name], in)})
		}
	}
	if len(f.Evidence) == 0 {
		return nil
	}
	return []Finding{f}
}

// senders are the functions in which a CPU waits for another one to run something.
var senders = []string{"smp_call_function_single", "smp_call_function_many_cond", "smp_call_function_many", "on_each_cpu_cond_mask", "smp_call_function", "generic_exec_single"}

// askedFor finds who sent the call during which a CPU crashed.
func (s *scene) askedFor(context Context, c *cpuScene) (out []Finding) {
	if context != IPI {
		return nil
	}
	for i := range s.cpus {
		other := &s.cpus[i]
		at := slices.IndexFunc(other.stack.Frames, func(f kernel.Frame) bool { return slices.Contains(senders, Function(f.Symbol.Name)) })
		if other.cpu == c.cpu || at < 0 {
			continue
		}
		f := other.stack.Frames[at]
		text := fmt.Sprintf("CPU %d waits for another CPU in %s: the call may be from %s", other.cpu, f.Symbol.Name, called(other.task))
		e := Evidence{Kind: "frame", Text: f.String(), Symbol: f.Symbol.Name}
		if cs := textFrames(other.stack); len(cs) > 0 {
			if by := blockedCulprit(cs[at:]); by != nil {
				e.Text += ", called by " + by.String()
			}
		}
		out = append(out, Finding{ID: "call-from", Title: text, Severity: Trace, Confidence: Likely, Evidence: []Evidence{e}})
	}
	return out
}
