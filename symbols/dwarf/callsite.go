package dwarf

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// CallSite is what the debug information says of a call: what was in the registers of its
// arguments, in terms of what the caller has kept (DWARF 5, 3.4.1; GCC 4.7 on).
type CallSite struct {
	Function string // that is called, "" of an indirect call

	u      *Unit
	target []byte // of an indirect call: where it goes
	values []callValue
}

// callValue is the value of a register at a call, or of an argument that the compiler took
// out of the function's own (reg is -1).
type callValue struct {
	reg   int
	param int64 // the entry of such an argument
	expr  []byte
}

// Passed is what an expression asks of the caller: what it had put into a register, or would
// have passed as an argument that the compiler took away.
type Passed struct {
	reg   int
	param int64 // the argument's entry, 0: reg
}

// maxCallValues bounds the arguments of a call.
const maxCallValues = 256

// CallSite finds the call that returns to an address of the file. The error wraps ErrNoDebug
// where the debug information does not know one.
func (f *File) CallSite(ret uint64) (*CallSite, error) {
	fn, err := f.functionAt(ret - 1)
	if err != nil {
		return nil, err
	}
	for fn.Next() && fn.Depth > 0 {
		if fn.Tag != TagCallSite && fn.Tag != TagGNUCallSite {
			if !slices.Contains([]Tag{TagInlinedSubroutine, TagLexicalBlock}, fn.Tag) {
				fn.SkipChildren()
			}
			continue
		}
		v, ok := fn.Attr(AttrCallReturnPC)
		if !ok {
			v, ok = fn.Attr(AttrLowPC) // GNU
		}
		if at, err := v.Address(); ok && err == nil && at == ret {
			return fn.callSite()
		}
		fn.SkipChildren()
	}
	if err := fn.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the call that returns to %#x: %w", ret, ErrNoDebug)
}

// callSite reads the current entry.
func (f *functionEntry) callSite() (*CallSite, error) {
	c := &CallSite{u: f.u}
	for _, a := range []Attr{AttrCallOrigin, AttrAbstractOrigin} {
		v, ok := f.Attr(a)
		if !ok {
			continue
		}
		off, err := v.Ref()
		if err != nil {
			return nil, err
		}
		e, err := f.u.f.EntryAt(off)
		if err != nil {
			return nil, err
		}
		s, err := e.u.scope(e)
		if err != nil {
			return nil, err
		}
		c.Function = s.name
	}
	for _, a := range []Attr{AttrCallTarget, AttrGNUCallTarget} {
		if v, ok := f.Attr(a); ok {
			c.target = slices.Clone(v.Bytes())
		}
	}
	top := f.Depth
	for f.Children && f.Next() && f.Depth > top && len(c.values) < maxCallValues {
		if f.Tag == TagCallSiteParameter || f.Tag == TagGNUCallSiteParam {
			c.value(f.Entries)
		}
		f.SkipChildren()
	}
	return c, f.Err()
}

// value reads what is said of one register or argument.
func (c *CallSite) value(e *Entries) {
	v := callValue{reg: -1}
	for _, a := range []Attr{AttrCallParameter, AttrAbstractOrigin} {
		if to, ok := e.Attr(a); ok {
			v.param, _ = to.Ref()
		}
	}
	if at, ok := e.Attr(AttrLocation); ok {
		if v.reg, ok = registerOf(at.Bytes()); !ok {
			return // on the stack
		}
	}
	for _, a := range []Attr{AttrCallValue, AttrGNUCallValue} {
		if value, ok := e.Attr(a); ok {
			v.expr = slices.Clone(value.Bytes())
			c.values = append(c.values, v)
		}
	}
}

// Value is what was passed at the call, by what m knows of the caller's frame; the error
// wraps ErrOptimised where the compiler has noted nothing.
func (c *CallSite) Value(p Passed, m *Machine) (uint64, error) {
	i := slices.IndexFunc(c.values, func(v callValue) bool {
		return p.param != 0 && v.param == p.param || p.param == 0 && v.reg == p.reg
	})
	if i < 0 {
		return 0, fmt.Errorf("the caller has not kept it: %w", ErrOptimised)
	}
	m.unit = c.u
	return m.Run(c.values[i].expr)
}

// Target is where an indirect call goes. The error wraps phys.ErrUnsupported where nothing
// says it.
func (c *CallSite) Target(m *Machine) (uint64, error) {
	if c.target == nil {
		return 0, fmt.Errorf("where the call goes: %w", phys.ErrUnsupported)
	}
	m.unit = c.u
	return m.Run(c.target)
}
