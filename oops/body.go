package oops

import "strings"

const nmiBacktrace = "NMI backtrace for cpu "

// row is one kind of line in the midst of a report: how it begins (blanks before it do not count) and who
// reads what follows.
type row struct {
	prefix string
	read   func(t *thread, rest string, l *line)
}

// rows are the lines that begin in a fixed way. Frames and registers, which do not, come after them.
// A longer prefix stands before a shorter one that it begins with.
func rows() []row {
	return []row{
		{"CPU: ", func(t *thread, s string, _ *line) { t.cpuLine("CPU: " + s) }},
		{"Pid: ", func(t *thread, s string, _ *line) { t.cpuLine("Pid: " + s) }},
		{"CPU ", (*thread).oldCPULine},
		{"Hardware name: ", func(t *thread, s string, _ *line) { t.state.Hardware = strings.TrimSpace(s) }},
		{"Workqueue: ", func(t *thread, s string, _ *line) { t.state.workLine(s) }},
		{"Modules linked in:", (*thread).modules},
		{"Tainted: [", ignore},
		{"Tainted: ", func(t *thread, s string, _ *line) { t.state.kernelLine("Tainted: " + s) }},
		{"Not tainted ", func(t *thread, s string, _ *line) { t.state.kernelLine("Not tainted " + s) }},

		{"Call Trace:", (*thread).openTrace},
		{"Call trace:", (*thread).openTrace},
		{"Backtrace:", (*thread).openTrace},
		{"stack backtrace:", (*thread).endTrace},
		{"Code: ", (*thread).code},
		{"Instruction dump:", ignore},
		{"Krnl Code: ", (*thread).code},
		{"---[ end trace ", (*thread).end},
		{"---[ end Kernel panic", (*thread).end},

		{"RIP: ", (*thread).pc},
		{"RIP  ", (*thread).pc},
		{"EIP: ", (*thread).eip},
		{"IP: ", (*thread).pc},
		{"EIP is at ", (*thread).pc},
		{"PC is at ", (*thread).pc},
		{"pc : ", (*thread).pc},
		{"epc : ", (*thread).epc},
		{"NIP [", func(t *thread, s string, l *line) { t.pc("["+s, l) }},
		{"Krnl PSW : ", (*thread).psw},
		{"LR is at ", (*thread).lr},
		{"lr : ", (*thread).lr},
		{"ra : ", (*thread).lr},
		{"LR [", func(t *thread, s string, l *line) { t.lr("["+s, l) }},

		{"#PF: ", func(t *thread, s string, _ *line) { t.withOops(func(o *Oops) { o.pageFaultLine("#PF: " + s) }) }},
		{"KASAN: ", func(t *thread, s string, _ *line) {
			t.withOops(func(o *Oops) { o.fault().Notes = append(o.fault().Notes, "KASAN: "+s) })
		}},
		{"ESR = ", func(t *thread, s string, _ *line) { t.withOops(func(o *Oops) { o.fault().setESR(hexAfter(s, "")) }) }},
		{"Failing address: ", func(t *thread, s string, _ *line) { // s390x
			t.withOops(func(o *Oops) { o.fault().Address = hexAfter(s, "") })
		}},

		{"INFO: task ", (*thread).owner},
		{"task:", (*thread).taskLine},
		{nmiBacktrace, (*thread).otherCPU},
		{"Sending NMI ", (*thread).endTrace},
		{"Allocated by ", (*thread).related},
		{"Freed by ", (*thread).related},
		{"Last potentially related work", (*thread).related},
		{"allocated by ", (*thread).related},
		{"freed by ", (*thread).related},
		{"Uninit was ", (*thread).related},
		{"The buggy address ", (*thread).endTrace},
		{"Memory state around", (*thread).endTrace},

		{"PID: ", func(t *thread, s string, _ *line) { t.sessionTask("PID", s) }},
		{"COMMAND: ", func(t *thread, s string, _ *line) { t.sessionTask("COMMAND", s) }},
		{"[exception RIP: ", (*thread).exceptionRIP},

		{"Mem-Info:", (*thread).endTrace},
		{"[  pid  ]", (*thread).taskTable},
		{"[ pid ]", (*thread).taskTable},
		{"oom-kill:", (*thread).oomKill},
		{"Out of memory: Kill", (*thread).killed},
		{"Memory cgroup out of memory: Kill", (*thread).killed},
		{"Killed process ", func(t *thread, s string, l *line) { t.killed("Killed process "+s, l) }},
	}
}

