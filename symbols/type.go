package symbols

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strings"
)

// ErrNoType: no type of that name. It is an answer: the types that were read do not have it.
var ErrNoType = errors.New("no such type")

// TypeID is the number of a type in its source. 0 is void.
type TypeID uint32

// Types is a source of the kernel's types: BTF in the dump, DWARF in a vmlinux. It is safe
// for many goroutines. A type that was asked for is kept, and is the same when it is asked
// for again.
type Types interface {
	// ByID gives the type of that number. The error wraps phys.ErrCorrupt or the reason why
	// the memory that describes the type is absent.
	ByID(id TypeID) (*Type, error)
	// ByName gives all types of that name and kind, in the order of the source: two .c
	// files may each have a struct of one name. Without any the error wraps ErrNoType.
	ByName(name string, kind Kind) ([]*Type, error)
	// All gives every type, and keeps none of them. An error is about one type and does not
	// end the walk.
	All() iter.Seq2[*Type, error]
}

// Kind is what a type is.
type Kind uint8

// The kinds. Pointer to Restrict, Tag, Func, Var and DeclTag are about another type: Elem.
const (
	KindInvalid Kind = iota // could not be read: Err says why
	KindVoid
	KindInt // also characters and _Bool
	KindFloat
	KindPointer
	KindArray
	KindStruct
	KindUnion
	KindEnum
	KindForward // a struct or union that is declared and never defined
	KindTypedef
	KindConst
	KindVolatile
	KindRestrict
	KindTag  // an attribute of a type: percpu, rcu, user
	KindFunc // a function; Elem is its KindFuncProto
	KindFuncProto
	KindVar
	KindDataSec // a section; its members are variables
	KindDeclTag // an attribute of a declaration
)

// kindNames in the order of the constants.
var kindNames = [...]string{
	"invalid", "void", "int", "float", "pointer", "array", "struct", "union", "enum", "forward", "typedef",
	"const", "volatile", "restrict", "type tag", "function", "prototype", "variable", "section", "declaration tag",
}

// String is the C keyword where there is one.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Type is one type of the kernel. It is not changed after it was made, and what it is made
// of is read when it is asked for: types refer to each other in circles.
type Type struct {
	ID      TypeID
	Kind    Kind
	Name    string       // empty for what C does not name
	Count   uint64       // elements of an array, 0 of a flexible one
	Signed  bool         // of an integer or enum
	Members []Member     // of a struct, union or section, as declared
	Values  []Enumerator // of an enum, as declared
	Params  []Param      // of a prototype

	size  uint64 // bytes, where the type itself has them
	union bool   // what a forward declaration declares
	elem  Ref
	err   error // of KindInvalid
}

// Enumerator is one constant of an enum.
type Enumerator struct {
	Name  string
	Value int64 // an unsigned value of 64 bits is to be converted: see Type.Signed
}

// Param is one parameter of a function.
type Param struct {
	Name string // empty when the source has none
	Ref
}

// resolver makes the type of an ID, never nil: with an error, it is one of KindInvalid.
type resolver interface {
	ByID(id TypeID) (*Type, error)
}

// Ref leads to a type that may not have been read yet. The zero Ref leads to void.
type Ref struct {
	from resolver
	id   TypeID
}

var void = &Type{Kind: KindVoid, Name: "void"}

// Type is the type referred to, never nil.
func (r Ref) Type() *Type {
	if r.from == nil || r.id == 0 {
		return void
	}
	t, _ := r.from.ByID(r.id) // the error is the type's own
	return t
}

// Err tells why a type of KindInvalid is one; it is nil for every other.
func (t *Type) Err() error { return t.err }

// Elem is what a pointer points to, an array consists of, a typedef or qualifier is about,
// and a prototype returns; void for kinds that have nothing of the kind.
func (t *Type) Elem() *Type { return t.elem.Type() }

// maxChain bounds how many types stand one behind the other without a struct: damaged
// typedefs lead to each other in a circle. Eight are seen.
const maxChain = 64

