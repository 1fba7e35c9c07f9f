package kernel

import (
	"slices"
	"strings"
)

// dwarfRegs are the registers of a processor by their DWARF numbers.
type dwarfRegs struct {
	names      []string
	kept       []int // that a function leaves as they were
	fp, sp, pc int
	exactSP    bool // Frame.SP of a caller is the CFA of what it called
}

// registerForms by uname -m: System V ABI for x86-64, figure 3.36; DWARF for the Arm 64-bit
// Architecture, 4.1.
var registerForms = map[string]*dwarfRegs{
	"x86_64": {x86Numbers, slices.Concat(x86Kept, []int{x86BP}), x86BP, x86SP, x86IP, true},
	"aarch64": {
		strings.Fields("x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14 x15 x16 x17 x18 x19 x20 x21 x22 x23 x24 " +
			"x25 x26 x27 x28 x29 x30 sp pc"),
		[]int{19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29},
		29, 31, 32, false,
	},
}

// frameRegs are the registers of a frame as far as something has kept them.
type frameRegs struct {
	form  *dwarfRegs
	all   registers // nil: those below alone
	known map[int]uint64
}

// Register gives one by its DWARF number.
func (r frameRegs) Register(n int) (v uint64, ok bool) {
	if v, ok = r.known[n]; ok || r.all == nil || n < 0 || n >= len(r.form.names) {
		return v, ok
	}
	return r.all.Get(r.form.names[n])
}

// name is what a register is called.
func (f *dwarfRegs) name(n int) string {
	if n < 0 || n >= len(f.names) {
		return ""
	}
	return f.names[n]
}

// frameState is what is known of a frame beside the Frame.
type frameState struct {
	regs   frameRegs
	cfa    uint64
	cfaErr error
	placed bool // cfa is known
}

// frameStates finds the registers of all frames of a stack: those of interrupted code and of
// tasks that do not run are all there, and of their callers those that call frame
// information leads to, as long as it says the same as the way that the stack was walked.
func (u *Unwinder) frameStates(s Stack, form *dwarfRegs) []frameState {
	out := make([]frameState, len(s.states))
	for i, st := range s.states {
		out[i].regs = u.given(s, i, form)
		if i > 0 && st.regs == nil {
			u.inherit(&out[i-1], &out[i], s, i)
		}
		u.place(&out[i], s, i)
	}
	return out
}

// certain tells whether a frame was found by a way that knows how the stack goes on.
func certain(m Method) bool {
	switch m {
	case ByScan, ByCallSite:
		return false
	}
	return true
}

// given are the registers that the walk of the stack knows itself.
func (u *Unwinder) given(s Stack, i int, form *dwarfRegs) frameRegs {
	st := s.states[i]
	r := frameRegs{form: form, all: st.regs, known: map[int]uint64{form.pc: st.pc}}
	if form.exactSP || st.regs != nil {
		r.known[form.sp] = st.sp
	}
	if certain(st.by) {
		r.known[form.fp] = st.fp
	}
	return r
}

// inherit gives the caller, frame i, what call frame information of the function before says
// of its registers.
func (u *Unwinder) inherit(from, to *frameState, s Stack, i int) {
	form := to.regs.form
	if s.Frames[i-1].Regs != nil {
		return
	}
	rules, err := u.frames.at(s.states[i-1].at())
	if err != nil {
		return
	}
	cfa, err := rules.CFA(from.regs, u.k)
	if err != nil || form.exactSP && cfa != s.states[i].sp {
		return
	}
	ret, ok, err := rules.Register(rules.Return, cfa, from.regs, u.k)
	if err != nil || !ok || u.k.spc.Strip(ret) != s.states[i].pc {
		return
	}
	for _, n := range form.kept {
		if v, ok, err := rules.Register(n, cfa, from.regs, u.k); ok && err == nil && (n != form.fp || !certain(s.states[i].by) || v == s.states[i].fp) {
			to.regs.known[n] = v
		}
	}
	to.regs.known[form.sp] = cfa
}

// place finds the CFA of frame i: by call frame information, else on x86_64 where the walk
// found the caller, which is behind the return address.
func (u *Unwinder) place(f *frameState, s Stack, i int) {
	called := i+1 < len(s.states) && s.Frames[i].Regs == nil && certain(s.states[i+1].by)
	rules, err := u.frames.at(s.states[i].at())
	if err == nil {
		f.cfa, err = rules.CFA(f.regs, u.k)
	}
	switch {
	case called && f.regs.form.exactSP && (err != nil || f.cfa == s.states[i+1].sp):
		f.cfa, f.placed = s.states[i+1].sp, true
	case called && f.regs.form.exactSP:
		f.cfaErr = errTables
	case err != nil:
		f.cfaErr = err
	default:
		f.placed = true
	}
}

// Register is what a register had in frame n, by the name that the frame's PtRegs would have
// it under; ok is false where nothing has kept it.
func (l *Locals) Register(n int, name string) (v uint64, ok bool) {
	return l.frames[n].regs.Register(slices.Index(l.form.names, name))
}
