package dataflow

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// Function is machine code to be followed.
type Function struct {
	Machine string // as disasm.New takes it
	Parts   []Part // the first begins with the function's entry; the compiler puts what is seldom elsewhere
	Params  []symbols.Param
}

// Part is a piece of a function.
type Part struct {
	Addr uint64
	Code []byte
}

// The reasons why nothing is known.
var (
	ErrTable     = errors.New("the function jumps where only a table knows")
	ErrUnreached = errors.New("no way is known that leads there")
)

// maxSteps bounds the instructions that are followed, each as often as something new is
// known before it.
const maxSteps = 1 << 18

// function is one that is followed.
type function struct {
	names  Names
	abi    *abi
	insts  map[uint64]disasm.Inst
	entry  uint64
	before map[uint64]*state
	todo   []uint64
	d      *disasm.Decoder
	table  uint64 // an instruction that jumps where a register or memory says; 0: there is none
}

// Follow goes all ways through a function. An error wraps ErrTable, or phys.ErrUnsupported
// or ErrLimit.
func Follow(d *disasm.Decoder, fn Function, names Names) (*Flow, error) {
	a := abis[fn.Machine]
	if a == nil || len(fn.Parts) == 0 {
		return nil, fmt.Errorf("values in functions of %s: %w", fn.Machine, phys.ErrUnsupported)
	}
	f := &function{names: names, abi: a, insts: map[uint64]disasm.Inst{}, entry: fn.Parts[0].Addr, before: map[uint64]*state{}, d: d}
	for _, p := range fn.Parts {
		for in := range d.All(p.Code, p.Addr) {
			f.insts[in.Addr] = in
		}
	}
	f.reach(f.entry, a.enter(fn.Params))
	for steps := 0; len(f.todo) > 0; steps++ {
		if steps == maxSteps {
			return nil, fmt.Errorf("the function at %#x is too long to follow: %w", f.entry, phys.ErrLimit)
		}
		at := f.todo[len(f.todo)-1]
		f.todo = f.todo[:len(f.todo)-1]
		f.step(f.insts[at], f.before[at].clone())
	}
	if f.table != 0 && !f.complete() {
		return nil, fmt.Errorf("%#x: %w", f.table, ErrTable)
	}
	return &Flow{f}, nil
}

// reach tells that the program comes to an address; outside of the function it is gone.
func (f *function) reach(at uint64, s *state) {
	if _, ours := f.insts[at]; !ours {
		return
	}
	old := f.before[at]
	if old == nil {
		f.before[at] = s.clone()
	} else if !old.join(s) {
		return
	}
	f.todo = append(f.todo, at)
}

// step goes over an instruction.
func (f *function) step(in disasm.Inst, s *state) {
	e := f.d.Effect(in)
	next := in.Addr + uint64(len(in.Bytes))
	switch e.Act {
	case disasm.Return:
		return
	case disasm.Jump:
		if in.Branch {
			f.reach(in.Target, s)
		} else {
			f.table = cmp.Or(f.table, in.Addr)
		}
		return
	case disasm.Branch:
		f.reach(in.Target, s)
	case disasm.Call:
		if in.Addr-f.entry > f.abi.entry { // else the tracer, which leaves all as it is
			f.call(in, s)
		}
	default:
		f.apply(s, e)
	}
	f.reach(next, s)
}

// complete tells whether all code was reached: a jump by a table is told from a call of a
// function at the very end by the code that nothing else leads to.
func (f *function) complete() bool {
	for at, in := range f.insts {
		if f.before[at] == nil && f.d.Effect(in).Act != disasm.Nothing { // else padding
			return false
		}
	}
	return true
}

// call is what a call leaves.
func (f *function) call(in disasm.Inst, s *state) {
	for _, r := range f.abi.changed {
		delete(s.regs, r)
	}
	s.forget()
	if in.Branch {
		if name, t := f.names.Function(in.Target); name != "" && t != nil && t.Kind != symbols.KindVoid {
			s.set(f.abi.result, named(name+"()", t))
		}
	}
}

// Flow is what was learned of a function.
type Flow struct{ f *function }

// Operand is what an instruction accesses in memory.
type Operand struct {
	disasm.Operand
	Text   string        // as C spells it: "w->next->counter", "" if it has no name
	Member string        // its path in Struct
	Struct *symbols.Type // nil: it is no member, or that is not known
	Type   *symbols.Type // nil: not known, or more than one is possible
}

// Register is what a register holds before an instruction. The error wraps ErrUnreached.
func (w *Flow) Register(pc uint64, name string) (Value, error) {
	s := w.f.before[pc]
	if s == nil {
		return Value{}, ErrUnreached
	}
	return s.regs[name], nil
}

// Operands are what the instruction at pc accesses, named as far as possible.
func (w *Flow) Operands(pc uint64) ([]Operand, error) {
	s := w.f.before[pc]
	if s == nil {
		return nil, ErrUnreached
	}
	var out []Operand
	for _, o := range w.f.d.Effect(w.f.insts[pc]).Accesses {
		p := w.f.place(s, o)
		out = append(out, Operand{o, p.text, p.path, p.owner, p.typ})
	}
	return out, nil
}