// Underlying is the type without its typedefs, qualifiers and tags. It is of KindInvalid
// when they do not end.
func (t *Type) Underlying() *Type {
	for range maxChain {
		switch t.Kind {
		case KindTypedef, KindConst, KindVolatile, KindRestrict, KindTag, KindVar:
			t = t.Elem()
		default:
			return t
		}
	}
	return t.endless()
}

// Size is the number of bytes of a value: 0 for void, functions, flexible arrays and what
// is only declared. A size that no address space holds is the largest number.
func (t *Type) Size() uint64 {
	n := uint64(1)
	for range maxChain {
		switch t = t.Underlying(); t.Kind {
		case KindArray:
			n = saturated(n, t.Count)
			t = t.Elem()
		default:
			return saturated(n, t.size)
		}
	}
	return 0
}

func saturated(a, b uint64) uint64 {
	if hi, lo := bits.Mul64(a, b); hi == 0 {
		return lo
	}
	return ^uint64(0)
}

// Aggregate tells whether the type has members: a struct, a union or a section.
func (t *Type) Aggregate() bool {
	return t.Kind == KindStruct || t.Kind == KindUnion || t.Kind == KindDataSec
}

// Enumerator gives the name of a value of an enum.
func (t *Type) Enumerator(v int64) (name string, ok bool) {
	for _, e := range t.Values {
		if e.Value == v {
			return e.Name, true
		}
	}
	return "", false
}

// Ref leads to the type itself.
func (t *Type) Ref() Ref { return Ref{itself{t}, ^TypeID(0)} }

// PointerTo is a pointer to the type, of that many bytes: for variables whose type no source
// tells.
func (t *Type) PointerTo(size int) *Type {
	return &Type{Kind: KindPointer, size: uint64(size), elem: t.Ref()}
}

// ArrayOf is an array of n of the type; 0 is a flexible one.
func (t *Type) ArrayOf(n uint64) *Type {
	return &Type{Kind: KindArray, Count: n, elem: t.Ref()}
}

// Find gives the type that C spells so: "struct rq", "union rcu_special", "enum pid_type",
// "atomic_t", "unsigned long". Where several types have that name, the first one that has
// all of the members is taken. The error wraps ErrNoType, or ErrNoMember when only the
// members are not there.
func Find(ts Types, spelled string, members ...string) (*Type, error) {
	found, err := named(ts, spelled)
	if err != nil {
		return nil, err
	}
	for _, t := range found {
		if err = t.has(members); err == nil {
			return t, nil
		}
	}
	return nil, err
}

func named(ts Types, spelled string) ([]*Type, error) {
	for _, k := range []Kind{KindStruct, KindUnion, KindEnum} {
		if name, ok := strings.CutPrefix(spelled, k.String()+" "); ok {
			return ts.ByName(name, k)
		}
	}
	if spelled == void.Name {
		return []*Type{void}, nil
	}
	found, err := ts.ByName(spelled, KindTypedef)
	for _, name := range []string{spelled, longName(spelled)} {
		if err != nil {
			found, err = ts.ByName(name, KindInt)
		}
	}
	return found, err
}

func (t *Type) has(members []string) error {
	for _, m := range members {
		if _, err := t.Member(m); err != nil {
			return err
		}
	}
	return nil
}

// shortNames are integers as kernel code spells them, and as compilers name them.
var shortNames = [...]struct{ short, long string }{
	{"unsigned long", "long unsigned int"},
	{"long", "long int"},
	{"unsigned short", "short unsigned int"},
	{"short", "short int"},
	{"unsigned long long", "long long unsigned int"},
	{"long long", "long long int"},
}

func longName(short string) string {
	for _, n := range shortNames {
		if n.short == short {
			return n.long
		}
	}
	return short
}

func shortName(long string) string {
	for _, n := range shortNames {
		if n.long == long {
			return n.short
		}
	}
	return long
}
