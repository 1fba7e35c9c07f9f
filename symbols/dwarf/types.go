package dwarf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Types are the types of a file: symbols.Types for kernels and modules without BTF. The
// number of a type is the offset of its entry in .debug_info. A type is read when it is
// asked for; the first question for a name makes the index of names, or reads it from the
// cache. Safe for many goroutines.
//
// Beside types there are functions and variables, KindFunc and KindVar, as BTF has them.
// A struct that is declared here and defined in another unit is that one, if all that have
// its name say the same of it; else it is a KindForward.
type Types struct {
	f *File

	indexOnce sync.Once
	index     *nameIndex
	indexErr  error

	mu   sync.RWMutex
	made map[symbols.TypeID]*symbols.Type
}

// Types gives the types of the file, always the same. The error is ErrNoDebug.
func (f *File) Types() (*Types, error) {
	if !f.HasDebug() {
		return nil, fmt.Errorf("types: %w", ErrNoDebug)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.types == nil {
		f.types = &Types{f: f, made: map[symbols.TypeID]*symbols.Type{}}
	}
	return f.types, nil
}

// CacheNames names a folder in which the index of names is kept, by the build ID of the
// file: the first question for a name then need not read all units again. Without it, or
// with "", none is kept.
func (f *File) CacheNames(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cacheDir = dir
}

// Scanning bounds the reading of all units, which the index of names takes, some seconds of
// a distribution's vmlinux: when ctx ends, it ends with the error of ctx, and that is what
// questions for names then say. tell, if it is not nil, is told how many units were read, by
// one goroutine, and at the end that it is all of them, however it ended.
func (f *File) Scanning(ctx context.Context, tell func(done, total int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scanCtx, f.scanTell = ctx, tell
}

// names gives the index.
func (t *Types) names() (*nameIndex, error) {
	t.indexOnce.Do(func() {
		t.f.mu.Lock()
		dir := t.f.cacheDir
		t.f.mu.Unlock()
		t.index, t.indexErr = t.f.names(dir)
	})
	return t.index, t.indexErr
}

// void has the number that no entry has.
var void = symbols.Ref{}.Type()

// ByID gives the type whose entry is at that offset of .debug_info.
func (t *Types) ByID(id symbols.TypeID) (*symbols.Type, error) {
	if id == 0 {
		return void, nil
	}
	t.mu.RLock()
	typ := t.made[id]
	t.mu.RUnlock()
	if typ == nil {
		typ = t.make(id)
		if typ.Kind == symbols.KindForward {
			typ = t.defined(typ)
		}
		t.mu.Lock()
		if other := t.made[id]; other != nil { // somebody else was faster
			typ = other
		}
		t.made[id] = typ
		t.mu.Unlock()
	}
	return typ, typ.Err()
}

// ByName gives all types of that name and kind, in the order of the file.
func (t *Types) ByName(name string, kind symbols.Kind) ([]*symbols.Type, error) {
	x, err := t.names()
	if err != nil {
		return nil, err
	}
	var list []*symbols.Type
	if int(kind) < nameKinds && name != "" {
		for _, record := range x.at(name, indexed(kind)) {
			typ, err := t.ByID(symbols.TypeID(uint32(record)))
			if typ.Name == name && typ.Kind == kind || err != nil && typ.Name == name {
				list = append(list, typ)
			}
		}
	}
	if list == nil {
		return nil, fmt.Errorf("%v %s: %w", kind, name, symbols.ErrNoType)
	}
	return list, nil
}

// indexed is the kind under which the index has a kind: it does not look at encodings.
func indexed(kind symbols.Kind) symbols.Kind {
	if kind == symbols.KindFloat {
		return symbols.KindInt
	}
	return kind
}

// All gives every type that has a name, and enums without one, functions and variables, each
// once.
func (t *Types) All() iter.Seq2[*symbols.Type, error] {
	return func(yield func(*symbols.Type, error) bool) {
		x, err := t.names()
		if err != nil {
			yield(symbols.Invalid(0, "", err), err)
			return
		}
		var offs []uint32
		for _, list := range x.kinds {
			for _, record := range list {
				offs = append(offs, uint32(record))
			}
		}
		slices.Sort(offs)
		for _, off := range offs {
			if typ := t.make(symbols.TypeID(off)); !yield(typ, typ.Err()) {
				return
			}
		}
	}
}

// defined looks for the definition of what is declared only.
func (t *Types) defined(decl *symbols.Type) *symbols.Type {
	kind := symbols.KindStruct
	if decl.String() == "union "+decl.Name {
		kind = symbols.KindUnion
	}
	list, err := t.ByName(decl.Name, kind)
	if err != nil {
		if !errors.Is(err, symbols.ErrNoType) {
			return symbols.Invalid(decl.ID, decl.Name, err)
		}
		return decl
	}
	for _, other := range list[1:] {
		if !alike(list[0], other) {
			return decl
		}
	}
	return list[0]
}

// alike tells whether two definitions lay out the same members.
func alike(a, b *symbols.Type) bool {
	return a.Size() == b.Size() && slices.EqualFunc(a.Members, b.Members, func(m, n symbols.Member) bool {
		return m.Name == n.Name && m.Offset == n.Offset && m.Bits == n.Bits
	})
}

// make reads one type.
func (t *Types) make(id symbols.TypeID) *symbols.Type {
	e, err := t.f.EntryAt(int64(id))
	if err != nil {
		return symbols.Invalid(id, "", err)
	}
	r := typeReader{t: t, e: e, id: id}
	name, err := e.Name()
	typ := r.read(name)
	if err := cmp.Or(err, r.err, e.Err()); err != nil {
		return symbols.Invalid(id, name, fmt.Errorf("type at %#x: %w", id, err))
	}
	return typ
}

// typeReader makes one Type of the entry that e stands on, and of its children.
type typeReader struct {
	t   *Types
	e   *Entries
	id  symbols.TypeID
	err error
}

// fail keeps the first error.
func (r *typeReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// ref is the type that the entry is about; without one it is void.
func (r *typeReader) ref() symbols.Ref {
	v, ok := r.e.Attr(AttrType)
	if !ok {
		return symbols.Ref{}
	}
	off, err := v.Ref()
	if err == nil && (off <= 0 || off > 1<<32-1) {
		err = wrong(".debug_info", off, phys.ErrCorrupt, "reference to a type")
	}
	if err != nil {
		r.fail(err)
		return symbols.Ref{}
	}
	return symbols.RefTo(r.t, symbols.TypeID(off))
}

// uint is the number of an attribute, def without one.
func (r *typeReader) uint(a Attr, def uint64) uint64 {
	if v, ok := r.e.Attr(a); ok && (v.Class() == ClassConstant || v.Class() == ClassFlag) {
		return v.Uint()
	}
	return def
}

// about are the kinds of entries that say something of another type.
var about = map[Tag]symbols.Kind{
	TagTypedef: symbols.KindTypedef, TagConstType: symbols.KindConst, TagVolatileType: symbols.KindVolatile,
	TagRestrictType: symbols.KindRestrict, TagAtomicType: symbols.KindTag,
}

// read makes the type by the entry's tag.
func (r *typeReader) read(name string) *symbols.Type {
	typ := symbols.Type{ID: r.id, Name: name}
	if kind, ok := about[r.e.Tag]; ok {
		typ.Kind = kind
		return symbols.Make(typ, 0, r.ref())
	}
	switch r.e.Tag {
	case TagBaseType:
		return r.base(typ)
	case TagPointerType, TagReferenceType, TagRvalueReferenceType:
		typ.Kind = symbols.KindPointer
		return symbols.Make(typ, r.uint(AttrByteSize, uint64(r.e.u.AddrSize)), r.ref())
	case TagStructureType, TagClassType, TagUnionType:
		return r.aggregate(typ)
	case TagEnumerationType:
		return r.enum(typ)
	case TagArrayType:
		return r.array(typ)
	case TagSubroutineType:
		return r.proto(typ)
	case TagSubprogram:
		typ.Kind = symbols.KindFunc
		proto := r.proto(symbols.Type{ID: r.id})
		return symbols.Make(typ, 0, proto.Ref())
	case TagVariable, TagFormalParameter, TagMember:
		return r.variable(typ)
	case TagUnspecifiedType:
		typ.Kind = symbols.KindVoid
		return symbols.Make(typ, 0, symbols.Ref{})
	}
	r.fail(wrong(".debug_info", int64(r.id), phys.ErrUnsupported, "tag %#x is no type", uint32(r.e.Tag)))
	return nil
}

// The encodings of base types (7.8) that matter here.
const (
	encFloat        = 0x03 // complex, and 4 real
	encSigned       = 0x05
	encSignedChar   = 0x06
	encUnsigned     = 0x07
	encUnsignedChar = 0x08
)

func (r *typeReader) base(typ symbols.Type) *symbols.Type {
	enc := r.uint(AttrEncoding, encUnsigned)
	typ.Kind, typ.Signed = symbols.KindInt, enc == encSigned || enc == encSignedChar
	if enc == encFloat || enc == encFloat+1 {
		typ.Kind = symbols.KindFloat
	}
	return symbols.Make(typ, r.uint(AttrByteSize, 0), symbols.Ref{})
}

// variable reads DW_TAG_variable; what its declaration says holds where it says nothing.
func (r *typeReader) variable(typ symbols.Type) *symbols.Type {
	typ.Kind = symbols.KindVar
	elem, has := r.ref(), r.e.Has(AttrType)
	if v, ok := r.e.Attr(AttrSpecification); ok {
		off, err := v.Ref()
		if err == nil {
			err = r.e.GoTo(off)
		}
		if err != nil {
			r.fail(err)
			return nil
		}
		if typ.Name, err = r.e.Name(); err != nil {
			r.fail(err)
		}
		if !has {
			elem = r.ref()
		}
	}
	return symbols.Make(typ, 0, elem)
}

// proto reads the parameters and the result of a function.
func (r *typeReader) proto(typ symbols.Type) *symbols.Type {
	typ.Kind = symbols.KindFuncProto
	elem := r.ref()
	for range r.children() {
		switch r.e.Tag {
		case TagFormalParameter:
			name, err := r.e.Name()
			if err != nil {
				r.fail(err)
			}
			typ.Params = append(typ.Params, symbols.Param{Name: name, Ref: r.ref()})
		case TagUnspecifiedParams:
			typ.Params = append(typ.Params, symbols.Param{})
		}
	}
	return symbols.Make(typ, 0, elem)
}

// maxChildren bounds the members of a type: 900 are seen.
const maxChildren = 1 << 16

// children goes over the entries one below, as long as all is well.
func (r *typeReader) children() iter.Seq[int] {
	return func(yield func(int) bool) {
		top := r.e.Depth
		if !r.e.Children {
			return
		}
		for i := 0; r.err == nil && r.e.Next() && r.e.Depth > top; i++ {
			if i == maxChildren {
				r.fail(wrong(".debug_info", r.e.Off, phys.ErrLimit, "more than %d members", maxChildren))
				return
			}
			if !yield(i) {
				return
			}
			r.e.SkipChildren()
		}
	}
}
