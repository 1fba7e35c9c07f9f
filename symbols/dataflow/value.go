package dataflow

import (
	"math"

	"github.com/kautopsy/kautopsy/symbols"
)

// kind is what is known of a value.
type kind uint8

const (
	unknown kind = iota
	constant
	pointer // or any other value with a name or a type
	frame   // an address on the stack: Add from where the stack pointer was at the entry
)

// Value is what a register holds. The zero Value is not known.
type Value struct {
	Text string        // as C spells it: "w->next", "jiffies", "kmalloc()"; empty for what has none
	Type *symbols.Type // nil: not known
	Add  int64         // bytes added to it; of a constant, the number itself
	kind kind
	size int // bytes that it has, where there is no type to tell; 0 is all of them
}

// Known tells whether anything is known of the value that is worth a word.
func (v Value) Known() bool { return v.kind == pointer }

// Constant is the number that the code itself puts there.
func (v Value) Constant() (n uint64, ok bool) { return uint64(v.Add), v.kind == constant }

func named(text string, t *symbols.Type) Value {
	if text == "" && t == nil {
		return Value{}
	}
	return Value{Text: text, Type: t, kind: pointer}
}

// sameType compares types: BTF has several of one kind and name.
func sameType(a, b *symbols.Type) bool {
	return a == b || a != nil && b != nil && a.String() == b.String() && a.Size() == b.Size()
}

func (v Value) equal(w Value) bool {
	return v.kind == w.kind && v.Text == w.Text && v.Add == w.Add && v.size == w.size && sameType(v.Type, w.Type)
}

// join is what is known of a value that is v on one way and w on the other.
func (v Value) join(w Value) Value {
	null := func(v Value) bool { return v.kind == constant && v.Add == 0 }
	switch {
	case v.equal(w):
		return v
	case null(v): // and a pointer
		v = Value{Type: w.Type, kind: pointer}
	case null(w):
		w = Value{Type: v.Type, kind: pointer}
	}
	if v.kind != pointer || w.kind != pointer || v.Type == nil || v.Add != w.Add || !sameType(v.Type, w.Type) {
		return Value{}
	}
	return Value{Type: v.Type, Add: v.Add, kind: pointer}
}

// plus is the value with a constant added.
func (v Value) plus(n int64) Value {
	if v.kind == unknown {
		return v
	}
	v.Add += n
	return v
}

// narrow is the value after only so many of its bytes were kept and the rest made zero.
func (v Value) narrow(size int) Value {
	switch {
	case size >= 8:
		return v
	case v.kind == constant && size == 4:
		v.Add &= math.MaxUint32
		return v
	case v.kind == pointer && v.Type == nil && v.size > 0 && v.size <= size:
		return v
	case v.kind == pointer && v.Add == 0 && v.Type != nil && v.Type.Size() > 0 && v.Type.Size() <= uint64(size):
		return v
	}
	return Value{}
}
