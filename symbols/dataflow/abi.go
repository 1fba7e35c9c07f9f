package dataflow

import "github.com/kautopsy/kautopsy/symbols"

// abi is how functions call each other.
type abi struct {
	args    []string // registers of the arguments
	result  string
	sp, fp  string
	changed []string // by a call
	entry   uint64   // how far into a function the call of the tracer may stand
}

var abis = map[string]*abi{
	"x86_64": {
		args: []string{"rdi", "rsi", "rdx", "rcx", "r8", "r9"}, result: "rax", sp: "rsp", fp: "rbp", entry: 4,
		changed: []string{"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"},
	},
}

// enter puts the arguments where the caller has put them. A struct passed by value takes a
// register for each 8 bytes, and one of more than 16 none; no kernel function has any that
// is passed in part.
func (a *abi) enter(params []symbols.Param) *state {
	s := newState()
	s.regs[a.sp] = Value{kind: frame}
	next := 0
	for _, p := range params {
		t := p.Type()
		size := t.Size()
		if t.Kind == symbols.KindVoid { // "..."
			break
		}
		n := 1
		if u := t.Underlying(); u.Aggregate() || size > 8 {
			if n = int(min(size+7, 32) / 8); n > 2 {
				continue
			}
		}
		if next+n > len(a.args) {
			break
		}
		if n == 1 && !t.Underlying().Aggregate() && p.Name != "" {
			s.regs[a.args[next]] = named(p.Name, t)
		}
		next += n
	}
	return s
}
