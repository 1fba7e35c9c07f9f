package oops

import "strings"

// marks are the context marks in a trace, and the context of the frames behind them. A closing mark goes back
// to no mark; the 2.6 forms <EOI> and <<EOE>> go back to the task.
var marks = map[string]Context{
	"<IRQ>": InIRQ, "<SOFTIRQ>": InSoftIRQ, "<NMI>": InNMI, "<TASK>": InTask,
	"<#DF>": InException, "<#DB>": InException, "<#MC>": InException, "<#VC>": InException, "<#VC2>": InException,
	"<ENTRY>": InException, "<ENTRY_TRAMPOLINE>": InException, "<ESPFIX>": InException, "<HARDIRQ>": InIRQ,
	"<#CP>": InException, "<DOUBLE-FAULT>": InException, "<DEBUG>": InException, "<MCE>": InException,
	"<EOI>": InTask, "<<EOE>>": InTask,
	"</IRQ>": "", "</SOFTIRQ>": "", "</NMI>": "", "</TASK>": "", "</#DF>": "", "</#DB>": "", "</#MC>": "",
	"</#VC>": "", "</#VC2>": "", "</ENTRY>": "", "</ENTRY_TRAMPOLINE>": "", "</ESPFIX>": "", "</#CP>": "",
}

// cutMarks takes the context marks that s begins with. ok is false when there is none.
func cutMarks(s string, c Context) (_ Context, rest string, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, "<") {
			return c, s, ok
		}
		mark, _ := word(s)
		next, known := marks[mark]
		if !known {
			return c, s, ok
		}
		c, s, ok = next, s[len(mark):], true
	}
}

// parseFrame reads an entry of a trace without its context marks:
//
//	 [<ffffffff8104e2ae>] ? fn+0x10/0x20 [mod]     to 4.9; a web page may have eaten the address: []
//	 ? fn+0x10/0x20 [mod 0123abcd]                 since 4.10; build id as an option since 5.14
//	 fn+0x10/0x20 (P)                              arm64, since 6.14
//	[c0000...] [c0000...] fn+0x10/0x20 (unreliable)      ppc64
func parseFrame(s string) (Frame, bool) {
	f, rest, ok := cutPlace(s)
	if !ok || f.Symbol == "" && f.Address == nil {
		return f, false
	}
	if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "(unreliable)") {
		f.Unsure = true
	} else if rest != "" && rest[0] != '(' && rest[0] != ')' {
		return f, false
	}
	return f, true
}

// cutPlace reads the place in code that s begins with: addresses in brackets, "? ", and fn+0x10/0x20 [mod], or
// a bare address for code without a symbol.
func cutPlace(s string) (f Frame, rest string, ok bool) {
	s, f.Address, ok = cutAddresses(s)
	if q := strings.TrimPrefix(s, "? "); q != s {
		f.Unsure, s = true, q
	}
	name := run(s, isSymbol)
	if name > 0 && strings.HasPrefix(s[name:], "+0x") {
		return cutOffset(f, s[:name], s[name+1:])
	}
	if after, null := strings.CutPrefix(s, "(null)"); null {
		f.Address = new(Address)
		return f, after, true
	}
	if strings.HasPrefix(s, "0x") {
		if v, after, hex := cutHex(s); hex {
			a := Address(v)
			f.Address = &a
			return f, after, true
		}
	}
	return f, s, ok
}

// cutOffset reads "0x10/0x20 [mod]" behind a symbol.
func cutOffset(f Frame, symbol, s string) (Frame, string, bool) {
	f.Symbol = symbol
	var ok bool
	if f.Offset, s, ok = cutHex(s); !ok {
		return f, s, false
	}
	if after, sized := strings.CutPrefix(s, "/"); sized {
		if f.Size, s, ok = cutHex(after); !ok {
			return f, s, false
		}
	}
	if after, in := strings.CutPrefix(s, " ["); in {
		if name, behind, closed := strings.Cut(after, "]"); closed && !strings.HasPrefix(name, "<") {
			f.Module, name = word(name)
			if id := strings.TrimSpace(name); isBuildID(id) {
				f.BuildID = id
			}
			s = behind
		}
	}
	return f, s, true
}

// cutAddresses takes the addresses in brackets that s begins with and keeps the last: [<ffffffff8104e2ae>],
// [ffffffff8104e2ae], [<          (null)>], or the empty [] that is left when <...> was taken for markup.
func cutAddresses(s string) (rest string, a *Address, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t(")
		if !strings.HasPrefix(s, "[") {
			return s, a, ok
		}
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return s, a, ok
		}
		inside := strings.Trim(s[1:end], "<> ")
		v, junk, hex := cutHex(inside)
		switch {
		case hex && junk == "":
			found := Address(v)
			a = &found
		case inside == "(null)":
			a = new(Address)
		case inside != "":
			return s, a, ok
		}
		s, ok = s[end+1:], true
	}
}

// isSymbol reports whether c may stand in the name of a function: C, compiler suffixes, Rust's mangling.
func isSymbol(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '_' || c == '.' || c == '$'
}

// programCounter reads what follows "RIP:", "IP:", "EIP:", "pc :" and the like. user is true when the code
// segment before the address is a user's.
func programCounter(s string) (f Frame, ok bool) {
	s = strings.TrimLeft(s, " ")
	if n := run(s, isHex); n > 0 && n <= 4 && n < len(s) && s[n] == ':' {
		if selector, _, _ := cutHex(s[:n]); selector&3 == 3 { // requested privilege level 3
			f.Context = InUser
		}
		s = s[n+1:]
	}
	place, _, ok := cutPlace(strings.TrimLeft(s, " "))
	if !ok || place.Symbol == "" && place.Address == nil {
		if !strings.HasPrefix(strings.TrimLeft(s, " "), "[]") {
			return f, false
		}
	}
	place.Context = f.Context
	// The "?" before RIP's function on old kernels is no doubt about RIP.
	place.Unsure = false
	return place, place.Symbol != "" || place.Address != nil
}
