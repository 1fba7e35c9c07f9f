package dwarf

import "github.com/kautopsy/kautopsy/phys"

// Entries is a walk over the entries of a unit, in the order of the file, which is that of a
// tree with each entry before its children. It takes no memory per entry and belongs to one
// goroutine.
//
//	for e.Next() { … e.Tag, e.Depth, e.Attr(…) … }
//	err := e.Err()
type Entries struct {
	Tag      Tag
	Off      int64 // of the entry, in .debug_info
	Depth    int   // 0 is the unit's first entry, 1 its children
	Children bool  // it can have children

	u       *Unit
	abbrevs *abbrevs
	r       buf
	abbrev  *abbrev
	attrs   int // place of the first value in r.b
	next    int // place behind the entry, -1: not known yet
	depth   int // of the next entry

	ranges buf    // a piece of the section of ranges that was read last
	spent  int64  // bytes of lists of ranges that were read
	own    []byte // memory of Reset
}

// Entries begins a walk before the first entry of the unit. The unit's bytes come from a
// cache of the file; who goes over many units should use one Entries and Reset. An
// abbreviation table or a unit that cannot be read is an error. Of a skeleton the walk is over
// its split unit (see FindSplit), which Entries.Unit gives; ErrSplit where that is not there.
func (u *Unit) Entries() (*Entries, error) {
	u, err := u.split()
	if err != nil {
		return nil, err
	}
	t, err := u.abbrevTable()
	if err != nil {
		return nil, err
	}
	b, err := u.bytes()
	if err != nil {
		return nil, err
	}
	return u.entries(t, b), nil
}

// entries begins a walk over the first bytes of the unit, its header included.
func (u *Unit) entries(t *abbrevs, b []byte) *Entries {
	e := &Entries{u: u, abbrevs: t, r: buf{what: ".debug_info", base: u.Off, b: b, order: u.f.elf.ByteOrder}}
	e.next = int(u.first - u.Off)
	return e
}

// Reset begins a walk over another unit, of any file, in the memory of the walk before.
// Values and bytes that came from that walk are no longer valid. A skeleton is ErrSplit.
func (e *Entries) Reset(u *Unit) error {
	if err := u.whole(); err != nil {
		return err
	}
	t, err := u.abbrevTable()
	if err != nil {
		return err
	}
	b, err := u.f.section(".debug_info").read(e.own, u.Off, uint64(u.End-u.Off))
	if err != nil {
		return err
	}
	own := b
	*e = *u.entries(t, b)
	e.own = own
	return nil
}

// Unit is the unit that is walked.
func (e *Entries) Unit() *Unit { return e.u }

// Err is what ended the walk before its end.
func (e *Entries) Err() error { return e.r.err }

// Next goes to the next entry; false at the end of the unit, and at an error.
func (e *Entries) Next() bool {
	if e.next < 0 && e.end() < 0 {
		return false
	}
	for e.r.at = e.next; e.r.at < len(e.r.b) && e.r.err == nil; {
		e.Off = e.r.off()
		code := e.r.uleb()
		if code == 0 { // the end of children, or padding behind the unit's entries
			e.depth = max(e.depth-1, 0)
			continue
		}
		return e.begin(code)
	}
	e.next = len(e.r.b)
	return false
}

// begin stands on the entry whose code was read.
func (e *Entries) begin(code uint64) bool {
	if e.r.err != nil {
		return false
	}
	a := e.abbrevs.find(code)
	if a == nil {
		e.r.at = int(e.Off - e.r.base)
		e.r.fail(phys.ErrCorrupt, "abbreviation %d is not in .debug_abbrev at %#x", code, e.u.abbrev)
		return false
	}
	e.abbrev, e.attrs, e.next = a, e.r.at, -1
	e.Tag, e.Children, e.Depth = a.tag, a.children, e.depth
	if a.children {
		e.depth++
	}
	return true
}

// end gives the place behind the entry's values, -1 when they cannot be read.
func (e *Entries) end() int {
	if e.next >= 0 || e.abbrev == nil {
		return e.next
	}
	e.r.at = e.attrs
	e.r.pass(e.u, e.abbrev)
	if e.r.err != nil {
		return -1
	}
	e.next = e.r.at
	return e.next
}

