package dataflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// Names tells what addresses are.
type Names interface {
	// Variable is the variable around an address, the distance from its begin and its type,
	// nil if that is not known; "" for no variable.
	Variable(addr uint64) (name string, off uint64, t *symbols.Type)
	// PerCPU is the variable at an offset in each CPU's memory, likewise.
	PerCPU(off uint64) (name string, in uint64, t *symbols.Type)
	// Function is the function that begins at an address, and what it gives back: nil if
	// that is not known.
	Function(addr uint64) (name string, returns *symbols.Type)
}

// place is what an operand in memory is, in the words of the source.
type place struct {
	text  string        // "w->next"
	typ   *symbols.Type // nil if more than one is possible, or none fits the size
	owner *symbols.Type // the struct whose member it is, nil for none
	path  string        // of the member
}

// load is what stands in memory.
func (f *function) load(s *state, o disasm.Operand) Value {
	if a := s.address(o); a.kind == frame {
		if o.Size != 8 {
			return Value{}
		}
		return s.stack[a.Add]
	}
	p := f.place(s, o)
	v := named(p.text, p.typ)
	if v.Type == nil {
		v.size = o.Size
	}
	return v.narrow(o.Size)
}

// place names what an operand in memory is.
func (f *function) place(s *state, o disasm.Operand) place {
	a := s.address(o)
	if a.kind == constant {
		find := f.names.Variable
		if o.Segment != "" {
			find = f.names.PerCPU
		}
		name, off, t := find(uint64(a.Add))
		switch {
		case name == "":
			return place{}
		case t == nil && off == 0:
			return place{text: "[" + name + "]"} // the memory there, whatever it is
		case t == nil:
			return place{text: fmt.Sprintf("[%s+%#x]", name, off)}
		}
		return in(name, ".", t, off, o.Size)
	}
	if a.kind != pointer || a.Type == nil || o.Segment != "" || a.Add < 0 {
		return place{}
	}
	u := a.Type.Underlying()
	if u.Kind != symbols.KindPointer {
		return place{}
	}
	return in(a.Text, "->", u.Elem(), uint64(a.Add), o.Size)
}

// maxNames is how many members of a union are named.
const maxNames = 3

// in names what lies at an offset of t, to which text leads; by says how its members are
// reached.
func in(text, by string, t *symbols.Type, off uint64, size int) (p place) {
	found := t.At(off)
	fits := func(m symbols.Member) bool {
		at, n := m.Bytes()
		return at == off && n == uint64(size)
	}
	if slices.ContainsFunc(found, fits) {
		found = slices.DeleteFunc(found, func(m symbols.Member) bool { return !fits(m) })
		p.typ = found[0].Type()
	}
	var paths []string
	for _, m := range found {
		if p.typ != nil && !sameType(p.typ, m.Type()) {
			p.typ = nil
		}
		paths = append(paths, m.Name)
	}
	if len(paths) == 0 || len(paths) > maxNames {
		return place{}
	}
	p.path = strings.Join(paths, "|")
	if t.Underlying().Aggregate() {
		p.owner = t
	}
	switch {
	case text == "":
	case p.path == "" && by == ".":
		p.text = text
	case p.path == "":
		p.text = "*" + text
	case strings.HasPrefix(p.path, "["):
		p.text = text + p.path
	default:
		p.text = text + by + p.path
	}
	if p.text == "current_task" || p.text == "pcpu_hot.current_task" { // x86
		p.text = "current"
	}
	return p
}
