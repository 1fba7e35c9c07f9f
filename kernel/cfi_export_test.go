package kernel

// The registers that ORC counts from.
const (
	SomeSP = 1 << 40
	SomeBP = 1 << 50
)

// ORC is where the tables say that the frame at an address is, and that rbp is saved, 0 if
// it is not; ok is false where they say nothing of a call.
func (u *Unwinder) ORC(addr uint64) (cfa, bp uint64, ok bool) {
	o := u.stepper.(*orc)
	e, err := o.lookup(addr)
	if err != nil || e.kind != orcCall {
		return 0, 0, false
	}
	cfa, err = o.cfa(state{sp: SomeSP, fp: SomeBP}, e)
	if e.bpReg == orcPrevSP {
		bp = cfa + e.bpOff
	}
	return cfa, bp, err == nil
}