// pass goes over the values of an entry.
func (r *buf) pass(u *Unit, a *abbrev) {
	if a.fixed >= 0 {
		r.take(uint64(a.fixed))
		return
	}
	for i := range a.attrs {
		if n := a.attrs[i].size; n >= 0 {
			r.take(uint64(n))
		} else {
			r.skip(u, a.attrs[i].form)
		}
	}
}

// Attr gives the value of an attribute of the entry; false when it has none. What cannot
// be decoded ends the walk and is in Err.
func (e *Entries) Attr(attr Attr) (Value, bool) {
	if e.abbrev == nil || e.r.err != nil {
		return Value{}, false
	}
	e.r.at = e.attrs
	for i := range e.abbrev.attrs {
		af := &e.abbrev.attrs[i]
		switch {
		case af.attr == attr:
			v := e.u.value(&e.r, af)
			return v, e.r.err == nil
		case af.size >= 0:
			e.r.take(uint64(af.size))
		default:
			e.r.skip(e.u, af.form)
		}
	}
	return Value{}, false
}

// Has tells whether the entry has an attribute, without a look at its value.
func (e *Entries) Has(attr Attr) bool {
	if e.abbrev == nil {
		return false
	}
	for i := range e.abbrev.attrs {
		if e.abbrev.attrs[i].attr == attr {
			return true
		}
	}
	return false
}

// Attrs yields the attributes of the entry in their order.
func (e *Entries) Attrs(yield func(Attr, Value) bool) {
	if e.abbrev == nil || e.r.err != nil {
		return
	}
	at := e.attrs
	for i := range e.abbrev.attrs {
		e.r.at = at // the loop's body may have asked for others
		v := e.u.value(&e.r, &e.abbrev.attrs[i])
		if at = e.r.at; e.r.err != nil || !yield(e.abbrev.attrs[i].attr, v) {
			return
		}
	}
}

// Name is the text of DW_AT_name, "" when the entry has none.
func (e *Entries) Name() (string, error) {
	v, ok := e.Attr(AttrName)
	if !ok {
		return "", e.r.err
	}
	return v.Text()
}

// Uint is the number of an attribute (see Value.Uint).
func (e *Entries) Uint(attr Attr) (uint64, bool) {
	v, ok := e.Attr(attr)
	return v.num, ok
}

// SkipChildren makes Next go to the entry behind the children of this one. The entry stays
// the current one.
func (e *Entries) SkipChildren() {
	if !e.Children || e.depth <= e.Depth || e.end() < 0 {
		return
	}
	end := e.next
	if v, ok := e.Attr(AttrSibling); ok {
		if to, err := v.Ref(); err == nil && to >= e.r.base+int64(end) && to <= e.r.base+int64(len(e.r.b)) {
			e.next, e.depth = int(to-e.r.base), e.Depth
			return
		}
	}
	e.r.at = end
	for depth := 1; depth > 0 && e.r.at < len(e.r.b) && e.r.err == nil; {
		off := e.r.at
		code := e.r.uleb()
		if code == 0 {
			depth--
			continue
		}
		a := e.abbrevs.find(code)
		if a == nil {
			e.r.at = off
			e.r.fail(phys.ErrCorrupt, "abbreviation %d is not in .debug_abbrev at %#x", code, e.u.abbrev)
			return
		}
		if a.children {
			depth++
		}
		e.r.pass(e.u, a)
	}
	e.next, e.depth = e.r.at, e.Depth
}

// GoTo goes to the entry at an offset of .debug_info in this unit, as a reference gives it.
// Its Depth is 0, and that of its children counts from there. The walk goes on behind it.
func (e *Entries) GoTo(off int64) error {
	if off < e.u.first || off >= e.r.base+int64(len(e.r.b)) {
		return wrong(".debug_info", off, phys.ErrCorrupt, "not in the unit at %#x", e.u.Off)
	}
	e.r.err = nil
	e.r.at, e.depth, e.Off = int(off-e.r.base), 0, off
	code := e.r.uleb()
	if code == 0 && e.r.err == nil {
		e.r.fail(phys.ErrCorrupt, "no entry begins here")
	}
	if !e.begin(code) {
		return e.r.err
	}
	return nil
}

// EntryAt gives a walk that stands on the entry at an offset of .debug_info, in whichever
// unit it is.
func (f *File) EntryAt(off int64) (*Entries, error) {
	u, err := f.UnitAt(off)
	if err != nil {
		return nil, err
	}
	e, err := u.Entries()
	if err != nil {
		return nil, err
	}
	return e, e.GoTo(off)
}
