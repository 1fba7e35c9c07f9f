package oops

import "strings"

// The readers of the lines that show one CPU's state; rows has the lines.

// cpuLine takes the line with CPU, task and kernel. A second one in a report is no part of it: a dump_stack of
// somebody else.
func (t *thread) cpuLine(s string) {
	if t.state.Comm != "" && strings.Contains(s, "omm: ") {
		t.close()
		return
	}
	t.state.cpuLine(s)
}

// oldCPULine reads "CPU 0", which 2.6 prints on a line of its own.
func (t *thread) oldCPULine(s string, _ *line) {
	if n, rest, ok := cutInt(s); ok && strings.TrimSpace(rest) == "" && t.state.CPU == nil {
		t.state.CPU = &n
	}
}

func (t *thread) modules(s string, l *line) {
	t.trace = nil
	t.state.moduleLine(s)
	t.modulesAt = l.number
}

// moreModules takes the rest of a module list that was too long for one record of printk.
func (t *thread) moreModules(s string, l *line) bool {
	words, _, _ := strings.Cut(s, "[")
	for _, w := range strings.Fields(words) {
		name, _, _ := strings.Cut(w, "(")
		if run(name, isSymbol) != len(name) || isRegister(name) {
			return false
		}
	}
	t.state.moduleLine(s)
	t.modulesAt = l.number
	return true
}

// openTrace begins a trace of what is being read. A second trace of the same CPU or task is another's.
func (t *thread) openTrace(s string, _ *line) {
	switch {
	case t.task != nil:
		t.trace = &t.task.Trace
	case t.heap != nil:
		t.trace = &t.heap.Trace
	default:
		t.trace = &t.state.Trace
	}
	t.context = ""
	if len(*t.trace) != 0 {
		t.trace = nil
	} else if s != "" {
		t.frame(s)
	}
}

func (t *thread) endTrace(string, *line) { t.trace = nil }

// code takes the bytes round the instruction pointer. Those of an interrupted place are left out.
func (t *thread) code(s string, _ *line) {
	if t.interrupted() != nil {
		return
	}
	t.trace = nil
	if t.state.Code == "" {
		t.state.Code = strings.TrimSpace(s)
	}
}

// end takes the line that ends a report; what die() prints once more behind it is not read.
func (t *thread) end(s string, _ *line) {
	id, _ := word(s)
	if t.oops != nil && id != "" && run(id, isHex) == len(id) {
		t.oops.EndTrace = id
	}
	t.flush()
	t.ended = true
}

// pc takes the instruction pointer. In a trace it is a place that was interrupted.
func (t *thread) pc(s string, _ *line) {
	f, ok := programCounter(s)
	if !ok {
		return
	}
	if t.trace != nil && len(*t.trace) > 0 && len(*t.trace) < maxFrames {
		f.Interrupted = true
		if f.Context == "" {
			f.Context = t.context
		}
		*t.trace = append(*t.trace, f)
		return
	}
	if old := t.state.PC; old == nil || old.Symbol == "" && f.Symbol != "" {
		if old != nil && f.Address == nil {
			f.Address = old.Address
		}
		t.state.PC = &f
	}
}

// eip reads i386's "EIP: 0060:[<c1234567>] EFLAGS: 00010246 CPU: 0".
func (t *thread) eip(s string, l *line) {
	t.pc(s, l)
	if n := intAfter(s, "CPU: "); n != nil && t.state.CPU == nil {
		t.state.CPU = n
	}
}

// epc reads riscv64's "epc : fn+0x10/0x20" and "epc : ffffffff80002e4e ra : ...".
func (t *thread) epc(s string, l *line) {
	if strings.Contains(s, "+0x") {
		t.pc(s, l)
	} else {
		t.registers("epc : " + s)
	}
}

// psw reads s390x's "Krnl PSW : 0704c00180000000 00000000001234 (fn+0x10/0x20)".
func (t *thread) psw(s string, l *line) {
	if _, place, ok := strings.Cut(s, "("); ok {
		t.pc(place, l)
	}
}

func (t *thread) lr(s string, _ *line) {
	if f, ok := programCounter(s); ok && t.state.LR == nil && t.trace == nil {
		t.state.LR = &f
	}
}

// otherCPU begins the backtrace that a CPU prints because another asked for it by NMI.
func (t *thread) otherCPU(s string, _ *line) {
	t.flush()
	n, _, ok := cutInt(s)
	if !ok {
		return
	}
	t.cpu = &State{CPU: &n}
	t.state = t.cpu
}

// related begins the stack of who allocated or freed an object.
func (t *thread) related(_ string, l *line) {
	t.flush()
	if t.oops == nil {
		return
	}
	t.heap = &Stack{Heading: strings.TrimSpace(string(l.msg)), Line: l.number}
	t.trace = &t.heap.Trace
}
