package triage

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/symbols/dataflow"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// Operand is what the faulting instruction was about: memory, the divisor, the function to be
// called. Registers and memory say where; types, followed from the function's arguments, say
// what, as likely as its source casts no pointer to another type.
type Operand struct {
	Text       string                  `json:"text"` // "[rax+0x28], rax = 0 (w->next) → NULL + 0x28 = w->next->counter"
	Address    *oops.Address           `json:"address,omitempty"`
	Registers  map[string]oops.Address `json:"registers,omitempty"`
	Values     map[string]string       `json:"values,omitempty"` // of Registers, as C spells them
	Name       string                  `json:"name,omitempty"`   // of the operand, as C spells it
	Struct     string                  `json:"struct,omitempty"` // whose member it is
	Member     string                  `json:"member,omitempty"`
	Confidence Confidence              `json:"confidence"` // of Values, Name, Struct and Member
}

// How much code is shown around a fault.
const (
	codeBefore = 12
	codeBehind = 6
)

// addCode puts the code around the place where the CPU was interrupted into the report.
func (s *scene) addCode(p *Panic, o *oops.Oops, c *cpuScene) {
	f, regs, ok := c.fault()
	if !ok || s.code == nil {
		return
	}
	at, err := s.code.At(f.Addr)
	if o.Kind == oops.BadJump {
		at, err = s.callTo(c, f)
	}
	if err != nil {
		return
	}
	list, _ := s.code.Around(at.Addr, codeBefore, codeBehind)
	for _, in := range list {
		p.Code = append(p.Code, s.spellInstruction(in))
		if in.Addr == at.Addr {
			last := &p.Code[len(p.Code)-1]
			last.Fault = true
			last.Operand = s.operand(o, at, regs)
		}
	}
}

// callTo is the call that led to an address without code: the one before the return address.
func (s *scene) callTo(c *cpuScene, f kernel.Frame) (disasm.Inst, error) {
	i := slices.IndexFunc(c.stack.Frames, func(g kernel.Frame) bool { return g.Addr == f.Addr && g.SP == f.SP })
	if i < 0 || i+1 == len(c.stack.Frames) {
		return disasm.Inst{}, kernel.ErrStack
	}
	return s.code.Before(c.stack.Frames[i+1].Addr)
}

func (s *scene) spellInstruction(in disasm.Inst) Instruction {
	out := Instruction{Address: oops.Address(in.Addr), Bytes: hex.EncodeToString(in.Bytes), Text: in.Text}
	if s.table == nil {
		return out
	}
	if sym, off, err := s.table.At(in.Addr); err == nil {
		out.Symbol, out.Offset = sym.Name, off
	}
	if in.Target != 0 {
		target := oops.Address(in.Target)
		out.Target = &target
		out.Text = s.code.Text(in)
	}
	return out
}

// faults are the kinds that an access to memory stops.
var faults = map[oops.Kind]bool{
	oops.NullDereference: true, oops.PagingFault: true, oops.GeneralProtection: true, oops.BusError: true,
	oops.StackOverflow: true, oops.DoubleFault: true,
}

// operand says what the instruction at a fault was about, nil if nothing is to be said.
func (s *scene) operand(o *oops.Oops, in disasm.Inst, regs registers) *Operand {
	e := s.code.Effect(in)
	flow, _ := s.flow(in.Addr)
	x := evaluation{s: s, regs: regs, in: in, flow: flow}
	switch {
	case o.Kind == oops.DivideError && e.Src.Kind == disasm.Register:
		return x.divisor(e.Src)
	case o.Kind == oops.BadJump:
		return x.target(e)
	case !faults[o.Kind]:
		return nil
	}
	for i, a := range e.Accesses {
		if at, ok := a.Addr(regs.Get); ok && explains(o.Fault, at) {
			return x.memory(i, a, at)
		}
	}
	return nil
}

// widest is how far behind the begin of an access the processor may report the fault.
const widest = 64

// explains tells whether an access to an address may be the fault that was reported.
func explains(f *oops.Fault, at uint64) bool {
	return f == nil || f.Address == nil || uint64(*f.Address)-at < widest
}

// evaluation is one of an operand.
type evaluation struct {
	s    *scene
	regs registers
	in   disasm.Inst
	flow *dataflow.Flow // nil: values have no names
	out  Operand
}

// register tells the value of a register, and what it is.
func (x *evaluation) register(name string) string {
	v, _ := x.regs.Get(name)
	if x.out.Registers == nil {
		x.out.Registers = map[string]oops.Address{}
	}
	x.out.Registers[name] = oops.Address(v)
	return fmt.Sprintf("%s = %s%s", name, short(v), x.named(name))
}

// named is what a register holds in the words of the source, in parentheses.
func (x *evaluation) named(name string) string {
	if x.flow == nil {
		return ""
	}
	v, err := x.flow.Register(x.in.Addr, name)
	if err != nil || !v.Known() {
		return ""
	}
	text := v.Text
	if text == "" {
		text = v.Type.String()
	}
	if v.Add != 0 {
		text += fmt.Sprintf(" + %#x", v.Add)
		if v.Add < 0 {
			text = strings.Replace(text, "+ -", "- ", 1)
		}
	}
	if x.out.Values == nil {
		x.out.Values = map[string]string{}
	}
	x.out.Values[name] = text
	return " (" + text + ")"
}

