package triage

import (
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/oops"
)

// The culprit is the first frame of the faulting context that is not plumbing: from the instruction pointer
// outwards, over reliable frames, no further than to the place that was merely interrupted. Frames marked "?"
// are asked only when no reliable one answers; plumbing itself is blamed, as likely, when nothing else is left.

// blameless are the kinds that no function is to blame for: somebody asked, or the hardware, or user space.
var blameless = map[oops.Kind]string{
	oops.SysRq: "asked for", oops.NMI: "came from outside", oops.InitKilled: "user space ended",
	oops.MachineCheck: "the hardware", oops.NoRoot: "configuration", oops.NoInit: "configuration",
	oops.None: "no crash", oops.Watchdog: "came from outside",
}

// noticed are the kinds that a watchdog notices from an interrupt: not its frames count but those of what it
// interrupted.
var noticed = map[oops.Kind]bool{oops.SoftLockup: true, oops.HardLockup: true, oops.RCUStall: true}

// candidate is a frame that may be to blame.
type candidate struct {
	oops.Frame
	role role
	pc   bool // the instruction pointer itself
}

// findCulprit finds where the blame for o lies, and how sure that is. A nil Culprit is an answer too.
func findCulprit(o *oops.Oops) (*Culprit, Confidence) {
	if _, ok := blameless[o.Kind]; ok {
		return nil, Sure
	}
	cs := candidates(o)
	if o.Kind == oops.OutOfMemory && userFault(o) {
		return nil, Sure
	}
	if o.Kind == oops.StackOverflow {
		if c := recursion(cs); c != nil {
			return c.culprit("the function that calls itself over and over"), Sure
		}
	}
	if c, why := pick(cs, false); c != nil {
		return c.culprit(why), Sure
	}
	c, _ := pick(cs, true)
	switch {
	case c != nil && o.Kind == oops.BadJump:
		// Nothing was pushed since the call: the top of the stack is its return address.
		return c.culprit("its return address is on top of the stack"), Likely
	case c != nil:
		return c.culprit("first frame that is not plumbing, from an unreliable trace"), Guess
	}
	for _, c := range cs {
		if c.blamable() {
			return c.culprit("everything in its trace is plumbing"), Likely
		}
	}
	return nil, Likely
}

// blamable reports whether plumbing may be blamed when nothing else can: where the processor stood, or a
// function that works for its caller.
func (c *candidate) blamable() bool {
	if c.Symbol == "" || c.Unsure || c.role == roleReporting || c.role == roleIdle {
		return false
	}
	return c.pc || c.role != roleIRQ && c.role != roleEntry
}

// pick takes the first candidate that is not plumbing; unsure ones only when asked to.
func pick(cs []candidate, unsure bool) (*candidate, string) {
	for i := range cs {
		c := &cs[i]
		switch {
		case c.Symbol == "" || c.role != roleNone || c.Unsure && !unsure:
			continue
		case c.pc:
			return c, "where the processor stood"
		case i > 0 && cs[0].pc && cs[0].Symbol == "":
			return c, "called an address without code"
		case i > 0 && cs[0].pc && cs[0].role == roleLock:
			return c, "waits in " + Function(cs[0].Symbol)
		case i > 0 && cs[0].pc:
			return c, "called " + Function(cs[0].Symbol) + ", which noticed"
		}
		return c, "first frame that is not plumbing"
	}
	return nil, ""
}

// candidates are the frames of the faulting context, the innermost first.
func candidates(o *oops.Oops) []candidate {
	var out []candidate
	if o.PC != nil {
		out = append(out, candidate{Frame: *o.PC, role: roleOf(o.PC.Symbol), pc: true})
		if o.PC.Context == oops.InUser {
			return nil
		}
	}
	if o.LR != nil && o.PC != nil && o.PC.Symbol == "" {
		out = append(out, candidate{Frame: *o.LR, role: roleOf(o.LR.Symbol)})
	}
	trace := o.Trace
	if noticed[o.Kind] && o.PC == nil {
		trace = interrupted(trace)
	}
	for i, f := range trace {
		c := candidate{Frame: f, role: roleOf(f.Symbol), pc: f.Interrupted && o.PC == nil}
		if f.Context == oops.InUser || i > 0 && leavesIRQ(trace[i-1], f) || entersIRQ(out, c) {
			break
		}
		if f.Interrupted && o.PC == nil {
			out = out[:0] // an exception came in here; what is above only handled it
		}
		out = append(out, c)
	}
	return out
}

