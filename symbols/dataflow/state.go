package dataflow

import (
	"maps"
	"math"

	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// state is what is known before an instruction.
type state struct {
	regs    map[string]Value
	stack   map[int64]Value // of 8 bytes each, by the distance from the stack pointer at the entry
	escaped int64           // from here on up, others may know the address
}

func newState() *state {
	return &state{map[string]Value{}, map[int64]Value{}, math.MaxInt64}
}

func (s *state) clone() *state {
	return &state{maps.Clone(s.regs), maps.Clone(s.stack), s.escaped}
}

// join takes out of s what is otherwise on another way, and tells whether that was anything.
func (s *state) join(o *state) (changed bool) {
	changed = joinAll(s.regs, o.regs)
	changed = joinAll(s.stack, o.stack) || changed
	if o.escaped < s.escaped {
		s.escaped, changed = o.escaped, true
	}
	return changed
}

func joinAll[K comparable](a, b map[K]Value) (changed bool) {
	for k, v := range a {
		j := v.join(b[k])
		if j.equal(v) {
			continue
		}
		changed = true
		if j.kind == unknown {
			delete(a, k)
		} else {
			a[k] = j
		}
	}
	return changed
}

func (s *state) set(reg string, v Value) {
	if v.kind == unknown {
		delete(s.regs, reg)
		return
	}
	s.regs[reg] = v
}

// forget is after something that may have written anywhere that it knows the address of.
func (s *state) forget() {
	for off := range s.stack {
		if off+8 > s.escaped {
			delete(s.stack, off)
		}
	}
}

// address is the address that an operand in memory is at, without its segment.
func (s *state) address(o disasm.Operand) Value {
	if o.Index != "" {
		return Value{}
	}
	if o.Base == "" {
		return Value{Add: o.Disp, kind: constant}
	}
	return s.regs[o.Base].plus(o.Disp)
}

// store writes a value to memory.
func (s *state) store(o disasm.Operand, v Value) {
	if v.kind == frame {
		s.escaped = min(s.escaped, v.Add)
	}
	if o.Segment != "" {
		return // per-CPU memory
	}
	a := s.address(o)
	if a.kind != frame {
		if a.kind == unknown && s.regs[o.Base].kind == frame { // an array on the stack
			s.escaped = min(s.escaped, s.regs[o.Base].Add+o.Disp)
		}
		s.forget()
		return
	}
	size := int64(o.Size)
	if size == 0 {
		size = 64
	}
	for off := range s.stack {
		if off < a.Add+size && off+8 > a.Add {
			delete(s.stack, off)
		}
	}
	if size == 8 && v.kind != unknown {
		s.stack[a.Add] = v
	}
}

// apply is what an instruction makes of registers and memory. Where the program goes on, and
// what a call leaves, is the function's business.
func (f *function) apply(s *state, e disasm.Effect) {
	switch e.Act {
	case disasm.Nothing:
	case disasm.Move:
		v := f.value(s, e.Src)
		if e.Dst.Size < 8 {
			v = v.narrow(e.Dst.Size)
		}
		f.assign(s, e.Dst, v)
	case disasm.Address:
		a := s.address(e.Src)
		f.assign(s, e.Dst, a.narrow(e.Dst.Size))
	case disasm.Add:
		f.assign(s, e.Dst, s.regs[e.Src.Reg].plus(e.Plus))
	case disasm.Change:
		f.assign(s, e.Dst, Value{})
	case disasm.Push:
		v := f.value(s, e.Src)
		sp := s.regs[f.abi.sp].plus(-8)
		s.set(f.abi.sp, sp)
		s.store(disasm.Operand{Kind: disasm.Memory, Size: 8, Base: f.abi.sp}, v)
	case disasm.Pop:
		v := f.value(s, disasm.Operand{Kind: disasm.Memory, Size: 8, Base: f.abi.sp})
		s.set(f.abi.sp, s.regs[f.abi.sp].plus(8))
		f.assign(s, e.Dst, v)
	default:
		clear(s.regs)
		clear(s.stack)
	}
	for _, r := range e.Clobbers {
		delete(s.regs, r)
	}
	if e.Stores && e.Act == disasm.Change && e.Dst.Kind != disasm.Memory {
		s.forget()
	}
}

// assign puts a value into a register or into memory.
func (f *function) assign(s *state, to disasm.Operand, v Value) {
	switch {
	case to.Kind == disasm.Memory:
		s.store(to, v)
	case to.Kind == disasm.Register && to.Part:
		delete(s.regs, to.Reg)
	case to.Kind == disasm.Register:
		if v.kind == frame && to.Reg != f.abi.sp && to.Reg != f.abi.fp {
			s.escaped = min(s.escaped, v.Add)
		}
		s.set(to.Reg, v)
	}
}

// value is what an operand has.
func (f *function) value(s *state, o disasm.Operand) Value {
	switch o.Kind {
	case disasm.Constant:
		return Value{Add: o.Value, kind: constant}
	case disasm.Register:
		return s.regs[o.Reg].narrow(o.Size)
	case disasm.Memory:
		return f.load(s, o)
	}
	return Value{}
}
