package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// Scope is a function in a frame and its variables, as they were when the machine died: those
// of the function itself and of the blocks around where it was.
type Scope struct {
	Function string
	Inlined  bool // into that of the Scope behind this one
	Locals   []Local
}

// Local is an argument or a local variable.
type Local struct {
	Name      string // "" of an argument without a name
	Type      *symbols.Type
	Parameter bool
	Hidden    bool // a block in its own has another of the same name
	Line      int  // of its declaration

	// Value is what it holds; the parts that could not be read say so themselves.
	Value Value
	// Register is where it is, "" in memory or where the debug information has the value.
	Register string
	// InMemory: it is at Value.Addr.
	InMemory bool
	// FromCaller: the compiler did not keep the value, but noted how the caller had made it.
	FromCaller bool
	// Err is why there is nothing of it. It wraps dwarf.ErrOptimised where the compiler
	// kept no value, ErrNotKept where it was in a register that nothing on the stack has
	// kept, else the reason why memory or debug information is absent.
	Err error
}

// ErrNotKept: a value was in a register, which the functions that were called since have
// overwritten.
var ErrNotKept = fmt.Errorf("not kept: %w", phys.ErrUnsupported)

// errTables: the stack was walked by one table, and the other leads elsewhere.
var errTables = fmt.Errorf("the unwind tables do not agree where the frame is: %w", phys.ErrCorrupt)

// Locals are the variables of the frames of a stack. They belong to one goroutine.
type Locals struct {
	u      *Unwinder
	stack  Stack
	frames []frameState
	form   *dwarfRegs
}

// Locals makes ready to look at the variables of a stack. Values need debug information (see
// Options.DebugInfo) with call frame information; a stack of the same Unwinder.
func (u *Unwinder) Locals(s Stack) (*Locals, error) {
	form := registerForms[u.k.Machine()]
	if form == nil || len(s.states) != len(s.Frames) {
		return nil, fmt.Errorf("variables on stacks of %s: %w", u.k.Machine(), phys.ErrUnsupported)
	}
	return &Locals{u, s, u.frameStates(s, form), form}, nil
}

// Frame gives the functions of frame n and their variables, the innermost inlined one first.
// The error wraps dwarf.ErrNoDebug where no debug information has the frame's code; with
// another one come those that could be read.
func (l *Locals) Frame(ctx context.Context, n int) ([]Scope, error) {
	f, err := l.at(ctx, n)
	if err != nil {
		return nil, err
	}
	list, err := f.debug.Scopes(f.pc)
	out := make([]Scope, 0, len(list))
	for _, s := range list {
		sc := Scope{Function: s.Function, Inlined: s.Inlined}
		for _, v := range s.Variables {
			sc.Locals = append(sc.Locals, f.local(v))
		}
		out = append(out, sc)
	}
	return out, err
}

// localFrame is a frame whose variables are read.
type localFrame struct {
	*Locals
	ctx   context.Context
	n     int
	pc    uint64 // in the file's addresses
	debug *DebugFile
	depth int // callers that were asked for a value that was passed
}

// at finds the debug information of a frame. A guess has none: what looks like a call may
// never have been one.
func (l *Locals) at(ctx context.Context, n int) (*localFrame, error) {
	fr := l.stack.Frames[n]
	if fr.Symbol.Name == "" {
		return nil, fmt.Errorf("address %#x: %w", fr.Addr, symbols.ErrNoSymbol)
	}
	if fr.Kind == FrameGuess && !l.followed(n) {
		return nil, fmt.Errorf("%s: %w", fr.Symbol.Name, errGuess)
	}
	d, err := l.u.k.DebugFile(ctx, fr.Symbol.Module)
	if err != nil {
		return nil, err
	}
	pc, ok := d.ToFile(fr.Code())
	if !ok {
		return nil, fmt.Errorf("address %#x: %w", fr.Code(), dwarf.ErrNoDebug)
	}
	return &localFrame{Locals: l, ctx: ctx, n: n, pc: pc, debug: d}, nil
}

var errGuess = fmt.Errorf("only guessed to be on the stack: %w", dwarf.ErrNoDebug)

// followed tells whether the walk went on from a guess.
func (l *Locals) followed(n int) bool {
	return n+1 < len(l.stack.Frames) && certain(l.stack.states[n+1].by)
}

