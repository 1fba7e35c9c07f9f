package disasm

import (
	"bytes"
	"regexp"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// intelNames are mnemonics of Intel syntax as objdump has them, by those of x86asm.
var intelNames = map[string]string{
	"pushfq": "pushf", "popfq": "popf", "ret far": "retf",
	"jnb": "jae", "jnbe": "ja", "jnl": "jge", "jnle": "jg", "jz": "je", "jnz": "jne",
	"setnb": "setae", "setnbe": "seta", "setnl": "setge", "setnle": "setg", "setz": "sete", "setnz": "setne",
	"cmovnb": "cmovae", "cmovnbe": "cmova", "cmovnl": "cmovge", "cmovnle": "cmovg", "cmovz": "cmove", "cmovnz": "cmovne",
}

var (
	intelWidth    = regexp.MustCompile(`\b(byte|word|dword|qword|xmmword|ymmword|tbyte|OWORD) ptr\b`)
	intelIndex    = regexp.MustCompile(`\b([1248])\*(\w+)`)
	intelSingle   = regexp.MustCompile(`\[(\w+)\+([a-z]\w+)([]+-])`)
	intelAbsolute = regexp.MustCompile(`(\w\w:)?\[(0x[0-9a-f]+)\]`)
)

// intelText is the text of x86asm, put into objdump's words.
func intelText(in x86asm.Inst, code []byte, pc uint64) string {
	in, disp := marked(in, code)
	op, args := mnemonic(x86asm.IntelSyntax(in, pc, nil))
	if name := intelNames[op.name]; name != "" {
		op.name = name
	}
	switch {
	case wide(in):
		op.name = "movabs"
	case in.Op == x86asm.LRET:
		op.name, args = "retf", strings.TrimPrefix(args, "far")
		if code[0] == 0x48 {
			op.name = "retfq"
		}
	case (in.Op == x86asm.CALL || in.Op == x86asm.JMP) && code[0] == 0x2e:
		op.prefixes = "cs "
	case in.Op == x86asm.NOP:
		if n := bytes.Count(code, []byte{0x66}); in.Opcode>>24 == 0x90 && n > 0 {
			return strings.Repeat("data16 ", n-1) + "xchg   ax,ax"
		}
		args, _, _ = strings.Cut(args, ", ")
		op.prefixes = paddingPrefixes(code)
	}
	if name, operands := intelString(in); name != "" {
		op.name, args = name, operands
	}
	args = intelOperands(in, args, disp)
	if was, should := unsigned(in); in.Op == x86asm.PUSH && was != "" {
		args = should // which x86asm has as 32 bits
	} else if before, ok := strings.CutSuffix(args, was); ok {
		args = before + should
	}
	return op.join(args)
}

// intelOperands are the operands in objdump's spelling.
func intelOperands(in x86asm.Inst, args, disp string) string {
	if strings.HasPrefix(disp, "-") {
		args = strings.Replace(args, "+"+mark, disp, 1)
	}
	args = strings.Replace(args, mark, disp, 1)
	args = strings.Replace(args, "zmmword ptr", "byte ptr", 1) // of prefetches
	args = strings.TrimPrefix(args, "ptr ")
	args = strings.Replace(args, ", ptr [", ",[", 1)
	if in.Op == x86asm.CMPXCHG16B {
		args = strings.Replace(args, "xmmword", "OWORD", 1)
	}
	args = intelIndex.ReplaceAllString(args, "$2*$1")
	args = intelSingle.ReplaceAllString(args, "[$1+$2*1$3")
	args = intelAbsolute.ReplaceAllStringFunc(args, func(s string) string {
		m := intelAbsolute.FindStringSubmatch(s)
		if m[1] == "" {
			m[1] = "ds:"
		}
		return m[1] + m[2]
	})
	args = intelWidth.ReplaceAllStringFunc(strings.ReplaceAll(args, ", ", ","), strings.ToUpper)
	if in.Opcode>>24&^3 == 0xd0 && strings.HasSuffix(args, ",0x1") {
		args = strings.TrimSuffix(args, "0x1") + "1"
	}
	return args
}

// intelStrings are the operands of instructions on strings.
var intelStrings = map[string]string{
	"MOVS": "WIDTH PTR es:[DI],WIDTH PTR ds:[SI]",
	"CMPS": "WIDTH PTR ds:[SI],WIDTH PTR es:[DI]",
	"STOS": "WIDTH PTR es:[DI],ACC",
	"LODS": "ACC,WIDTH PTR ds:[SI]",
	"SCAS": "ACC,WIDTH PTR es:[DI]",
	"INS":  "WIDTH PTR es:[DI],dx",
	"OUTS": "dx,WIDTH PTR ds:[SI]",
}

// intelString is the spelling of an instruction on strings.
func intelString(in x86asm.Inst) (name, args string) {
	op := in.Op.String()
	op, letter := op[:len(op)-1], op[len(op)-1]
	form, width := intelStrings[op], strings.IndexByte("BWDQ", letter)
	if form == "" || width < 0 {
		return "", ""
	}
	long := "r"
	if in.AddrSize == 32 {
		long = "e"
	}
	return strings.ToLower(op), strings.NewReplacer(
		"WIDTH", []string{"BYTE", "WORD", "DWORD", "QWORD"}[width],
		"ACC", []string{"al", "ax", "eax", "rax"}[width],
		"DI", long+"di", "SI", long+"si").Replace(form)
}
