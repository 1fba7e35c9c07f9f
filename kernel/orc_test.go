package kernel_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// orcWord is an ORC entry before it is encoded.
type orcWord struct {
	kind, sp string // kind: end, call, regs, partial
	spOff    int16
	bp       string
	bpOff    int16
}

// orcForms are the layouts by the kernel that brought them: numbers of the registers, and
// the flags of the kinds.
var orcForms = map[string]struct {
	regs  string
	kinds map[string]byte
}{
	"4.14": {oldRegs, map[string]byte{"end": 0, "call": 0, "regs": 1, "partial": 2}},
	"4.18": {oldRegs, map[string]byte{"end": 4, "call": 0, "regs": 1, "partial": 2}},
	"6.3":  {oldRegs, map[string]byte{"end": 8, "call": 0, "regs": 5, "partial": 6}},
	"6.4":  {oldRegs, map[string]byte{"end": 1, "call": 2, "regs": 11, "partial": 12}},
	"7.1":  {newRegs, map[string]byte{"end": 1, "call": 2, "regs": 11, "partial": 12}},
}

const (
	oldRegs = " PREV_SP DX DI BP SP R10 R13 BP_IND SP_IND"
	newRegs = " AX DX SP BP DI R10 R13 PREV_SP SP_IND BP_IND"
)

func regNumber(names, name string) byte {
	for i, n := range strings.Split(names, " ") {
		if n == name {
			return byte(i)
		}
	}
	panic(name)
}

// orcMachine is an x86_64 machine with functions of 64 bytes, each with an ORC entry, and
// stacks.
type orcMachine struct {
	*machine
	text, ips, stack uint64
}

// orcFunctions are the functions and their frames. Nearly all entries of a kernel are of
// calls that count from the stack pointer.
var orcFunctions = []struct {
	name string
	orc  orcWord
}{
	{"startup", orcWord{kind: "end"}},
	{"victim", orcWord{"call", "SP", 24, "", 0}},
	{"asm_exc_page_fault", orcWord{"regs", "SP", 0, "", 0}},
	{"exc_page_fault", orcWord{"call", "BP", 16, "PREV_SP", -16}},
	{"handler", orcWord{"call", "SP", 8, "", 0}},
	{"asm_exc_nmi", orcWord{"partial", "SP", 0, "", 0}},
	{"swizzled", orcWord{"call", "SP_IND", 16, "", 0}},
	{"return_to_handler", orcWord{"call", "SP", 8, "", 0}},
	{"one", orcWord{"call", "SP", 8, "", 0}},
	{"two", orcWord{"call", "SP", 8, "", 0}},
	{"three", orcWord{"call", "SP", 8, "", 0}},
	{"_etext", orcWord{"call", "SP", 8, "", 0}},
}

const (
	startup = iota
	victim
	asmPageFault
	pageFault
	handler
	asmNMI
	swizzled
	returnToHandler
)

func newORCMachine(t testing.TB, form string) *orcMachine {
	m := &orcMachine{machine: newMachine(t)}
	m.text = m.page()
	f := orcForms[form]
	m.ips = m.page()
	entries := m.page()
	for i, fn := range orcFunctions {
		at := m.text + uint64(64*i)
		m.syms = append(m.syms, symbols.Symbol{Name: fn.name, Addr: at, Type: 'T'})
		m.put(at+11, append([]byte{0xe8}, m.u32(64-16)...)) // to the next function
		m.put(m.ips+uint64(4*i), m.u32(uint32(at-m.ips-uint64(4*i))))
		e := m.order.AppendUint16(nil, uint16(fn.orc.spOff))
		e = m.order.AppendUint16(e, uint16(fn.orc.bpOff))
		e = append(e, regNumber(f.regs, fn.orc.sp)|regNumber(f.regs, fn.orc.bp)<<4, f.kinds[fn.orc.kind])
		m.put(entries+uint64(6*i), e)
	}
	for name, at := range map[string]uint64{
		"__start_orc_unwind_ip": m.ips, "__start_orc_unwind": entries,
		"__stop_orc_unwind": entries + uint64(6*len(orcFunctions)),
	} {
		m.syms = append(m.syms, symbols.Symbol{Name: name, Addr: at, Type: 'R'})
	}
	m.stack = (m.pages(12) + 16<<10 - 1) &^ (16<<10 - 1)
	m.frames()
	return m
}

// code is a return address in a function.
func (m *orcMachine) code(fn int) uint64 { return m.text + uint64(64*fn) + 16 }

func (m *orcMachine) words(at uint64, words ...uint64) {
	for _, w := range words {
		m.put(at, m.long(w))
		at += 8
	}
}

// Where the frames lie in the first stack.
const (
	atHandler = 0x2000
	atBP      = 0x2100
	atVictim  = 0x3000
	atSwizzle = 0x3800
)

// frames writes a stack: an NMI, in it a page fault, on another stack than what the NMI
// interrupted.
func (m *orcMachine) frames() {
	s, other := m.stack, m.stack+0x4000+0x1000
	m.words(s+atHandler, m.code(pageFault))
	m.words(s+atBP, 0x1234, m.code(asmPageFault))
	regs := make([]uint64, 21)
	regs[16], regs[17], regs[19] = m.code(victim), 0x10, s+atVictim // ip, cs, sp
	m.words(s+atBP+16, regs...)
	m.words(s+atVictim+16, m.code(asmNMI), m.code(swizzled), 0x10, 2, s+atSwizzle, 0x18)
	m.words(s+atSwizzle, other)
	m.words(other+8, m.code(startup))
}

