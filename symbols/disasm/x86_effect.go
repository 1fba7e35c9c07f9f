package disasm

import (
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// x86Acts are instructions that are as simple as their name. All others but those in
// x86Effect are Unknown.
var x86Acts = map[x86asm.Op]Act{
	x86asm.CMP: Nothing, x86asm.TEST: Nothing, x86asm.NOP: Nothing, x86asm.BT: Nothing, x86asm.PAUSE: Nothing,
	x86asm.LFENCE: Nothing, x86asm.MFENCE: Nothing, x86asm.SFENCE: Nothing, x86asm.STI: Nothing, x86asm.CLI: Nothing,
	x86asm.HLT: Nothing, x86asm.CLD: Nothing, x86asm.STD: Nothing, x86asm.UD0: Nothing, x86asm.UD1: Nothing, x86asm.UD2: Nothing,
	x86asm.INT: Nothing, x86asm.ICEBP: Nothing, x86asm.PREFETCHT0: Nothing, x86asm.PREFETCHT1: Nothing, x86asm.PREFETCHT2: Nothing,
	x86asm.PREFETCHNTA: Nothing, x86asm.PREFETCHW: Nothing, x86asm.SWAPGS: Nothing, x86asm.WBINVD: Nothing, x86asm.INVLPG: Nothing,
	x86asm.CLFLUSH: Nothing, x86asm.WRMSR: Nothing, x86asm.OUT: Nothing,
	x86asm.MOV: Move, x86asm.MOVZX: Move, x86asm.MOVSX: Move, x86asm.MOVSXD: Move, x86asm.LEA: Address,
	x86asm.PUSH: Push, x86asm.POP: Pop, x86asm.CALL: Call, x86asm.JMP: Jump, x86asm.RET: Return,
	x86asm.AND: Change, x86asm.OR: Change, x86asm.XOR: Change, x86asm.ADC: Change, x86asm.SBB: Change, x86asm.NEG: Change,
	x86asm.NOT: Change, x86asm.SHL: Change, x86asm.SHR: Change, x86asm.SAR: Change, x86asm.ROL: Change, x86asm.ROR: Change,
	x86asm.SHLD: Change, x86asm.SHRD: Change, x86asm.BSF: Change, x86asm.BSR: Change, x86asm.BSWAP: Change,
	x86asm.BTS: Change, x86asm.BTR: Change, x86asm.BTC: Change, x86asm.POPCNT: Change, x86asm.TZCNT: Change, x86asm.LZCNT: Change,
	x86asm.ADD: Change, x86asm.SUB: Change, x86asm.INC: Change, x86asm.DEC: Change, x86asm.IMUL: Change, x86asm.MUL: Change,
	x86asm.DIV: Change, x86asm.IDIV: Change, x86asm.XCHG: Change, x86asm.XADD: Change, x86asm.CMPXCHG: Change,
	x86asm.CMPXCHG8B: Change, x86asm.CMPXCHG16B: Change, x86asm.CDQE: Change, x86asm.CWDE: Change, x86asm.CBW: Change,
	x86asm.CQO: Change, x86asm.CDQ: Change, x86asm.CWD: Change, x86asm.RDTSC: Change, x86asm.RDMSR: Change, x86asm.CPUID: Change,
	x86asm.LODSB: Change, x86asm.LODSW: Change, x86asm.LODSD: Change, x86asm.LODSQ: Change,
	x86asm.MOVSB: Change, x86asm.MOVSW: Change, x86asm.MOVSD: Change, x86asm.MOVSQ: Change,
	x86asm.STOSB: Change, x86asm.STOSW: Change, x86asm.STOSD: Change, x86asm.STOSQ: Change,
	x86asm.CMPSB: Change, x86asm.CMPSQ: Change, x86asm.SCASB: Change, x86asm.SCASQ: Change, x86asm.IN: Change,
}

// x86Implied are the registers that an instruction changes and does not name.
var x86Implied = map[x86asm.Op][]string{
	x86asm.MUL: {"rax", "rdx"}, x86asm.DIV: {"rax", "rdx"}, x86asm.IDIV: {"rax", "rdx"}, x86asm.CQO: {"rdx"}, x86asm.CDQ: {"rdx"},
	x86asm.CWD: {"rdx"}, x86asm.CDQE: {"rax"}, x86asm.CWDE: {"rax"}, x86asm.CBW: {"rax"}, x86asm.RDTSC: {"rax", "rdx"},
	x86asm.RDMSR: {"rax", "rdx"}, x86asm.CPUID: {"rax", "rbx", "rcx", "rdx"}, x86asm.CMPXCHG: {"rax"},
	x86asm.CMPXCHG8B: {"rax", "rdx"}, x86asm.CMPXCHG16B: {"rax", "rdx"}, x86asm.IN: {"rax"},
	x86asm.LODSB: {"rax", "rsi", "rcx"}, x86asm.LODSW: {"rax", "rsi", "rcx"}, x86asm.LODSD: {"rax", "rsi", "rcx"}, x86asm.LODSQ: {"rax", "rsi", "rcx"},
	x86asm.MOVSB: {"rsi", "rdi", "rcx"}, x86asm.MOVSW: {"rsi", "rdi", "rcx"}, x86asm.MOVSD: {"rsi", "rdi", "rcx"}, x86asm.MOVSQ: {"rsi", "rdi", "rcx"},
	x86asm.STOSB: {"rdi", "rcx"}, x86asm.STOSW: {"rdi", "rcx"}, x86asm.STOSD: {"rdi", "rcx"}, x86asm.STOSQ: {"rdi", "rcx"},
	x86asm.CMPSB: {"rsi", "rdi", "rcx"}, x86asm.CMPSQ: {"rsi", "rdi", "rcx"}, x86asm.SCASB: {"rdi", "rcx"}, x86asm.SCASQ: {"rdi", "rcx"},
}

// x86Stack is the memory of the stack that an instruction accesses.
var x86Stack = map[x86asm.Op][]Operand{
	x86asm.PUSH: {onStack("rsp", -8)}, x86asm.CALL: {onStack("rsp", -8)}, x86asm.PUSHFQ: {onStack("rsp", -8)},
	x86asm.POP: {onStack("rsp", 0)}, x86asm.RET: {onStack("rsp", 0)}, x86asm.POPFQ: {onStack("rsp", 0)},
	x86asm.IRETQ: {onStack("rsp", 0)}, x86asm.LEAVE: {onStack("rbp", 0)},
}

func onStack(base string, disp int64) Operand {
	return Operand{Kind: Memory, Size: 8, Base: base, Disp: disp}
}

// x86Effect tells what an instruction of x86_64 does.
func x86Effect(in Inst) Effect {
	switch in.Text {
	case "endbr64", "clac", "stac":
		return Effect{Act: Nothing}
	}
	x, err := x86asm.Decode(in.Bytes, 64)
	if err != nil || x.Op == 0 {
		return Effect{}
	}
	act, known := x86Acts[x.Op]
	name := x.Op.String()
	switch {
	case known:
	case in.Branch && name[0] == 'J':
		return Effect{Act: Branch, Clobbers: nil}
	case strings.HasPrefix(name, "SET"), strings.HasPrefix(name, "CMOV"):
		act = Change
	}
	args := x86Operands(x, in)
	e := Effect{Act: act, Dst: args[0], Src: args[1], Clobbers: x86Implied[x.Op], Stores: act == Move || act == Change}
	for _, a := range args {
		if a.Kind == Memory && act != Address && x.Op != x86asm.NOP {
			e.Accesses = append(e.Accesses, a)
		}
	}
	e.Accesses = append(e.Accesses, x86Stack[x.Op]...)
	e.Stores = e.Stores && args[0].Kind == Memory && x.Op != x86asm.DIV && x.Op != x86asm.IDIV && x.Op != x86asm.MUL
	e.refine(x, args)
	return e
}

// refine are the instructions that are simpler with some operands.
func (e *Effect) refine(x x86asm.Inst, args [4]Operand) {
	whole := args[0].Kind == Register && args[0].Size == 8
	switch x.Op {
	case x86asm.PUSH:
		e.Src, e.Dst = args[0], Operand{}
	case x86asm.CALL, x86asm.JMP:
		e.Src, e.Dst = args[0], Operand{}
	case x86asm.ADD, x86asm.SUB, x86asm.INC, x86asm.DEC:
		n := int64(1)
		if args[1].Kind != None {
			n = args[1].Value
		}
		if x.Op == x86asm.SUB || x.Op == x86asm.DEC {
			n = -n
		}
		if whole && args[1].Kind != Register && args[1].Kind != Memory {
			e.Act, e.Src, e.Plus = Add, args[0], n
		}
	case x86asm.XOR:
		if args[0].Kind == Register && args[0] == args[1] && args[0].Size >= 4 {
			e.Act, e.Src = Move, Operand{Kind: Constant, Size: args[0].Size}
		}
	case x86asm.IMUL, x86asm.MUL, x86asm.DIV, x86asm.IDIV:
		if args[1].Kind == None { // of rdx:rax, by the one operand
			e.Src, e.Dst, e.Clobbers = args[0], Operand{}, []string{"rax", "rdx"}
		}
	case x86asm.XCHG, x86asm.XADD:
		if args[1].Kind == Register {
			e.Clobbers = append([]string{args[1].Reg}, e.Clobbers...)
		}
	}
}

// x86Operands turns the operands of x86asm into ours.
func x86Operands(x x86asm.Inst, in Inst) (out [4]Operand) {
	for i, a := range x.Args {
		switch a := a.(type) {
		case x86asm.Reg:
			out[i] = x86Register(a)
		case x86asm.Imm:
			out[i] = Operand{Kind: Constant, Size: x.DataSize / 8, Value: int64(a)}
		case x86asm.Mem:
			out[i] = x86Memory(x, a, in)
		}
	}
	if x.Op == x86asm.MOVSXD && out[1].Kind == Memory {
		out[1].Size = 4
	}
	return out
}

// wholeRegisters in the order of x86asm.
var wholeRegisters = [16]string{
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
}

// x86Register is a general register; any other is no operand.
func x86Register(r x86asm.Reg) Operand {
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return Operand{Kind: Register, Size: 1, Part: true, Reg: wholeRegisters[r-x86asm.AL]}
	case r >= x86asm.AH && r <= x86asm.BH:
		return Operand{Kind: Register, Size: 1, Part: true, Reg: wholeRegisters[r-x86asm.AH]}
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return Operand{Kind: Register, Size: 1, Part: true, Reg: wholeRegisters[r-x86asm.SPB+4]}
	case r >= x86asm.AX && r <= x86asm.R15W:
		return Operand{Kind: Register, Size: 2, Part: true, Reg: wholeRegisters[r-x86asm.AX]}
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return Operand{Kind: Register, Size: 4, Reg: wholeRegisters[r-x86asm.EAX]}
	case r >= x86asm.RAX && r <= x86asm.R15:
		return Operand{Kind: Register, Size: 8, Reg: wholeRegisters[r-x86asm.RAX]}
	}
	return Operand{}
}

func x86Memory(x x86asm.Inst, m x86asm.Mem, in Inst) Operand {
	o := Operand{Kind: Memory, Size: x.MemBytes, Scale: int(m.Scale), Disp: signed(m.Disp)}
	if m.Segment == x86asm.FS || m.Segment == x86asm.GS {
		o.Segment = strings.ToLower(m.Segment.String())
	}
	switch {
	case m.Base == x86asm.RIP:
		o.Relative, o.Disp = true, int64(in.Target)
	case m.Base != 0:
		o.Base = x86Register(m.Base).Reg
	}
	if wide(x) {
		o.Disp = m.Disp
	}
	if m.Index != 0 {
		o.Index = x86Register(m.Index).Reg
	}
	return o
}
