package oops

import (
	"strings"
	"time"
)

// thread is one caller's run of lines: the report that is open and where the next lines of it go.
type thread struct {
	p      *parser
	caller string

	oops    *Oops    // the open report, or nil
	request *Request // the open SysRq output, or nil
	state   *State   // takes CPU, registers, modules
	trace   *[]Frame // takes frames; nil outside of a trace
	context Context

	task *Task  // being read, appended by flush
	cpu  *State // likewise, a backtrace of another CPU
	heap *Stack // likewise, "Freed by task"

	cut       int      // line of "cut here"
	message   []string // lines behind "cut here"
	last      int      // the last line that belonged to the report
	lastTime  time.Duration
	ended     bool     // the report has had its last line
	modulesAt int      // line of "Modules linked in:", or of its continuation
	table     []string // columns of the task table of an OOM report
}

// headline opens a report, or adds to the open one.
func (t *thread) headline(h headline, l *line) {
	switch {
	case h.class == classCut:
		t.cutHere(l)
	case h.class == classRequest:
		t.openRequest(l)
	case h.class == classPanic:
		t.open(h, l)
		t.oops.Panic = panicText(t.oops.Title)
		t.oops.Kind = endingOf(t.oops.Panic).kind
	case t.merges(h, l):
		t.merge(h, l)
	default:
		t.open(h, l)
	}
}

// cutHere marks where the next report begins, unless the line belongs to one that has only its note yet.
func (t *thread) cutHere(l *line) {
	if t.oops != nil && t.oops.class <= classNote && t.young(l) {
		t.touch(l)
		return
	}
	t.close()
	t.cut, t.last = l.number, l.number
}

// open begins a report at l.
func (t *thread) open(h headline, l *line) {
	first, message := l.number, ""
	if t.cut != 0 && l.number-t.cut <= cutLines {
		first, message = t.cut, strings.Join(t.message, "\n")
	}
	t.close()
	title := strings.TrimSpace(string(l.msg))
	o := &Oops{
		Kind: h.kind, Title: title, FirstLine: first, TitleLine: l.number, Boot: len(t.p.log.Boots) - 1,
		Stamp: string(l.stamp), Caller: string(l.caller), Message: message, class: h.class,
	}
	if l.timed {
		at := l.time
		o.Time = &at
	}
	t.oops, t.state = o, &o.State
	t.p.add(o)
	t.touch(l)
	t.readHeadline(title, l)
}

// merges reports whether a headline continues the open report: a note or hint is followed by the report itself,
// a fault by its die line. None of them merges once the report has shown a CPU or a trace.
func (t *thread) merges(h headline, l *line) bool {
	if t.oops == nil || t.ended || !t.young(l) {
		return false
	}
	switch t.oops.class {
	case classHint:
		return h.class > classHint
	case classNote:
		return h.class > classNote || h.kind == t.oops.Kind
	case classFault:
		return h.class == classDie
	}
	return false
}

// young reports whether the open report has only headlines yet and l is near them.
func (t *thread) young(l *line) bool {
	st := &t.oops.State
	return st.CPU == nil && st.PID == nil && st.Trace == nil && t.request == nil && l.number-t.oops.TitleLine <= noteLines
}

// merge adds a further headline to the open report. The note's kind and title stay; a hint gives only the kind.
func (t *thread) merge(h headline, l *line) {
	o := t.oops
	title := strings.TrimSpace(string(l.msg))
	if o.class == classHint {
		o.Title, o.TitleLine = title, l.number
	}
	if o.Kind == Unknown {
		o.Kind = h.kind
	}
	o.class = max(o.class, h.class)
	t.touch(l)
	t.readHeadline(title, l)
}

// readHeadline takes the facts that a headline itself holds.
func (t *thread) readHeadline(s string, l *line) {
	o := t.oops
	o.dieLine(s, l.number)
	switch o.Kind {
	case NullDereference, PagingFault, GeneralProtection, BadJump:
		if a := faultAddress(s); a != nil && o.fault().Address == nil {
			o.Fault.Address = a
		}
		o.fault().setAccess(s)
	case HungTask:
		t.hungTask(s, l)
	case OutOfMemory:
		o.invoker(s)
	case SoftLockup, HardLockup, RCUStall:
		o.stuck(s)
	}
	if src := source(s); src != nil {
		o.Source = src
	}
	if o.class == classReport {
		o.report = s
	}
}

// openRequest begins the output of a SysRq that shows something.
func (t *thread) openRequest(l *line) {
	t.close()
	_, name, _ := cutLast(strings.TrimSpace(string(l.msg)), ": ")
	t.request = &Request{Name: name, FirstLine: l.number, Boot: len(t.p.log.Boots) - 1}
	if len(t.p.log.Requests) < maxRequests {
		t.p.log.Requests = append(t.p.log.Requests, t.request)
	}
	t.touch(l)
}

// touch notes that l belongs to what is open.
func (t *thread) touch(l *line) {
	t.last = l.number
	if l.timed {
		t.lastTime = l.time
	}
	if t.oops != nil {
		t.oops.LastLine = l.number
	}
	if t.request != nil {
		t.request.LastLine = l.number
	}
}

// stale reports whether what is open must have ended before l.
func (t *thread) stale(l *line) bool {
	limit := maxForeign
	if t.request != nil || t.oops != nil && (t.oops.Kind == OutOfMemory || t.oops.Kind == RCUStall) {
		limit = maxListed
	}
	return l.number-t.last > limit || l.timed && t.lastTime != 0 && l.time > t.lastTime+maxSilence
}

// flush appends what is being read to what it belongs to.
func (t *thread) flush() {
	t.trace, t.context = nil, ""
	var tasks *[]Task
	var cpus *[]State
	switch {
	case t.oops != nil:
		tasks, cpus = &t.oops.Tasks, &t.oops.Backtraces
	case t.request != nil:
		tasks, cpus = &t.request.Tasks, &t.request.Backtraces
	default:
		return
	}
	if t.task != nil {
		*tasks = append(*tasks, *t.task)
	}
	if t.cpu != nil {
		*cpus = append(*cpus, *t.cpu)
	}
	if t.heap != nil && t.oops != nil {
		t.oops.Related = append(t.oops.Related, *t.heap)
	}
	t.task, t.cpu, t.heap = nil, nil, nil
}

// close ends what is open.
func (t *thread) close() {
	t.flush()
	t.oops, t.request, t.state, t.table = nil, nil, nil, nil
	t.cut, t.message, t.ended = 0, nil, false
}

// panicText is what follows "Kernel panic - not syncing: ".
func panicText(title string) string {
	_, text, _ := strings.Cut(title, "not syncing")
	return strings.TrimLeft(text, ": ")
}
