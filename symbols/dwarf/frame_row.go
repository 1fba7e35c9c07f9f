package dwarf

import (
	"maps"

	"github.com/kautopsy/kautopsy/phys"
)

// RuleKind is how a register of the caller is found.
type RuleKind uint8

// The rules of DWARF 5, 6.4.1. A register without a rule is one that the machine's calling
// convention decides about.
const (
	RuleNone          RuleKind = iota
	RuleUndefined              // its value is lost
	RuleSame                   // the function has not changed it
	RuleOffset                 // in memory at CFA + Offset
	RuleValOffset              // CFA + Offset itself
	RuleRegister               // in register Reg; of the CFA: Reg + Offset
	RuleExpression             // in memory where the expression leads
	RuleValExpression          // what the expression gives
)

// Rule is how one register of the caller is found.
type Rule struct {
	Kind   RuleKind
	Reg    int
	Offset int64
	Expr   []byte
}

// row is what holds at one address: a line of the table that 6.4.1 draws.
type row struct {
	cfa  Rule
	regs map[int]Rule
}

func (r row) clone() row { return row{r.cfa, maps.Clone(r.regs)} }

const (
	maxFrameReg  = 1 << 8 // x86_64 has 130, arm64 has 96
	maxRemembers = 64
)

// frameRun runs the instructions of a CIE or FDE up to an address.
type frameRun struct {
	t          *FrameTable
	c          *cie
	pc, limit  uint64
	row        row
	remembered []row
	done       bool
	r          buf
	err        error
}

// run stops before the first instruction that is about an address above limit.
func (x *frameRun) run(code buf) {
	x.r = code
	if x.row.regs == nil {
		x.row.regs = map[int]Rule{}
	}
	for !x.done && x.r.at < len(x.r.b) && x.r.err == nil {
		op := x.r.u8()
		switch v := uint64(op & 0x3f); op >> 6 {
		case 1: // DW_CFA_advance_loc
			x.advance(v)
		case 2: // DW_CFA_offset
			x.set(v, Rule{Kind: RuleOffset, Offset: int64(x.r.uleb()) * x.c.data})
		case 3: // DW_CFA_restore
			x.restore(v)
		default:
			x.extended(op)
		}
	}
	x.err = x.r.err
}

func (x *frameRun) advance(n uint64) {
	x.pc += n * x.c.code
	x.done = x.pc > x.limit
}

func (x *frameRun) set(reg uint64, rule Rule) {
	if reg >= maxFrameReg {
		x.r.fail(phys.ErrCorrupt, "register %d", reg)
		return
	}
	x.row.regs[int(reg)] = rule
}

// restore gives a register the rule that the CIE has for it.
func (x *frameRun) restore(reg uint64) {
	if rule, ok := x.c.row.regs[int(reg)]; ok {
		x.set(reg, rule)
		return
	}
	delete(x.row.regs, int(reg))
}

// extended are the instructions with an opcode of their own (7.24).
func (x *frameRun) extended(op byte) {
	r, data := &x.r, x.c.data
	switch op {
	case 0x00: // DW_CFA_nop
	case 0x01: // DW_CFA_set_loc
		x.pc = x.t.pointer(r, x.c, x.c.encoding)
		x.done = x.pc > x.limit
	case 0x02: // DW_CFA_advance_loc1
		x.advance(uint64(r.u8()))
	case 0x03:
		x.advance(uint64(r.u16()))
	case 0x04:
		x.advance(uint64(r.u32()))
	case 0x05: // DW_CFA_offset_extended
		x.set(r.uleb(), Rule{Kind: RuleOffset, Offset: int64(r.uleb()) * data})
	case 0x06: // DW_CFA_restore_extended
		x.restore(r.uleb())
	case 0x07:
		x.set(r.uleb(), Rule{Kind: RuleUndefined})
	case 0x08:
		x.set(r.uleb(), Rule{Kind: RuleSame})
	case 0x09:
		x.set(r.uleb(), Rule{Kind: RuleRegister, Reg: int(min(r.uleb(), maxFrameReg))})
	case 0x0a: // DW_CFA_remember_state
		if len(x.remembered) == maxRemembers {
			r.fail(phys.ErrLimit, "%d states to remember", maxRemembers)
			return
		}
		x.remembered = append(x.remembered, x.row.clone())
	case 0x0b: // DW_CFA_restore_state
		if len(x.remembered) == 0 {
			r.fail(phys.ErrCorrupt, "no state to restore")
			return
		}
		x.row = x.remembered[len(x.remembered)-1]
		x.remembered = x.remembered[:len(x.remembered)-1]
	case 0x10: // DW_CFA_expression
		x.set(r.uleb(), Rule{Kind: RuleExpression, Expr: r.take(r.uleb())})
	case 0x11: // DW_CFA_offset_extended_sf
		x.set(r.uleb(), Rule{Kind: RuleOffset, Offset: r.sleb() * data})
	case 0x14: // DW_CFA_val_offset
		x.set(r.uleb(), Rule{Kind: RuleValOffset, Offset: int64(r.uleb()) * data})
	case 0x15:
		x.set(r.uleb(), Rule{Kind: RuleValOffset, Offset: r.sleb() * data})
	case 0x16: // DW_CFA_val_expression
		x.set(r.uleb(), Rule{Kind: RuleValExpression, Expr: r.take(r.uleb())})
	case 0x2d: // DW_CFA_AARCH64_negate_ra_state; the signature is taken off the address
	case 0x2e: // DW_CFA_GNU_args_size
		r.uleb()
	default:
		x.defineCFA(op)
	}
}

// defineCFA are the instructions about the CFA, the address that a frame counts from.
func (x *frameRun) defineCFA(op byte) {
	r, cfa := &x.r, &x.row.cfa
	reg := func() int { return int(min(r.uleb(), maxFrameReg)) }
	switch op {
	case 0x0c: // DW_CFA_def_cfa
		*cfa = Rule{Kind: RuleRegister, Reg: reg(), Offset: int64(r.uleb())}
	case 0x0d: // DW_CFA_def_cfa_register
		*cfa = Rule{Kind: RuleRegister, Reg: reg(), Offset: cfa.Offset}
	case 0x0e: // DW_CFA_def_cfa_offset
		cfa.Offset = int64(r.uleb())
	case 0x0f: // DW_CFA_def_cfa_expression
		*cfa = Rule{Kind: RuleValExpression, Expr: r.take(r.uleb())}
	case 0x12: // DW_CFA_def_cfa_sf
		*cfa = Rule{Kind: RuleRegister, Reg: reg(), Offset: r.sleb() * x.c.data}
	case 0x13: // DW_CFA_def_cfa_offset_sf
		cfa.Offset = r.sleb() * x.c.data
	default:
		r.fail(phys.ErrUnsupported, "call frame instruction %#x", op)
	}
}
