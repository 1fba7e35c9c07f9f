package main

import (
	"github.com/kautopsy/kautopsy/kernel"
)

type btDocument struct {
	Schema  int              `json:"schema"`
	Stacks  []btStack        `json:"stacks"`
	Missing []kernel.Missing `json:"missing"`
}

type btStack struct {
	Task     hexAddress            `json:"task"`
	PID      int                   `json:"pid"`
	Comm     string                `json:"comm"`
	CPU      int                   `json:"cpu"`
	State    string                `json:"state"`
	Frames   []btFrame             `json:"frames"`
	Regs     map[string]hexAddress `json:"registers,omitempty"` // of user space
	How      string                `json:"how"`
	Complete bool                  `json:"complete"`
	Why      string                `json:"why,omitempty"`

	Text    []btFrame `json:"text,omitempty"`             // -t, -T: a scan
	Entries []btEntry `json:"exception_frames,omitempty"` // -e
	Memory  *btMemory `json:"stack,omitempty"`            // -r, -f, -F
}

type btEntry struct {
	Address hexAddress            `json:"address"`
	User    bool                  `json:"user"`
	Regs    map[string]hexAddress `json:"registers"`
}

type btMemory struct {
	Address hexAddress   `json:"address"`
	SP      hexAddress   `json:"sp"`
	Words   []hexAddress `json:"words"`
}

// documents are the stacks of tasks.
func (b *btPrinter) documents(tasks []kernel.Task) []btStack {
	docs := make([]btStack, 0, len(tasks))
	for _, t := range tasks {
		s := b.unwind(t)
		if b.f.ref != "" && !b.refers(t, s) {
			continue
		}
		doc := stackDocument(t, s)
		if b.lines != nil {
			doc.Frames = b.withLines(s)
		}
		if b.f.text || b.f.textAll || b.f.entries || b.f.raw || b.f.full || b.f.symbolic {
			b.memoryDocument(t, &doc)
		}
		docs = append(docs, doc)
	}
	return docs
}

// memoryDocument adds what lies on a task's stack.
func (b *btPrinter) memoryDocument(t kernel.Task, doc *btStack) {
	s, err := b.u.Memory(t)
	b.env.met(err)
	if b.f.text || b.f.textAll {
		doc.Text = frameDocuments(b.u.Text(s, b.from(s)))
	}
	if b.f.entries {
		for _, r := range b.u.Entries(s, b.from(s)) {
			doc.Entries = append(doc.Entries, btEntry{hexAddress(r.Addr), r.User(), registerDocument(r)})
		}
	}
	if b.f.raw || b.f.full || b.f.symbolic {
		doc.Memory = &btMemory{hexAddress(s.Addr), hexAddress(s.SP), make([]hexAddress, 0, len(s.Words))}
		for _, v := range s.Words {
			doc.Memory.Words = append(doc.Memory.Words, hexAddress(v))
		}
	}
}

func registerDocument(r *kernel.PtRegs) map[string]hexAddress {
	out := make(map[string]hexAddress)
	for name, v := range r.All() {
		out[name] = hexAddress(v)
	}
	return out
}

func frameDocuments(frames []kernel.Frame) []btFrame {
	out := make([]btFrame, 0, len(frames))
	for i, f := range frames {
		out = append(out, btFrame{
			N: i, Kind: string(f.Kind), Address: hexAddress(f.Addr), SP: hexAddress(f.SP),
			Symbol: f.Symbol.Name, Offset: f.Offset, Module: f.Symbol.Module,
		})
	}
	return out
}

// withLines are the frames with their lines and variables; functions inlined into one stand
// before it, as frames with its number.
func (b *btPrinter) withLines(s kernel.Stack) []btFrame {
	out := make([]btFrame, 0, len(s.Frames))
	locals := b.newStackLocals(s)
	for i, doc := range frameDocuments(s.Frames) {
		lines, scopes := b.lines.frame(s.Frames[i]), locals.frame(s.Frames[i], i)
		for j := range max(len(lines), len(scopes)) {
			in := doc
			if j < len(lines) {
				in.File, in.Line, in.Inlined = lines[j].File, lines[j].Line, lines[j].Inlined
				if in.Inlined {
					in.Symbol, in.Offset = lines[j].Function, 0
				}
			}
			if j < len(scopes) {
				in.Locals = locals.documents(scopes[j].Locals)
			}
			out = append(out, in)
		}
		if len(lines) == 0 && len(scopes) == 0 {
			out = append(out, doc)
		}
	}
	return out
}

type btFrame struct {
	N       int        `json:"n"`
	Kind    string     `json:"kind"`
	Address hexAddress `json:"address"`
	SP      hexAddress `json:"sp"`
	Symbol  string     `json:"symbol,omitempty"`
	Offset  uint64     `json:"offset"`
	Module  string     `json:"module,omitempty"`
	Inlined bool       `json:"inlined,omitempty"`
	File    string     `json:"file,omitempty"` // -l
	Line    int        `json:"line,omitempty"`

	Locals []localDocument `json:"locals,omitempty"` // -L
}

func stackDocument(t kernel.Task, s kernel.Stack) btStack {
	doc := btStack{
		Task: hexAddress(t.Addr), PID: t.PID, Comm: t.Comm, CPU: t.CPU, State: t.State.String(),
		Frames: frameDocuments(s.Frames), How: s.How, Complete: s.Complete,
	}
	if user, ok := s.User(); ok {
		doc.Regs = registerDocument(user)
	}
	if s.Why != nil {
		doc.Why = s.Why.Error()
	}
	return doc
}
