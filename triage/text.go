package triage

import (
	"bytes"
	"strings"

	"github.com/kautopsy/kautopsy/oops"
)

const (
	tailLines = 10 // of the log before the report
	tailBytes = 512
)

// Text answers from kernel text alone: a console capture, vmcore-dmesg.txt, a journal. The Report and the Log
// are never nil; when the text holds no report, the verdict is [oops.Unknown] and the error wraps
// [oops.ErrNoReport].
func Text(text []byte) (*Report, *oops.Log, error) {
	log, err := oops.Parse(text)
	r := FromLog(log)
	if len(log.Oopses) > 0 {
		r.LogTail = tail(text, log.Oopses[0].FirstLine)
	}
	return r, log, err
}

// FromLog is the Report of a text that was already parsed. LogTail, which a Log does not hold, stays empty.
func FromLog(log *oops.Log) *Report { return judged(log, nil) }

// judged is the Report of a log, and of the memory it stood in where that is at hand.
func judged(log *oops.Log, s *scene) *Report {
	r := &Report{
		Schema: Schema, Findings: []Finding{}, Blocked: []Blocked{}, Locks: []Lock{}, Stacks: []Stacks{},
		LogTail: []string{}, Missing: []Missing{},
	}
	if len(log.Oopses) == 0 {
		r.Verdict = Verdict{Kind: oops.Unknown, Headline: "no kernel report in the text", Confidence: Guess}
		return r
	}
	o := gathered(log)
	told := *o // what the log alone says
	seen := s.amend(o)
	v, p := judge(o, s)
	r.Verdict, r.Signature = v, signatureOf(o, &v)
	r.Panic = panicOf(o, v.Culprit)
	r.Blocked = blocked(log, o)
	r.System = system(log, o)
	r.Findings = findings(log, o, &v, p)
	r.Missing = missing(o)
	s.addTo(r, &told, o, seen)
	return r
}

// gathered is the report that counts; for hung tasks with those of the same pass of khungtaskd added, since
// only together they tell who waits for whom.
func gathered(log *oops.Log) *oops.Oops {
	first := *log.Oopses[0]
	if first.Kind != oops.HungTask {
		return &first
	}
	first.Tasks = nil
	for _, o := range log.Oopses {
		if o.Kind == oops.HungTask && o.Boot == first.Boot && o.FirstLine >= log.Oopses[0].FirstLine {
			first.Tasks = append(first.Tasks, o.Tasks...)
		}
	}
	return &first
}

// judge gives the verdict on one report.
func judge(o *oops.Oops, s *scene) (Verdict, *poisoned) {
	v := Verdict{Kind: o.Kind, Title: o.Title, CPU: o.CPU, Confidence: Sure}
	p := poisonOf(o)
	if p != nil && p.kind != "" && mistakable[o.Kind] {
		v.Kind, v.Confidence = p.kind, Likely
	}
	var c Confidence
	if o.Kind == oops.HungTask {
		v.Culprit, c = s.hungCulprit(o.Tasks)
	} else {
		v.Culprit, c = findCulprit(o)
	}
	v.Confidence = weaker(v.Confidence, c)
	switch {
	case o.Title == "" && o.Kind == oops.Unknown:
		v.Confidence = Guess
	case o.Title == "":
		v.Confidence = weaker(v.Confidence, Likely) // told by the stack alone
	}
	if o.Comm == "" && o.PC == nil && len(o.Trace) == 0 && len(o.Tasks) == 0 {
		v.Confidence = Guess // a headline and nothing behind it
	}
	if o.Comm != "" || o.PID != nil {
		v.Task = &Task{PID: o.PID, Comm: o.Comm}
	}
	context, blameless := contextOf(o)
	v.Context = context
	v.Headline = headline(o, &v)
	v.Detail = detail(o, p, blameless, s.freedText(v.Kind), s.outOfMemory(v.Kind), s.deadlock(o))
	return v, p
}