func (m *orcMachine) unwind() kernel.Stack {
	m.t.Helper()
	m.kallsyms()
	k := m.kernel()
	s, err := k.UnwindFrom(m.t.(*testing.T).Context(), m.code(handler), m.stack+atHandler, m.stack+atBP)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// TestORCForms: the same stack with every layout of the tables.
func TestORCForms(t *testing.T) {
	for form := range orcForms {
		t.Run(form, func(t *testing.T) {
			s := newORCMachine(t, form).unwind()
			if !s.Complete || s.How != "ORC" {
				t.Errorf("complete %t by %s, %v", s.Complete, s.How, s.Why)
			}
			sameFrames(t, s, []string{
				"call registers handler+0x10/0x40",
				"call ORC exc_page_fault+0x10/0x40",
				"exception ORC asm_exc_page_fault+0x10/0x40",
				"interrupted registers victim+0x10/0x40",
				"nmi ORC asm_exc_nmi+0x10/0x40",
				"interrupted registers swizzled+0x10/0x40",
				"call ORC startup+0x10/0x40",
			})
			if regs := s.Frames[2].Regs; regs == nil || regs.User() || regs.SP() != s.Frames[3].SP {
				t.Errorf("registers %+v", regs)
			}
		})
	}
}

// TestORCLost: without tables the frame pointer is followed, and what has none is guessed.
func TestORCLost(t *testing.T) {
	m := newORCMachine(t, "6.4")
	m.lose(m.ips)
	s := m.unwind()
	if s.Complete || !errors.Is(s.Why, phys.ErrUnsupported) && !errors.Is(s.Why, phys.ErrLost) {
		t.Errorf("complete %t, why %v", s.Complete, s.Why)
	}
	sameFrames(t, s, []string{
		"call registers handler+0x10/0x40",
		"call frame pointer asm_exc_page_fault+0x10/0x40",
		"guess scan victim+0x10/0x40",
		"guess scan asm_exc_nmi+0x10/0x40",
		"guess scan swizzled+0x10/0x40",
	})
}

// TestORCUnknown: entries of a layout that no kernel has.
func TestORCUnknown(t *testing.T) {
	m := newORCMachine(t, "6.4")
	entries := m.syms[len(m.syms)-1].Addr
	for _, s := range m.syms {
		if s.Name == "__start_orc_unwind" {
			entries = s.Addr
		}
	}
	for i := range orcFunctions {
		m.put(entries+uint64(6*i)+4, []byte{0xff, 0xff})
	}
	if s := m.unwind(); s.Complete || phys.Reason(s.Why) == nil {
		t.Errorf("complete %t, why %v", s.Complete, s.Why)
	}
}

// TestORCRewritten: a return address that the function graph tracer has replaced.
func TestORCRewritten(t *testing.T) {
	m := newORCMachine(t, "6.4")
	m.words(m.stack+atHandler, m.code(returnToHandler)-16)
	s := m.unwind()
	if s.Complete || !strings.Contains(s.Why.Error(), "return_to_handler") {
		t.Errorf("complete %t, why %v", s.Complete, s.Why)
	}
	if got := spell(s.Frames[1]); got != "call ORC return_to_handler+0x0/0x40" {
		t.Errorf("the replaced address is %q", got)
	}
	if got := spell(s.Frames[2]); got != "exception scan asm_exc_page_fault+0x10/0x40" {
		t.Errorf("goes on with %q", got)
	}
	if last := s.Frames[len(s.Frames)-1].Symbol.Name; last != "startup" {
		t.Errorf("ends with %q", last)
	}
}

// TestORCLoop: stacks that lead back into themselves.
func TestORCLoop(t *testing.T) {
	m := newORCMachine(t, "6.4")
	m.words(m.stack+atVictim+16, m.code(asmNMI), m.code(victim), 0x10, 2, m.stack+atVictim, 0x18)
	s := m.unwind()
	if s.Complete || !errors.Is(s.Why, kernel.ErrStack) || !errors.Is(s.Why, phys.ErrCorrupt) {
		t.Errorf("complete %t, why %v", s.Complete, s.Why)
	}
}

// x86Registers are those of a processor in the kernel.
func x86Registers(t testing.TB, pc, sp, bp, cs uint64) vmcore.Registers {
	t.Helper()
	a, err := arch.ByName("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	desc := make([]byte, 336)
	for reg, v := range map[int]uint64{4: bp, 16: pc, 17: cs, 19: sp} {
		binary.LittleEndian.PutUint64(desc[112+8*reg:], v)
	}
	r, err := a.Regs(desc, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestORCJumped: a call through a pointer that is not one.
func TestORCJumped(t *testing.T) {
	m := newORCMachine(t, "7.1")
	m.words(m.stack+atHandler-8, m.code(handler))
	m.kallsyms()
	k := m.kernel()
	for _, pc := range []uint64{0, 0x6b6b6b6b6b6b6b6b, m.stack} {
		s, err := k.Unwind(t.Context(), x86Registers(t, pc, m.stack+atHandler-8, m.stack+atBP, 0x10))
		if err != nil || !s.Complete || len(s.Frames) != 8 || s.Frames[0].Addr != pc || s.Frames[0].Symbol.Name != "" {
			t.Errorf("pc %#x: %d frames, %v, %v", pc, len(s.Frames), err, s.Why)
		}
	}
	s, err := k.Unwind(t.Context(), x86Registers(t, 0x401000, 0x7ffe0000, 0, 0x33))
	if err != nil || !s.Complete || len(s.Frames) != 0 {
		t.Errorf("in a process: %d frames, %v, %v", len(s.Frames), err, s.Why)
	}
}
