package disasm

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// x86 decodes x86_64 (mode 64) and i386 (mode 32).
type x86 struct {
	mode   int
	syntax Syntax
}

func (x x86) decode(code []byte, pc uint64) (Inst, int) {
	if text, n := x.extra(code); n > 0 {
		return Inst{Text: text}, n
	}
	in, err := x86asm.Decode(code, x.mode)
	if err != nil || in.Op == 0 {
		in, err = x.trap(code)
	}
	if err != nil || in.Op == 0 {
		return Inst{}, 0
	}
	out := Inst{}
	for i, a := range in.Args {
		switch a := a.(type) {
		case x86asm.Rel:
			out.Target, out.Branch = x.address(pc+uint64(in.Len)+uint64(int64(a))), true
		case x86asm.Mem:
			if x.mode == 64 && a.Base == 0 && a.Index == 0 && relative(code[:in.Len]) {
				a.Base = x86asm.RIP // which x86asm misses where there is a VEX prefix
				in.Args[i] = a
			}
			if a.Base == x86asm.RIP {
				out.Target = x.address(pc + uint64(in.Len) + uint64(signed(a.Disp)))
			}
		}
	}
	if x.syntax == Intel {
		out.Text = intelText(in, code[:in.Len], pc)
	} else {
		out.Text = attText(in, code[:in.Len], pc)
	}
	return out, in.Len
}

// trap decodes ud1 with operands of 64 bits, as kernels have it where UBSAN or a warning
// traps; x86asm knows that of 32 bits only.
func (x x86) trap(code []byte) (x86asm.Inst, error) {
	rex := len(code) - len(bytes.TrimLeft(code, "\x67"))
	if x.mode != 64 || len(code) < rex+3 || code[rex]&0xf8 != 0x48 || code[rex+1] != 0x0f || code[rex+2] != 0xb9 {
		return x86asm.Inst{}, x86asm.ErrUnrecognized
	}
	narrow := bytes.Clone(code[:min(len(code), longestX86)])
	narrow[rex] &^= 8
	in, err := x86asm.Decode(narrow, x.mode)
	for i, p := range in.Prefix {
		if p.IsREX() {
			in.Prefix[i] |= x86asm.PrefixImplicit
		}
	}
	for i, a := range in.Args {
		if r, ok := a.(x86asm.Reg); ok && r >= x86asm.EAX && r <= x86asm.R15L {
			in.Args[i] = r - x86asm.EAX + x86asm.RAX
		}
	}
	return in, err
}

// longestX86 is how many bytes an instruction can have.
const longestX86 = 15

// address is an address as wide as the machine has them.
func (x x86) address(a uint64) uint64 {
	if x.mode == 32 {
		return uint64(uint32(a))
	}
	return a
}

// attNames are mnemonics as objdump has them since binutils 2.37, by those of x86asm.
var attNames = map[string]string{
	"callq": "call", "jmpq": "jmp", "retq": "ret", "leaveq": "leave", "pushq": "push", "popq": "pop",
	"pushfq": "pushf", "popfq": "popf", "cdqe": "cltq", "cqo": "cqto", "cdq": "cltd", "cwde": "cwtl", "cwd": "cwtd", "cbw": "cbtw",
	"movsxd": "movslq", "lcallq": "lcall", "ljmpq": "ljmp", "icebp": "int1",
	"lgdtl": "lgdt", "lidtl": "lidt", "sgdtl": "sgdt", "sidtl": "sidt", "shlxq": "shlx", "shrxq": "shrx", "sarxq": "sarx",
	"shlxl": "shlx", "shrxl": "shrx", "sarxl": "sarx",
}

// registers of an address in AT&T syntax.
var registers = regexp.MustCompile(`\((%[^)]*|,[^)]*)\)`)

// attText is the text of x86asm, put into objdump's words.
func attText(in x86asm.Inst, code []byte, pc uint64) string {
	in, disp := marked(in, code)
	op, args := mnemonic(x86asm.GNUSyntax(in, pc, nil))
	if name := attNames[op.name]; name != "" {
		op.name = name
	}
	if wide(in) {
		op.name = "movabs"
	}
	if in.Op == x86asm.JMP || in.Op == x86asm.CALL {
		op.prefixes = strings.Replace(op.prefixes, "ds ", "notrack ", 1)
	}
	switch in.Op {
	case x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSD, x86asm.CMPSQ, x86asm.SCASB, x86asm.SCASW, x86asm.SCASD, x86asm.SCASQ:
		op.prefixes = strings.Replace(op.prefixes, "rep ", "repz ", 1)
	case x86asm.MONITOR:
		args = "%rax,%ecx,%edx"
	case x86asm.MWAIT:
		args = "%eax,%ecx"
	case x86asm.LRET:
		op.prefixes = strings.TrimSuffix(op.prefixes, "rex.W ")
	case x86asm.NOP:
		if n := bytes.Count(code, []byte{0x66}); in.Opcode>>24 == 0x90 && n > 0 {
			return strings.Repeat("data16 ", n-1) + "xchg   %ax,%ax"
		}
		op.prefixes, args = paddingPrefixes(code), strings.TrimPrefix(args, "%cs:")
	}
	args = registers.ReplaceAllStringFunc(strings.Replace(args, mark, disp, 1), attIndex)
	was, should := unsigned(in)
	return op.join(strings.Replace(args, "$"+was, "$"+should, 1))
}

// marked puts a mark in the place of the displacement and gives what is to be shown there:
// x86asm drops one of zero, and extends some with zeroes.
func marked(in x86asm.Inst, code []byte) (x86asm.Inst, string) {
	for i, a := range in.Args {
		if m, ok := a.(x86asm.Mem); ok {
			disp := displacement(in, m, code)
			if m.Disp = 0; disp != "" {
				m.Disp = markDisp
			}
			in.Args[i] = m
			return in, disp
		}
	}
	return in, ""
}

