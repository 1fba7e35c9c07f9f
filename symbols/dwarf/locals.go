package dwarf

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/symbols"
)

// Scope is a function at an address and its variables: those of the function itself and of
// the blocks in it that cover the address.
type Scope struct {
	Function  string
	Inlined   bool // into that of the Scope behind this one
	Variables []*Variable
}

// Variable is an argument or a local variable as it is at one address.
type Variable struct {
	Name      string // "" of an argument that the source does not name
	Parameter bool
	Line      int // of its declaration
	// Hidden: a block in the block of this one has another of its name.
	Hidden bool

	u      *Unit
	off    int64 // of its entry
	typeAt int64 // of its type's entry, 0: void
	expr   []byte
	konst  *Value
	err    error
}

// Scopes gives the functions at an address of the file and their variables: first the
// innermost inlined one, last the function that is really there, as Source does. What a
// call's return needs is Source's too: one address less. An address that no function of the
// debug information covers is ErrNoDebug. A variable that cannot be read says so when it is
// asked.
func (f *File) Scopes(pc uint64) ([]Scope, error) {
	fn, err := f.functionAt(pc)
	if err != nil {
		return nil, err
	}
	return fn.scopes()
}

// functionAt is the function that covers an address.
func (f *File) functionAt(pc uint64) (*functionEntry, error) {
	u, err := f.UnitOf(pc)
	if err != nil {
		return nil, err
	}
	e, low, err := u.enter(pc)
	if err == nil && e == nil {
		err = fmt.Errorf("address %#x: %w", pc, ErrNoDebug)
	}
	if err != nil {
		return nil, err
	}
	return &functionEntry{e, pc, low}, nil
}

// functionEntry is a walk that stands on the function that covers pc.
type functionEntry struct {
	*Entries
	pc, low uint64 // low: where the piece of it begins that pc is in
}

// maxVariables bounds those of one function; some hundreds are seen.
const maxVariables = 1 << 14

// scopes reads the function's variables.
func (f *functionEntry) scopes() ([]Scope, error) {
	s, err := f.u.scope(f.Entries)
	if err != nil {
		return nil, err
	}
	list, all := []Scope{{Function: s.name}}, 0
	err = f.covering(f.pc, func() error {
		s, err := f.u.scope(f.Entries)
		list = append(list, Scope{Function: s.name, Inlined: true})
		return err
	}, func(scope int) {
		if all++; all <= maxVariables && !f.Has(AttrDeclaration) {
			list[scope].Variables = append(list[scope].Variables, f.variable())
		}
	})
	slices.Reverse(list)
	for _, s := range list {
		hide(s.Variables)
	}
	return list, err
}

// hide marks the variables that cannot be seen for those of inner blocks, which come behind.
func hide(list []*Variable) {
	last := map[string]*Variable{}
	for _, v := range list {
		if outer := last[v.Name]; outer != nil && v.Name != "" {
			outer.Hidden = true
		}
		last[v.Name] = v
	}
}

// variable reads the current entry. What it is a copy of says its name and its type.
func (f *functionEntry) variable() *Variable {
	v := &Variable{Parameter: f.Tag == TagFormalParameter, u: f.u, off: f.Off}
	v.err = v.read(f)
	if v.err == nil {
		v.err = f.Err()
	}
	if f.Err() != nil { // what cannot be read of one is no reason to lose the others
		f.r.err = nil
	}
	return v
}

func (v *Variable) read(f *functionEntry) (err error) {
	if err := v.declared(f.Entries); err != nil {
		return err
	}
	if k, ok := f.Attr(AttrConstValue); ok {
		k.bytes = slices.Clone(k.bytes)
		v.konst = &k
		return nil
	}
	v.expr, err = f.location(AttrLocation, f.pc)
	return err
}

// declared follows DW_AT_abstract_origin to where the variable is declared.
func (v *Variable) declared(e *Entries) (err error) {
	for range maxOrigins {
		if v.Name == "" {
			if v.Name, err = e.Name(); err != nil {
				return err
			}
		}
		if line, ok := e.Uint(AttrDeclLine); ok && v.Line == 0 {
			v.Line = int(line)
		}
		if t, ok := e.Attr(AttrType); ok && v.typeAt == 0 {
			if v.typeAt, err = t.Ref(); err != nil {
				return err
			}
		}
		to, ok := e.Attr(AttrAbstractOrigin)
		if !ok {
			if to, ok = e.Attr(AttrSpecification); !ok {
				break
			}
		}
		off, err := to.Ref()
		if err != nil {
			return err
		}
		if e, err = e.u.f.EntryAt(off); err != nil {
			return err
		}
	}
	return e.Err()
}

// Type is the type of the variable.
func (v *Variable) Type() (*symbols.Type, error) {
	t, err := v.u.f.Types()
	if err != nil {
		return nil, err
	}
	return t.ByID(symbols.TypeID(v.typeAt))
}

// Locate says where the value of the variable is, by what m knows of its frame. The error
// wraps ErrOptimised where the compiler kept none, and RegisterError where m does not know a
// register that it needs.
func (v *Variable) Locate(m *Machine) ([]Piece, error) {
	switch {
	case v.err != nil:
		return nil, v.err
	case v.konst != nil:
		return v.constant()
	case len(v.expr) == 0:
		return nil, ErrOptimised
	}
	m.unit = v.u
	return m.Locate(v.expr)
}

// constant is the value that the debug information has itself.
func (v *Variable) constant() ([]Piece, error) {
	p := Piece{Kind: PieceBytes, Bytes: v.konst.Bytes()}
	switch v.konst.Class() {
	case ClassConstant:
		if p.Bytes == nil {
			p = Piece{Kind: PieceValue, Value: uint64(v.konst.Int())}
		}
	case ClassBlock:
	case ClassString:
		s, err := v.konst.Text()
		if err != nil {
			return nil, err
		}
		p.Bytes = []byte(s + "\x00")
	default:
		return nil, v.konst.unsupported("constant")
	}
	return []Piece{p}, nil
}

// FrameBase computes what DW_OP_fbreg counts from in the function at an address of the file.
func (f *File) FrameBase(pc uint64, m *Machine) (uint64, error) {
	fn, err := f.functionAt(pc)
	if err != nil {
		return 0, err
	}
	expr, err := fn.location(AttrFrameBase, pc)
	if err != nil {
		return 0, err
	}
	m.unit = fn.u
	if reg, ok := registerOf(expr); ok { // clang: the register itself
		v, ok := m.Regs.Register(reg)
		if !ok {
			return 0, &RegisterError{reg}
		}
		return v, nil
	}
	if len(expr) == 0 {
		return 0, fmt.Errorf("no frame base: %w", ErrOptimised)
	}
	return m.Run(expr)
}

// FunctionStart is where the function that covers an address of the file is entered, which
// is not below all of it when the compiler put parts elsewhere.
func (f *File) FunctionStart(pc uint64) (uint64, error) {
	fn, err := f.functionAt(pc)
	if err != nil {
		return 0, err
	}
	if v, ok := fn.Attr(AttrLowPC); ok {
		return v.Address()
	}
	ranges, err := fn.Ranges(nil)
	if err != nil || len(ranges) == 0 {
		return fn.low, err
	}
	return ranges[0].Low, nil
}