// short is a number as one writes it.
func short(v uint64) string {
	if v < 10 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

// memory is an operand in memory, the i-th that the instruction accesses.
func (x *evaluation) memory(i int, o disasm.Operand, at uint64) *Operand {
	a := oops.Address(at)
	x.out.Address, x.out.Confidence = &a, Sure
	parts := []string{"[" + spellAddress(o) + "]"}
	for _, r := range []string{o.Base, o.Index} {
		if r != "" {
			parts = append(parts, x.register(r))
		}
	}
	x.out.Text = strings.Join(parts, ", ")
	switch {
	case len(parts) == 1: // it says the address
	case at == 0:
		x.out.Text += " → NULL"
	case at < nullPage:
		x.out.Text += fmt.Sprintf(" → NULL + %#x", at)
	case o.Disp != 0 || o.Index != "":
		x.out.Text += fmt.Sprintf(" → %#x", at)
	}
	x.member(i)
	if len(x.out.Values) > 0 {
		x.out.Confidence = Likely
	}
	return &x.out
}

// member names the operand.
func (x *evaluation) member(i int) {
	if x.flow == nil {
		return
	}
	list, err := x.flow.Operands(x.in.Addr)
	if err != nil || i >= len(list) {
		return
	}
	o := list[i]
	x.out.Name, x.out.Member = o.Text, o.Member
	what := o.Text
	if o.Struct != nil {
		x.out.Struct = o.Struct.String()
		what = cmp.Or(what, x.out.Struct+"."+o.Member)
	}
	if what != "" {
		x.out.Confidence = Likely
		x.out.Text += " = " + what
	}
}

// divisor is the register by which an instruction divides.
func (x *evaluation) divisor(o disasm.Operand) *Operand {
	if v, ok := x.regs.Get(o.Reg); !ok || v<<(64-8*o.Size) != 0 || v != 0 && o.Size < 4 {
		return nil // it did not divide by zero: the quotient was too large
	}
	x.out.Confidence = Sure
	x.out.Text = "divides by " + x.register(o.Reg)
	if len(x.out.Values) > 0 {
		x.out.Confidence = Likely
	}
	return &x.out
}

// target is the address without code that a call led to.
func (x *evaluation) target(e disasm.Effect) *Operand {
	register := e.Src.Reg
	if x.in.Branch {
		register = x.s.code.Thunk(x.in.Target)
	}
	pc, ok := x.regs.Get("rip")
	if !ok {
		pc, _ = x.regs.Get("pc")
	}
	switch {
	case register != "":
		if v, ok := x.regs.Get(register); !ok || v != pc {
			return nil // the function that was called went on
		}
		x.out.Text = "calls " + x.register(register)
	case e.Src.Kind == disasm.Memory:
		x.out.Text = "calls [" + spellAddress(e.Src) + "]"
		x.member(0)
		x.out.Text += " = " + short(pc)
	default:
		return nil
	}
	x.out.Confidence = Sure
	if len(x.out.Values) > 0 || x.out.Name != "" {
		x.out.Confidence = Likely
	}
	return &x.out
}

// spellAddress is "rax+rcx*8-0x10", as manuals have it.
func spellAddress(o disasm.Operand) string {
	var parts []string
	if o.Segment != "" {
		parts = append(parts, o.Segment)
	}
	if o.Base != "" {
		parts = append(parts, o.Base)
	}
	if o.Index != "" {
		parts = append(parts, fmt.Sprintf("%s*%d", o.Index, o.Scale))
	}
	text := strings.Join(parts, "+")
	switch {
	case text == "":
		return short(uint64(o.Disp))
	case o.Disp < 0:
		return fmt.Sprintf("%s-%#x", text, -uint64(o.Disp))
	case o.Disp > 0:
		return text + fmt.Sprintf("+%#x", o.Disp)
	}
	return text
}

// operandFindings shows the operand, and that it is no address at all where that was not
// told.
func operandFindings(told, o *oops.Oops, p *Panic) []Finding {
	i := slices.IndexFunc(p.Code, func(in Instruction) bool { return in.Fault && in.Operand != nil })
	if i < 0 {
		return nil
	}
	in := p.Code[i]
	f := Finding{
		ID: "operand", Title: in.Text + ": " + in.Operand.Text, Severity: Cause, Confidence: in.Operand.Confidence,
		Evidence: []Evidence{{Kind: "memory", Text: fmt.Sprintf("%s at %s", in.Bytes, in.Address), Address: in.Operand.Address, Symbol: in.Symbol}},
	}
	untold := told.Fault == nil || told.Fault.Address == nil || o.Fault != nil && o.Fault.Address != nil && *told.Fault.Address != *o.Fault.Address
	if a := in.Operand.Address; o.Kind == oops.GeneralProtection && a != nil && untold && !canonical(*a) {
		f.Evidence = append(f.Evidence, Evidence{Kind: "register", Text: fmt.Sprintf("%s is no canonical address", a), Address: a})
	}
	return []Finding{f}
}