// rowIndex is rows by first byte.
var rowIndex = indexRows()

func indexRows() (index [256][]row) {
	for _, r := range rows() {
		index[r.prefix[0]] = append(index[r.prefix[0]], r)
	}
	return index
}

// body takes a line that is no headline.
func (t *thread) body(l *line) {
	if t.oops == nil && t.request == nil {
		t.afterCut(l)
		return
	}
	if t.stale(l) {
		t.close()
		return
	}
	if t.ended {
		return
	}
	s := strings.TrimRight(string(l.msg), " ")
	bare := strings.TrimLeft(s, " \t")
	bare = strings.TrimLeft(strings.TrimPrefix(bare, "rcu: "), " \t")
	if t.row(bare, l) || t.frame(s) || t.registers(bare) || t.listed(bare, l) || t.pcInProse(s) {
		t.touch(l)
	}
}

// afterCut keeps the lines between "cut here" and the headline: what WARN() was given to say.
func (t *thread) afterCut(l *line) {
	if t.cut != 0 && l.number-t.cut <= cutLines && len(l.msg) > 0 {
		t.message = append(t.message, strings.TrimSpace(string(l.msg)))
	}
}

// row tries the lines that begin in a fixed way.
func (t *thread) row(s string, l *line) bool {
	if s == "" {
		return false
	}
	if t.state == nil {
		t.state = &State{} // SysRq output: what belongs to no task and no CPU goes nowhere
	}
	for _, r := range rowIndex[s[0]] {
		if strings.HasPrefix(s, r.prefix) {
			r.read(t, s[len(r.prefix):], l)
			return true
		}
	}
	return false
}

// frame tries an entry of a trace. A web page or a mail may have lost the blanks and the marks before it.
func (t *thread) frame(s string) bool {
	if t.trace == nil {
		return false
	}
	c, rest, marked := cutMarks(s, t.context)
	t.context = c
	f, ok := parseFrame(rest)
	if !ok {
		return marked && strings.TrimSpace(rest) == ""
	}
	if len(*t.trace) < maxFrames {
		f.Symbol, f.Module, f.Context = t.p.intern(f.Symbol), t.p.intern(f.Module), c
		*t.trace = append(*t.trace, f)
	}
	return true
}

// registers tries a line of registers. Within a trace they are those of the place that was interrupted.
func (t *thread) registers(s string) bool {
	if _, _, _, ok := cutRegister(s); !ok || t.state == nil {
		return false
	}
	set := &t.state.Registers
	if f := t.interrupted(); f != nil {
		set = &f.Registers
	}
	if *set == nil {
		*set = make(map[string]Address)
	}
	return registers(s, *set)
}

// interrupted is the last frame of the open trace, if an instruction pointer printed there made it.
func (t *thread) interrupted() *Frame {
	if t.trace == nil || len(*t.trace) == 0 {
		return nil
	}
	if f := &(*t.trace)[len(*t.trace)-1]; f.Interrupted {
		return f
	}
	return nil
}

// listed tries lines whose form depends on the report: table rows, stalled CPUs, old task lines.
func (t *thread) listed(s string, l *line) bool {
	switch {
	case t.modulesAt == l.number-1:
		return t.moreModules(s, l)
	case t.table != nil:
		return t.oomRow(s)
	case t.oops != nil && t.oops.Kind == RCUStall:
		return t.oops.stalled(s)
	case t.request != nil || t.oops != nil && t.oops.Kind == HungTask:
		return t.oldTaskLine(s, l)
	}
	return false
}

// pcInProse finds an instruction pointer that a text quotes in a sentence behind a headline:
// "so RIP is: [<ffffffff812cdb54>] ? tcp_enter_loss+0x1d3/0x23b".
func (t *thread) pcInProse(s string) bool {
	if t.oops == nil || t.oops.PC != nil || t.oops.CPU != nil || t.oops.PanicState != nil {
		return false
	}
	at := strings.Index(s, "RIP")
	open := strings.Index(s, "[<")
	if at < 0 || open < at || open-at > 16 {
		return false
	}
	f, ok := programCounter(s[open:])
	if ok && f.Symbol != "" {
		t.oops.PC = &f
	}
	return ok
}

func ignore(*thread, string, *line) {}

// withOops applies read to the open report.
func (t *thread) withOops(read func(*Oops)) {
	if t.oops != nil {
		read(t.oops)
	}
}
