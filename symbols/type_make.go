package symbols

// What follows is for sources of types in other packages: symbols/dwarf.

// RefTo leads to the type of that number in a source of types. Its ByID must give a type
// that Invalid made with each error.
func RefTo(from Types, id TypeID) Ref { return Ref{from, id} }

// Make makes a type of what it says of itself, of its size in bytes where it has one of its
// own (an array has its elements'), and of what it is about: see Elem.
func Make(t Type, size uint64, elem Ref) *Type {
	t.size, t.elem = size, elem
	return &t
}

// MakeForward makes a struct or union that is declared and not defined.
func MakeForward(id TypeID, name string, union bool) *Type {
	return &Type{ID: id, Kind: KindForward, Name: name, union: union}
}

// Invalid is a type that could not be read, and why.
func Invalid(id TypeID, name string, err error) *Type {
	return &Type{ID: id, Kind: KindInvalid, Name: name, err: err}
}
