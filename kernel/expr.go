package kernel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Errors of Evaluate.
var (
	// ErrExpression: the text is no expression.
	ErrExpression = errors.New("not an expression")
	// ErrPerCPU: each CPU has a variable of that name, and none is named.
	ErrPerCPU = errors.New("a per-CPU variable")
	// ErrUntyped: the variable is there, and its type is not.
	ErrUntyped = errors.New("its type is not in the dump")
)

// Evaluated is what an expression gives: a place in memory, or a number.
type Evaluated struct {
	Value
	CPU   int  // whose variable it is; -1 where the expression names none
	Place bool // it is in memory, at Value.Addr
}

// Evaluate reads what an expression in C's spelling names:
//
//	init_task.comm              members; a pointer is followed by . too
//	init_task.mm->owner[0]      elements of arrays, or behind pointers
//	*init_task.parent  &init_task.tasks
//	((struct rq *)0xffff888000000000)->nr_running
//	sizeof(struct page)  jiffies_64 / 250  &init_task + 1    sums as in C, in 64 bits
//	runqueues:0.nr_running  runqueues:a  runqueues:0-2,5     of these CPUs, all, as crash has it
//
// Numbers are decimal, or hexadecimal with 0x. The result has a value for each CPU that was
// asked for, one if none was. Errors wrap ErrExpression, ErrPerCPU, ErrUntyped,
// symbols.ErrNoSymbol, ErrNoType, ErrNoMember, or a reason of package phys; a value that is
// in memory and could not be read says so itself.
func (k *Kernel) Evaluate(ctx context.Context, text string) ([]Evaluated, error) {
	ts, err := k.Types()
	if ts == nil {
		return nil, err
	}
	toks, spec, err := tokens(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExpression, err)
	}
	cpus := []int{-1}
	if spec != "" {
		if cpus, err = k.ParseCPUs(spec); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrExpression, err)
		}
	}
	var list []Evaluated
	for _, cpu := range cpus {
		e := evaluator{ctx: ctx, k: k, ts: ts, cpu: cpu, toks: toks}
		v, err := e.whole()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// ParseCPUs reads the CPUs of "a" or "all", those that were online, and of "0-2,5".
func (k *Kernel) ParseCPUs(spec string) (cpus []int, err error) {
	if spec == "a" || spec == "all" {
		return slices.Clone(k.OnlineCPUs()), nil
	}
	has := k.PossibleCPUs()
	n := 0
	if len(has) > 0 {
		n = has[len(has)-1] + 1
	}
	for part := range strings.SplitSeq(spec, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || last < first {
			return nil, fmt.Errorf("CPUs are %q, not 0, 0-2,5 or a", spec)
		}
		if int(last) >= n {
			return nil, fmt.Errorf("no CPU %d: the last is %d", last, n-1)
		}
		for cpu := int(first); cpu <= int(last); cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// CPUAddress is where a CPU has its variable.
type CPUAddress struct {
	CPU  int
	Addr uint64
}

// PerCPUAddresses is where CPUs, in the spelling of ParseCPUs, have their variable of that
// name. The error wraps ErrExpression where all CPUs share it.
func (k *Kernel) PerCPUAddresses(ctx context.Context, name, cpus string) ([]CPUAddress, error) {
	s, err := k.SymbolOf(ctx, name)
	if err != nil {
		return nil, err
	}
	if !k.perCPU(s) {
		return nil, fmt.Errorf("%w: %s is no per-CPU variable", ErrExpression, name)
	}
	list, err := k.ParseCPUs(cpus)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExpression, err)
	}
	var out []CPUAddress
	for _, cpu := range list {
		at, err := k.PerCPUAddr(s.Addr, cpu)
		if err != nil {
			return nil, err
		}
		out = append(out, CPUAddress{cpu, at})
	}
	return out, nil
}

// operand is a place in memory, or a number with a type; a variable whose type is not known
// is a place without one.
type operand struct {
	Object
	number uint64
	place  bool
	name   string // of a variable without a type
}

// evaluator evaluates as it parses.
type evaluator struct {
	ctx   context.Context
	k     *Kernel
	ts    symbols.Types
	cpu   int
	used  bool // the CPU was
	toks  []string
	depth int
}

// maxExpression bounds an expression inside another.
const maxExpression = 100

func (e *evaluator) whole() (Evaluated, error) {
	o, err := e.expression()
	if err == nil {
		err = o.null()
	}
	switch {
	case err != nil:
		return Evaluated{}, err
	case len(e.toks) > 0:
		return Evaluated{}, fmt.Errorf("%w: %q is too much", ErrExpression, strings.Join(e.toks, ""))
	case e.cpu >= 0 && !e.used:
		return Evaluated{}, fmt.Errorf("%w: no per-CPU variable in it", ErrExpression)
	case o.Type == nil:
		return Evaluated{}, o.untyped()
	case o.place:
		return Evaluated{o.Value(), e.cpu, true}, nil
	}
	return Evaluated{Value{Object: o.Object, Number: o.number, Count: 1}, e.cpu, false}, nil
}

func (o operand) untyped() error { return fmt.Errorf("variable %s: %w", o.name, ErrUntyped) }

// next takes a token if it is the one.
func (e *evaluator) next(tok string) bool {
	if len(e.toks) == 0 || e.toks[0] != tok {
		return false
	}
	e.toks = e.toks[1:]
	return true
}

// unary is "*x", "&x", "-x", "~x", "sizeof x", "(type)x" or what stands behind.
func (e *evaluator) unary() (operand, error) {
	if e.depth++; e.depth > maxExpression {
		return operand{}, fmt.Errorf("%w: too deep", ErrExpression)
	}
	defer func() { e.depth-- }()
	switch {
	case e.next("*"):
		o, err := e.unary()
		if err != nil {
			return o, err
		}
		return e.follow(o)
	case e.next("&"):
		return e.address()
	case e.next("-"):
		return e.signed("-", 0)
	case e.next("~"):
		return e.signed("^", math.MaxUint64)
	case e.next("sizeof"):
		return e.sizeOf()
	}
	if t, ok, err := e.cast(); ok || err != nil {
		if err != nil {
			return operand{}, err
		}
		o, err := e.unary()
		if err != nil {
			return o, err
		}
		return e.as(o, t)
	}
	return e.postfix()
}

// address is what "&" gives of what stands behind it.
func (e *evaluator) address() (operand, error) {
	o, err := e.unary()
	if err == nil && (!o.place || o.m.Bits != 0) {
		err = fmt.Errorf("%w: & of what is not in memory", ErrExpression)
	}
	if err != nil {
		return o, err
	}
	t := o.Type
	if t == nil {
		t, err = symbols.Find(e.ts, "void")
	}
	if err != nil {
		return o, err
	}
	return e.number(t.PointerTo(e.k.ptrSize()), o.Addr), nil
}

func (e *evaluator) number(t *symbols.Type, v uint64) operand {
	return operand{Object: e.k.Object(t, 0), number: e.k.clip(v)}
}

// as is an operand with another type: a struct is looked at as another struct, a number or
// pointer keeps its value.
func (e *evaluator) as(o operand, t *symbols.Type) (operand, error) {
	u := t.Underlying()
	scalar := u.Kind == symbols.KindInt || u.Kind == symbols.KindPointer || u.Kind == symbols.KindEnum
	if !scalar {
		if !o.place {
			return o, fmt.Errorf("%w: a number cannot be %v; *(%v *)number can", ErrExpression, t, t)
		}
		o.Object = e.k.Object(t, o.Addr)
		return o, nil
	}
	if o.Type == nil { // a variable: it is as wide as the type
		o.Object = e.k.Object(t, o.Addr)
		return o, nil
	}
	v, err := e.integer(o)
	return e.number(t, narrowed(v, t)), err
}

// scalar is the number that an operand is.
func (e *evaluator) scalar(o operand) (uint64, error) {
	switch {
	case !o.place:
		return o.number, nil
	case o.Type == nil:
		return 0, o.untyped()
	}
	if err := o.null(); err != nil {
		return 0, err
	}
	if kind := o.Type.Underlying().Kind; kind == symbols.KindArray || kind == symbols.KindFuncProto {
		return o.Addr, nil
	}
	return o.Uint()
}

// follow goes where a pointer leads to.
func (e *evaluator) follow(o operand) (operand, error) {
	if o.Type == nil {
		return o, o.untyped()
	}
	t := o.Type.Underlying()
	if t.Kind != symbols.KindPointer && t.Kind != symbols.KindArray {
		return o, fmt.Errorf("%w: %v is no pointer", ErrExpression, o.Type)
	}
	v, err := e.scalar(o)
	return operand{Object: e.k.Object(t.Elem(), v), place: true}, err
}

// null is the error of what a NULL pointer leads to; where that is may be asked all the same:
// &((struct page *)0)->flags.
func (o operand) null() error {
	if !o.place || o.Type == nil || o.Addr >= 4096 {
		return nil
	}
	return o.wrap(fmt.Errorf("NULL: %w", phys.ErrUnmapped))
}

// postfix is a primary with ".x", "->x" and "[1]" behind it.
func (e *evaluator) postfix() (operand, error) {
	o, err := e.primary()
	for err == nil && len(e.toks) > 0 {
		switch {
		case e.next("."), e.next("->"):
			o, err = e.member(o)
		case e.next("["):
			o, err = e.element(o)
		default:
			return o, nil
		}
	}
	return o, err
}

func (e *evaluator) member(o operand) (operand, error) {
	if len(e.toks) == 0 || !isName(e.toks[0]) {
		return o, fmt.Errorf("%w: which member?", ErrExpression)
	}
	name := e.toks[0]
	e.toks = e.toks[1:]
	if o.Type == nil {
		return o, o.untyped()
	}
	for o.Type.Underlying().Kind == symbols.KindPointer {
		var err error
		if o, err = e.follow(o); err != nil {
			return o, err
		}
	}
	m, err := o.Member(name)
	return operand{Object: m, place: true}, err
}

// element is what an index in brackets leads to.
func (e *evaluator) element(o operand) (operand, error) {
	index, err := e.expression()
	if err != nil {
		return o, err
	}
	if !e.next("]") {
		return o, fmt.Errorf("%w: a ] is missing", ErrExpression)
	}
	n, err := e.integer(index)
	if err != nil {
		return o, err
	}
	if o.Type == nil {
		return o, o.untyped()
	}
	if !o.place {
		if o, err = e.follow(o); err != nil {
			return o, err
		}
		o.Object = e.k.Object(o.Type, e.k.clip(o.Addr+n*o.Type.Size()))
		return o, nil
	}
	at, err := o.Index(n)
	return operand{Object: at, place: true}, err
}

// primary is a number, a variable or something in parentheses.
func (e *evaluator) primary() (operand, error) {
	if len(e.toks) == 0 {
		return operand{}, fmt.Errorf("%w: it ends too early", ErrExpression)
	}
	if e.next("(") {
		o, err := e.expression()
		if err == nil && !e.next(")") {
			err = fmt.Errorf("%w: a ) is missing", ErrExpression)
		}
		return o, err
	}
	tok := e.toks[0]
	e.toks = e.toks[1:]
	if isName(tok) {
		return e.variable(tok)
	}
	n, err := strconv.ParseUint(tok, 0, 64)
	if err != nil {
		return operand{}, fmt.Errorf("%w: %q", ErrExpression, tok)
	}
	return e.long(n, n > math.MaxInt64, nil)
}
