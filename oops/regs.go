package oops

import "strings"

// registerNames are the registers that reports show, beside the numbered ones of numbered.
var registerNames = nameSet("RAX RBX RCX RDX RSI RDI RBP RSP EFLAGS RFLAGS ORIG_RAX " + // x86-64
	"EAX EBX ECX EDX ESI EDI EBP ESP " + // i386
	"CS DS ES FS GS SS knlGS PKRU " +
	"sp lr pc fp ip pstate pmr " + // arm64, arm
	"epc ra gp tp status badaddr cause " + // riscv64
	"NIP CTR MSR XER CR CFAR DAR DSISR IRQMASK LR") // ppc64

// numbered are the prefixes of registers that are numbered.
var numbered = nameSet("R x r w s t a CR DR")

func nameSet(names string) map[string]bool {
	set := make(map[string]bool)
	for _, n := range strings.Fields(names) {
		set[n] = true
	}
	return set
}

func isRegister(name string) bool {
	if registerNames[name] {
		return true
	}
	letters := strings.TrimRight(name, "0123456789")
	return len(name) > len(letters) && len(name) <= len(letters)+2 && numbered[letters]
}

// registers reads a line of registers into set and reports whether it is one:
//
//	RSP: 0018:ffffce80000d0ea8 EFLAGS: 00000202
//	FS:  0000000000000000(0000) GS:ffff8c78de900000(0000) knlGS:0000000000000000
//	x29: ffff80000a51bc60 x28: ffff00000466dc40 x27: 0000000000000000
//	sp : ffff80000a51bc60
func registers(s string, set map[string]Address) bool {
	found := false
	for {
		name, v, rest, ok := cutRegister(s)
		if !ok {
			return found
		}
		set[name] = Address(v)
		found = true
		s = rest
	}
}

// cutRegister reads one "NAME: value", the value with a selector before it or behind it in parentheses.
func cutRegister(s string) (name string, v uint64, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	n := run(s, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' })
	if n < 2 || n > 8 || !isRegister(s[:n]) {
		return "", 0, s, false
	}
	name, s = s[:n], strings.TrimLeft(s[n:], " ")
	if s, ok = strings.CutPrefix(s, ":"); !ok {
		return "", 0, s, false
	}
	s = strings.TrimLeft(s, " ")
	if d := run(s, isHex); d == 4 && strings.HasPrefix(s[d:], ":") {
		s = s[d+1:]
	}
	if v, s, ok = cutHex(s); !ok {
		return "", 0, s, false
	}
	if strings.HasPrefix(s, "(") {
		if _, behind, closed := strings.Cut(s, ")"); closed {
			s = behind
		}
	}
	return name, v, s, s == "" || s[0] == ' ' || s[0] == '\t'
}