// mistakable are the kinds as which a use of freed memory shows, when no checker caught it.
var mistakable = map[oops.Kind]bool{oops.GeneralProtection: true, oops.PagingFault: true, oops.BadJump: true}

// panicOf is the state of the crashed CPU.
func panicOf(o *oops.Oops, c *Culprit) *Panic {
	p := &Panic{Registers: o.Registers, CodeBytes: o.Code, Code: []Instruction{}, Trace: []Frame{}}
	trace := o.Trace
	if o.PC != nil {
		trace = append([]oops.Frame{*o.PC}, trace...)
	}
	p.Trace = frames(trace, c)
	return p
}

// frames turns the frames of a text into those of the document; the first that is c is marked.
func frames(trace []oops.Frame, c *Culprit) []Frame {
	out := make([]Frame, 0, len(trace))
	for _, f := range trace {
		g := Frame{N: len(out), Kind: frameKind(f), Address: f.Address, Symbol: f.Symbol, Module: f.Module}
		if f.Symbol != "" {
			offset := f.Offset
			g.Offset = &offset
		}
		if c != nil && c.Function != "" && Function(f.Symbol) == c.Function && *c.Offset == f.Offset {
			g.Culprit = true
			c = nil
		}
		out = append(out, g)
	}
	return out
}

func frameKind(f oops.Frame) string {
	switch {
	case f.Unsure:
		return "guess"
	case f.Interrupted:
		return "interrupted"
	case f.Context == oops.InIRQ || f.Context == oops.InSoftIRQ:
		return "irq"
	case f.Context == oops.InNMI:
		return "nmi"
	case f.Context == oops.InException:
		return "exception"
	}
	return "call"
}

// blocked lists the tasks that the log shows waiting, in the crashed boot, each once with its last state.
func blocked(log *oops.Log, o *oops.Oops) []Blocked {
	out, at := []Blocked{}, make(map[int]int)
	add := func(t oops.Task) {
		b := blockedTask(t)
		if t.PID == nil {
			out = append(out, b)
		} else if i, seen := at[*t.PID]; seen {
			out[i] = b
		} else {
			at[*t.PID] = len(out)
			out = append(out, b)
		}
	}
	for _, x := range log.Oopses {
		for _, t := range x.Tasks {
			if x.Boot == o.Boot && x.Kind == oops.HungTask {
				add(t)
			}
		}
	}
	for _, q := range log.Requests {
		for _, t := range q.Tasks {
			if q.Boot == o.Boot && t.State == "D" {
				add(t)
			}
		}
	}
	return out
}

func blockedTask(t oops.Task) Blocked {
	b := Blocked{
		Task: Task{PID: t.PID, Comm: t.Comm}, State: t.State, Seconds: t.Seconds, WaitsOn: t.WaitsOn, Owner: t.Owner,
		Frames: frames(t.Trace, nil),
	}
	if c := blockedCulprit(t.Trace); c != nil {
		b.Culprit, b.Module = Function(c.Symbol), c.Module
	}
	return b
}

// system is what the text tells of the machine.
func system(log *oops.Log, o *oops.Oops) *System {
	s := &System{
		Kernel: Kernel{Release: o.Release, Version: o.Version}, Hardware: o.Hardware, Taint: o.Taint,
		TaintWords: oops.TaintWords(o.Taint),
	}
	if s.Kernel.Release == "" && o.Boot < len(log.Boots) {
		s.Kernel.Release = log.Boots[o.Boot].Release
	}
	if o.Time != nil {
		ns := o.Time.Nanoseconds()
		s.UptimeNS = &ns
	}
	return s
}

// tail is the lines before line first, without their line ends.
func tail(text []byte, first int) []string {
	lines := []string{}
	for n := 1; n < first && len(text) > 0; n++ {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		if n >= first-tailLines {
			line = line[:min(len(line), tailBytes)]
			lines = append(lines, strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "?"))
		}
		text = rest
	}
	return lines
}
