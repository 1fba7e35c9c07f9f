package triage

import (
	"fmt"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
)

// maxInstruction is the longest one of x86_64.
const maxInstruction = 15

// instruction reads the bytes of the instruction at an address, fewer where memory ends.
func (s *scene) instruction(pc uint64) []byte {
	b := make([]byte, maxInstruction)
	n, _ := s.k.ReadVirt(b, pc)
	return b[:n]
}

// operand is the address that the instruction at a fault accesses.
func (s *scene) operand(f kernel.Frame, regs registers) (oops.Address, bool) {
	if s.k.Machine() != "x86_64" {
		return 0, false
	}
	a, ok := arch.Operand(s.instruction(f.Addr), f.Addr, regs.Get)
	return oops.Address(a), ok
}

// canonical tells whether an address of x86_64 is one: the bits above those that the page
// tables translate are all equal. With 5-level tables (6.12) 57 bits are translated; what
// 48 bits would not allow may then be.
func canonical(a oops.Address) bool { return a>>56 == 0 || a>>56 == 0xff }

// evaluate puts the address that a faulting instruction accesses into the report, where the
// processor does not tell it: a general protection fault has none, and the kernel's own
// reading ("maybe for address") gives up on absolute addresses.
func (s *scene) evaluate(o *oops.Oops, c *cpuScene) {
	if o.Kind != oops.GeneralProtection {
		return
	}
	f, regs, ok := c.fault()
	if !ok {
		return
	}
	a, ok := s.operand(f, regs)
	if !ok || canonical(a) {
		return
	}
	fault := oops.Fault{}
	if o.Fault != nil {
		fault = *o.Fault
	}
	fault.Address = &a
	o.Fault = &fault
}

// operandFinding shows where the address of a general protection fault came from.
func (s *scene) operandFinding(told, o *oops.Oops, c *cpuScene) []Finding {
	if o.Fault == nil || o.Fault.Address == nil || told.Fault != nil && told.Fault.Address != nil && *told.Fault.Address == *o.Fault.Address {
		return nil
	}
	a := *o.Fault.Address
	f, _, ok := c.fault()
	if !ok {
		return nil
	}
	return []Finding{{
		ID: "operand", Title: fmt.Sprintf("the instruction accesses %s, which is no canonical address", a), Severity: Cause, Confidence: Sure,
		Evidence: []Evidence{{Kind: "memory", Text: fmt.Sprintf("% x at %s", s.instruction(f.Addr), f), Address: &a, Symbol: f.Symbol.Name}},
	}}
}

// nullPage is up to where an address is one of a member of a structure at NULL.
const nullPage = 4096

// stoppedBy is the kind of a fault by its instruction alone.
func (s *scene) stoppedBy(f kernel.Frame, regs registers) oops.Kind {
	code := s.instruction(f.Addr)
	if f.Symbol.Name == "" || len(code) == 0 {
		return oops.BadJump
	}
	if len(code) > 1 && code[0] == 0x0f && code[1] == 0x0b { // ud2
		return oops.Bug
	}
	a, ok := s.operand(f, regs)
	switch {
	case !ok:
		return oops.Unknown
	case a < nullPage:
		return oops.NullDereference
	case !canonical(a):
		return oops.GeneralProtection
	}
	if _, err := s.k.Translate(uint64(a)); err != nil {
		return oops.PagingFault
	}
	return oops.Unknown
}