// entersIRQ reports whether c is the reliable frame by which an interrupt came in, with frames of its handling
// before it.
func entersIRQ(before []candidate, c candidate) bool {
	return c.role == roleIRQ && !c.Unsure && len(before) > 0 && !strings.HasPrefix(c.Symbol, "asm_call_") &&
		(strings.HasPrefix(c.Symbol, "asm_") || c.Context != oops.InIRQ)
}

// leavesIRQ reports whether the trace goes from the frames of an interrupt, a, to what it came into, b.
func leavesIRQ(a, b oops.Frame) bool {
	inside := a.Context == oops.InIRQ || a.Context == oops.InSoftIRQ || a.Context == oops.InNMI
	return inside && b.Context != a.Context || b.Interrupted && isIRQ(a)
}

func isIRQ(f oops.Frame) bool { return roleOf(f.Symbol) == roleIRQ }

// interrupted is the part of a trace that an interrupt came into: from the instruction pointer on, or from
// behind the entry code on machines that print no such.
func interrupted(trace []oops.Frame) []oops.Frame {
	for i, f := range trace {
		if f.Interrupted {
			return trace[i:]
		}
	}
	for i := len(trace) - 1; i >= 0; i-- {
		if isIRQ(trace[i]) {
			return trace[i+1:]
		}
	}
	return trace
}

// recursion finds the function that fills a stack: at least a third of the reliable frames, and three.
func recursion(cs []candidate) *candidate {
	count, reliable := make(map[string]int), 0
	for _, c := range cs {
		if !c.Unsure && c.Symbol != "" {
			count[Function(c.Symbol)]++
			reliable++
		}
	}
	for i, c := range cs {
		if n := count[Function(c.Symbol)]; c.role == roleNone && n >= 3 && n*3 >= reliable {
			return &cs[i]
		}
	}
	return nil
}

// userFault reports whether memory ran out while a page of user space was brought in: nobody's fault in
// particular.
func userFault(o *oops.Oops) bool {
	for _, f := range o.Trace {
		switch Function(f.Symbol) {
		case "handle_mm_fault", "__handle_mm_fault", "filemap_fault", "do_anonymous_page", "exc_page_fault",
			"do_page_fault", "__do_page_fault", "pagefault_out_of_memory":
			return true
		}
	}
	return false
}

func (c *candidate) culprit(why string) *Culprit {
	offset := c.Offset
	return &Culprit{
		Function: Function(c.Symbol), Offset: &offset, Module: c.Module, Address: c.Address, Why: why,
	}
}

// blockedCulprit finds the function that waits, in the stack of a blocked task.
func blockedCulprit(trace []oops.Frame) *candidate {
	for _, unsure := range []bool{false, true} {
		for _, f := range trace {
			c := candidate{Frame: f, role: roleOf(f.Symbol)}
			if c.role == roleNone && c.Symbol != "" && c.Unsure == unsure {
				return &c
			}
		}
	}
	return nil
}

// hungCulprit blames for hung tasks: the function of a single one, or only the module when several tasks, each
// in a function of its own, block each other.
func hungCulprit(tasks []oops.Task) (*Culprit, Confidence) {
	functions, modules := make(map[string]*candidate), make(map[string]bool)
	var names []string
	for _, task := range tasks {
		if c := blockedCulprit(task.Trace); c != nil {
			if functions[Function(c.Symbol)] == nil {
				names = append(names, fmt.Sprintf("%s waits in %s", task.Comm, Function(c.Symbol)))
			}
			functions[Function(c.Symbol)], modules[c.Module] = c, true
		}
	}
	switch {
	case len(functions) == 0:
		return nil, Likely
	case len(functions) == 1:
		for _, c := range functions {
			return c.culprit("the function that waits"), Likely
		}
	case len(modules) == 1:
		for m := range modules {
			if m != "" {
				return &Culprit{Module: m, Why: strings.Join(names, ", ")}, Likely
			}
		}
	}
	return nil, Likely
}
