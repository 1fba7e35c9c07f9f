package dwarf

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// Frame is how the registers of the caller are found at one address.
type Frame struct {
	Return int  // number of the register that is the return address
	Signal bool // the function was not called but interrupted something: Return is exact

	row     row
	ptrSize int
	order   binary.ByteOrder
}

// Registers are the registers of a frame by their DWARF number; ok is false for one whose
// value is not known.
type Registers interface {
	Register(n int) (v uint64, ok bool)
}

// Memory reads the crashed machine's memory.
type Memory interface {
	ReadVirt(p []byte, va uint64) (int, error)
}

// CFA is the canonical frame address: on x86_64 behind the return address.
func (f *Frame) CFA(regs Registers, mem Memory) (uint64, error) {
	switch r := f.row.cfa; r.Kind {
	case RuleRegister:
		v, ok := regs.Register(r.Reg)
		if !ok {
			return 0, fmt.Errorf("the frame counts from register %d, which is not known: %w", r.Reg, phys.ErrUnsupported)
		}
		return f.clip(v + uint64(r.Offset)), nil
	case RuleValExpression:
		return f.machine(regs, mem).Run(r.Expr)
	}
	return 0, fmt.Errorf("no rule for the frame: %w", phys.ErrUnsupported)
}

// Rule is the rule for a register.
func (f *Frame) Rule(reg int) Rule { return f.row.regs[reg] }

// Register is the value that a register of the caller has, ok is false when it is lost.
// RuleNone and RuleSame keep what regs has: who asks knows which registers the machine's
// functions keep.
func (f *Frame) Register(reg int, cfa uint64, regs Registers, mem Memory) (v uint64, ok bool, err error) {
	switch r := f.row.regs[reg]; r.Kind {
	case RuleUndefined:
		return 0, false, nil
	case RuleOffset:
		v, err = readWord(mem, f.order, f.ptrSize, f.clip(cfa+uint64(r.Offset)))
		return v, err == nil, err
	case RuleValOffset:
		return f.clip(cfa + uint64(r.Offset)), true, nil
	case RuleRegister:
		v, ok = regs.Register(r.Reg)
		return v, ok, nil
	case RuleExpression, RuleValExpression:
		m := f.machine(regs, mem)
		m.stack = append(m.stack, operand{v: cfa}) // 6.4.2.3: it begins with the CFA
		if v, err = m.Run(r.Expr); err == nil && r.Kind == RuleExpression {
			v, err = readWord(mem, f.order, f.ptrSize, v)
		}
		return v, err == nil, err
	}
	v, ok = regs.Register(reg)
	return v, ok, nil
}

func (f *Frame) machine(regs Registers, mem Memory) *Machine {
	return &Machine{Regs: regs, Mem: mem, Order: f.order, PtrSize: f.ptrSize}
}

func (f *Frame) clip(v uint64) uint64 {
	if f.ptrSize == 4 {
		return uint64(uint32(v))
	}
	return v
}