// mark stands for a displacement while the text is made.
const (
	mark     = "0x6b61757470737931"
	markDisp = 0x6b61757470737931
)

// paddingPrefixes are those of a nop that does nothing but fill: the first 66 belongs to
// nopw itself.
func paddingPrefixes(code []byte) string {
	nop := max(bytes.IndexByte(code, 0x0f), 0)
	wide, cs := bytes.Count(code[:nop], []byte{0x66}), bytes.Count(code[:nop], []byte{0x2e})
	return strings.Repeat("data16 ", max(wide-1, 0)) + strings.Repeat("cs ", cs)
}

// attIndex is what stands in the parentheses: a scale always with an index, no index that
// is none.
func attIndex(regs string) string {
	if regs == "(%r12,%riz)" || regs == "(%rsp,%riz)" {
		return strings.Replace(regs, ",%riz", "", 1)
	}
	if strings.Count(regs, ",") == 1 {
		return strings.Replace(regs, ")", ",1)", 1)
	}
	return regs
}

// words are a mnemonic and the prefixes before it.
type words struct{ prefixes, name string }

// join puts an instruction together again.
func (w words) join(args string) string {
	if args == "" {
		return w.prefixes + w.name
	}
	return fmt.Sprintf("%s%-6s %s", w.prefixes, w.name, args)
}

// prefixes are those that stand as a word before the mnemonic.
var prefixes = regexp.MustCompile(`^((?:lock|rep|repz|repnz|repe|repne|repn|data16|data32|addr32|addr16|cs|ds|es|ss|fs|gs|notrack|bnd|xacquire|xrelease|rex(?:\.[WRXB]+)?) )*`)

// mnemonic cuts the text of an instruction before its operands.
func mnemonic(text string) (words, string) {
	before := prefixes.FindString(text + " ")
	name, args, _ := strings.Cut(strings.TrimPrefix(text, before), " ")
	return words{before, name}, args
}

// wide tells of a move with an operand of eight bytes in the instruction.
func wide(in x86asm.Inst) bool {
	op := in.Opcode >> 24
	return in.Op == x86asm.MOV && in.Len >= 9 && (op >= 0xb8 && op <= 0xbf || op&0xfc == 0xa0)
}

// displacement is what is added to the registers, "" where the encoding has none.
func displacement(in x86asm.Inst, m x86asm.Mem, code []byte) string {
	d := m.Disp
	if !wide(in) {
		d = signed(d)
	}
	absolute := m.Base == 0 && m.Index == 0
	switch {
	case absolute && in.Mode == 32:
		return fmt.Sprintf("%#x", uint32(d))
	case absolute:
		return fmt.Sprintf("%#x", uint64(d))
	case d < 0:
		return fmt.Sprintf("-%#x", -d)
	case d != 0 || displaced(code):
		return fmt.Sprintf("%#x", d)
	}
	return ""
}

// signed is a displacement with its sign, which x86asm loses at times.
func signed(d int64) int64 {
	if d == int64(uint32(d)) {
		return int64(int32(d))
	}
	return d
}

// displaced tells whether the instruction has a displacement at all: one of zero is shown
// too.
func displaced(code []byte) bool {
	rest := modRM(code)
	if len(rest) == 0 {
		return false
	}
	mod, rm := rest[0]>>6, rest[0]&7
	switch {
	case mod == 0 && rm == 4:
		return len(rest) > 1 && rest[1]&7 == 5
	case mod == 0:
		return rm == 5
	}
	return mod != 3
}

// relative tells of memory addressed relative to the instruction, in 64-bit mode.
func relative(code []byte) bool {
	rest := modRM(code)
	return (code[0] == 0xc4 || code[0] == 0xc5 || code[0] == 0x62) && len(rest) > 0 && rest[0]&0xc7 == 5
}

// modRM is the code from the ModRM byte on.
func modRM(code []byte) []byte {
	for len(code) > 0 && strings.IndexByte("\x66\x67\xf0\xf2\xf3\x2e\x36\x3e\x26\x64\x65", code[0]) >= 0 {
		code = code[1:]
	}
	if len(code) > 0 && code[0]&0xf0 == 0x40 {
		code = code[1:]
	}
	skip := 1
	switch {
	case len(code) < 2:
	case code[0] == 0x0f && (code[1] == 0x38 || code[1] == 0x3a):
		skip = 3
	case code[0] == 0x0f:
		skip = 2
	case code[0] == 0xc5:
		skip = 3
	case code[0] == 0xc4:
		skip = 4
	case code[0] == 0x62:
		skip = 5
	}
	return code[min(skip, len(code)):]
}

// unsigned shows an immediate as wide as the operation and without a sign: was is how the
// text has it, should is how objdump does.
func unsigned(in x86asm.Inst) (was, should string) {
	for _, a := range in.Args {
		if imm, ok := a.(x86asm.Imm); ok && imm < 0 {
			gap := 64 - operationBits(in)
			return fmt.Sprintf("%#x", int64(imm)), fmt.Sprintf("%#x", uint64(imm)<<gap>>gap)
		}
	}
	return "", ""
}

// operationBits is how wide an operation with an immediate is.
func operationBits(in x86asm.Inst) int {
	switch a := in.Args[0].(type) {
	case x86asm.Imm: // push
		return in.Mode
	case x86asm.Reg:
		if x86asm.AL <= a && a <= x86asm.R15B {
			return 8
		}
	case x86asm.Mem:
		if in.MemBytes > 0 && in.MemBytes <= 8 {
			return 8 * in.MemBytes
		}
	}
	return in.DataSize
}