// machine computes expressions of the frame.
func (f *localFrame) machine() *dwarf.Machine {
	st := &f.frames[f.n]
	return &dwarf.Machine{
		Regs: st.regs, Mem: f.u.k, Order: f.u.k.dump.Header.Order, PtrSize: f.u.k.ptrSize(),
		FrameBase: f.frameBase, Entry: f.passed, Place: f.place,
		CFA: func() (uint64, error) {
			if !st.placed {
				return 0, st.cfaErr
			}
			return st.cfa, nil
		},
	}
}

func (f *localFrame) frameBase() (uint64, error) {
	m := f.machine()
	m.FrameBase, m.Entry = nil, nil
	return f.debug.FrameBase(f.pc, m)
}

// place is where an address of the file is in the dump. That of a per-CPU variable is no
// address at all.
func (f *localFrame) place(addr uint64) (uint64, error) {
	for _, s := range f.debug.Sections() {
		if s.Name == ".data..percpu" && addr-s.Addr < s.Size {
			return 0, fmt.Errorf("%w: %w", ErrPerCPU, phys.ErrUnsupported)
		}
	}
	va, ok := f.debug.ToDump(addr)
	if !ok {
		return 0, fmt.Errorf("address %#x of the debug information: %w", addr, phys.ErrUnmapped)
	}
	return va, nil
}

// local reads one variable.
func (f *localFrame) local(v *dwarf.Variable) Local {
	l := Local{Name: v.Name, Parameter: v.Parameter, Hidden: v.Hidden, Line: v.Line}
	if l.Type, l.Err = v.Type(); l.Err != nil {
		return l
	}
	m := f.machine()
	m.Entry = func(p dwarf.Passed) (uint64, error) {
		l.FromCaller = true
		return f.passed(p)
	}
	pieces, err := v.Locate(m)
	if err != nil {
		l.Err = f.named(err)
		return l
	}
	f.value(&l, pieces)
	return l
}

// named is an error with the name of the register that it is about.
func (f *localFrame) named(err error) error {
	var r *dwarf.RegisterError
	if errors.As(err, &r) {
		return &notKeptError{f.form.name(r.Reg)}
	}
	return err
}

// notKeptError is ErrNotKept with the register.
type notKeptError struct{ register string }

func (e *notKeptError) Error() string { return "register " + e.register + " was not kept" }

func (e *notKeptError) Unwrap() error { return ErrNotKept }

// maxCallers bounds the callers that are asked for one value: each says what it passed on.
const maxCallers = 16

// passed is what the function of the frame was passed, by what the caller's debug
// information says of the call. That must be a call of this function: one of
// another that has jumped here passed other values.
func (f *localFrame) passed(p dwarf.Passed) (uint64, error) {
	n := f.n + 1
	if f.depth >= maxCallers || n >= len(f.stack.Frames) || f.stack.Frames[f.n].Regs != nil || !certain(f.stack.states[n].by) {
		return 0, fmt.Errorf("its caller is not known: %w", ErrNotKept)
	}
	caller, err := f.at(f.ctx, n)
	var site *dwarf.CallSite
	if err == nil {
		caller.depth = f.depth + 1
		site, err = caller.debug.CallSite(caller.pc + 1)
	}
	if errors.Is(err, dwarf.ErrNoDebug) { // assembly, mostly
		err = fmt.Errorf("nothing says what its caller passed: %w", ErrNotKept)
	}
	if err != nil {
		return 0, err
	}
	if err := f.calledBy(caller, site); err != nil {
		return 0, err
	}
	v, err := site.Value(p, caller.machine())
	return v, caller.named(err)
}

// calledBy tells whether a call is that of the function of the frame.
func (f *localFrame) calledBy(caller *localFrame, site *dwarf.CallSite) error {
	list, err := f.debug.Scopes(f.pc)
	if err != nil {
		return err
	}
	if site.Function != "" && site.Function == list[len(list)-1].Function {
		return nil
	}
	err = fmt.Errorf("what it was passed is not known: it was entered by a jump: %w", ErrNotKept)
	if site.Function != "" {
		return err
	}
	start, serr := f.debug.FunctionStart(f.pc)
	to, terr := site.Target(caller.machine())
	at, ok := f.debug.ToDump(start)
	if terr == nil && serr == nil && ok && at == to {
		return nil
	}
	return fmt.Errorf("what it was passed is not known, the call goes by a pointer: %w", ErrNotKept)
}
