package kernel

import (
	"fmt"

	"github.com/kautopsy/kautopsy/symbols"
)

// tightness is how tightly C's signs between two numbers bind.
var tightness = map[string]int{"|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}

// expression is an expression with any signs in it.
func (e *evaluator) expression() (operand, error) { return e.binary(1) }

// binary is operands with signs between them that bind at least that tightly.
func (e *evaluator) binary(least int) (operand, error) {
	left, err := e.unary()
	for err == nil && len(e.toks) > 0 {
		sign := e.toks[0]
		if tightness[sign] < least {
			break
		}
		e.toks = e.toks[1:]
		var right operand
		if right, err = e.binary(tightness[sign] + 1); err == nil {
			left, err = e.combine(sign, left, right)
		}
	}
	return left, err
}

// signed is "-x", which is 0 - x, or "~x", which is all bits ^ x.
func (e *evaluator) signed(sign string, left uint64) (operand, error) {
	a, err := e.long(left, false, nil)
	if err != nil {
		return a, err
	}
	b, err := e.unary()
	if err != nil {
		return b, err
	}
	return e.combine(sign, a, b)
}

// combine is the value of two operands: a number, or a pointer some elements further.
func (e *evaluator) combine(sign string, a, b operand) (operand, error) {
	x, err := e.integer(a)
	if err != nil {
		return a, err
	}
	y, err := e.integer(b)
	if err != nil {
		return b, err
	}
	p, q := a.elem(), b.elem()
	switch {
	case sign == "+" && p == nil && q != nil:
		return e.combine(sign, b, a)
	case p != nil && q == nil && (sign == "+" || sign == "-"):
		y *= max(p.Size(), 1)
		if sign == "-" {
			y = -y
		}
		return e.number(p.PointerTo(e.k.ptrSize()), x+y), nil
	case p != nil && q != nil && sign == "-":
		d, err := divide("/", x-y, max(p.Size(), 1), true)
		return e.long(d, false, err)
	}
	unsigned := a.unsigned() || b.unsigned()
	v, err := arithmetic(sign, x, y, !unsigned)
	return e.long(v, unsigned, err)
}

// arithmetic is what C makes of two numbers of 64 bits.
func arithmetic(sign string, x, y uint64, signed bool) (uint64, error) {
	switch sign {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "|":
		return x | y, nil
	case "^":
		return x ^ y, nil
	case "&":
		return x & y, nil
	case "<<":
		return x << y, nil
	case ">>":
		if signed {
			return uint64(int64(x) >> y), nil
		}
		return x >> y, nil
	}
	return divide(sign, x, y, signed)
}

func divide(sign string, x, y uint64, signed bool) (uint64, error) {
	switch {
	case y == 0:
		return 0, fmt.Errorf("%w: division by zero", ErrExpression)
	case signed && sign == "/":
		return uint64(int64(x) / int64(y)), nil
	case signed:
		return uint64(int64(x) % int64(y)), nil
	case sign == "/":
		return x / y, nil
	}
	return x % y, nil
}

// integer is the number that an operand is, with its sign.
func (e *evaluator) integer(o operand) (uint64, error) {
	if o.place && o.Type != nil && o.Type.Aggregate() {
		return 0, fmt.Errorf("%w: %v is no number", ErrExpression, o.Type)
	}
	v, err := e.scalar(o)
	if err != nil || o.Type == nil || o.elem() != nil {
		return v, err
	}
	return narrowed(v, o.Type), nil
}

// narrowed is a number as a type holds it, with the sign that it has there.
func narrowed(v uint64, t *symbols.Type) uint64 {
	size := t.Size()
	if size == 0 || size >= 8 {
		return v
	}
	unused := 64 - 8*size
	if t.Underlying().Signed {
		return uint64(int64(v<<unused) >> unused)
	}
	return v << unused >> unused
}

// long is a number that was calculated.
func (e *evaluator) long(v uint64, unsigned bool, err error) (operand, error) {
	if err != nil {
		return operand{}, err
	}
	name := "long"
	if unsigned {
		name = "unsigned long"
	}
	t, err := symbols.Find(e.ts, name)
	return e.number(t, v), err
}

// elem is what an operand points to; nil is a number.
func (o operand) elem() *symbols.Type {
	if o.Type == nil {
		return nil
	}
	t := o.Type.Underlying()
	if t.Kind != symbols.KindPointer && t.Kind != symbols.KindArray {
		return nil
	}
	return t.Elem()
}

func (o operand) signed() bool { return o.Type != nil && o.Type.Underlying().Signed }

// unsigned tells whether the operand makes what is calculated with it unsigned.
func (o operand) unsigned() bool {
	return o.elem() != nil || o.Type != nil && o.Type.Size() == 8 && !o.signed()
}

// sizeOf is "sizeof(type)" or "sizeof x", in bytes.
func (e *evaluator) sizeOf() (operand, error) {
	t, used, err := e.typeName()
	if err == nil && used > 0 {
		e.toks = e.toks[used:]
		return e.long(t.Size(), true, nil)
	}
	if err != nil && used > 3 { // "(struct name)": two words are no variable
		return operand{}, err
	}
	o, err := e.unary()
	switch {
	case err != nil:
		return o, err
	case o.Type == nil:
		return o, o.untyped()
	}
	return e.long(o.Type.Size(), true, nil)
}
