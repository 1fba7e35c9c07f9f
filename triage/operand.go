package triage

import (
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// accesses are the addresses that an instruction accesses, as far as its registers are known.
func (s *scene) accesses(in disasm.Inst, regs registers) (out []oops.Address) {
	for _, o := range s.code.Effect(in).Accesses {
		if a, ok := o.Addr(regs.Get); ok {
			out = append(out, oops.Address(a))
		}
	}
	return out
}

// instruction is the one at a fault.
func (s *scene) instruction(f kernel.Frame) (disasm.Inst, bool) {
	if s.code == nil {
		return disasm.Inst{}, false
	}
	in, err := s.code.At(f.Addr)
	return in, err == nil && !in.Bad
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
	in, ok := s.instruction(f)
	if !ok {
		return
	}
	for _, a := range s.accesses(in, regs) {
		if canonical(a) {
			continue
		}
		fault := oops.Fault{}
		if o.Fault != nil {
			fault = *o.Fault
		}
		fault.Address = &a
		o.Fault = &fault
		return
	}
}

// nullPage is up to where an address is one of a member of a structure at NULL.
const nullPage = 4096

// stoppedBy is the kind of a fault by its instruction alone.
func (s *scene) stoppedBy(f kernel.Frame, regs registers) oops.Kind {
	in, ok := s.instruction(f)
	if f.Symbol.Name == "" {
		// Code without a name is that of BPF, or of a module that is not known.
		if code, err := s.k.Executable(f.Addr); err == nil && !code {
			return oops.BadJump
		}
	}
	if in.Text == "ud2" {
		return oops.Bug
	}
	if !ok {
		return oops.Unknown
	}
	for _, a := range s.accesses(in, regs) {
		if a < nullPage {
			return oops.NullDereference
		}
		if s.k.Machine() == "x86_64" && !canonical(a) {
			return oops.GeneralProtection
		}
		if _, err := s.k.Translate(uint64(a)); err != nil {
			return oops.PagingFault
		}
	}
	return oops.Unknown
}
