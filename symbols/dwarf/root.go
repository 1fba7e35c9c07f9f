package dwarf

import "github.com/kautopsy/kautopsy/phys"

// Root is what the first entry of a unit says of all of it.
type Root struct {
	Name     string // the source file, as the compiler was called with it
	CompDir  string // the folder of the compilation
	Language uint64 // DW_LANG_*
	LowPC    uint64 // the base of its range and location lists
	Lines    int64  // offset in .debug_line, -1: no lines
	Dwo      string // of a skeleton unit: the file that has the entries

	strOffsets, addrs, rnglists, loclists int64 // where the unit's part of these sections begins
	ranges                                int64 // of a split unit's DW_AT_ranges, DWARF 4
	dwoID                                 uint64
}

// rootBytes is what is read to see the first entry alone.
const rootBytes = 512

// Root reads the unit's first entry, without the rest of the unit. The answer is kept.
func (u *Unit) Root() (*Root, error) {
	u.rootOnce.Do(func() { u.rootErr = u.readRoot() })
	return &u.root, u.rootErr
}

func (u *Unit) readRoot() error {
	e, err := u.rootEntry()
	if err != nil {
		return err
	}
	r := &u.root
	// Which of the indexed forms means what depends on these.
	offset := func(def int64, attrs ...Attr) int64 {
		for _, a := range attrs {
			if v, ok := e.Attr(a); ok {
				return int64(v.num)
			}
		}
		return def
	}
	// Without the attribute it is behind the header of the section's first (and in split
	// units only) part.
	head := int64(8)
	if u.offSize == 8 {
		head = 16
	}
	if u.Version < 5 { // GNU's extension has no headers
		head = 0
	}
	r.strOffsets = offset(head, AttrStrOffsetsBase)
	r.addrs = offset(head, AttrAddrBase, AttrGNUAddrBase)
	r.dwoID = uint64(offset(0, AttrGNUDwoID))
	r.ranges = offset(0, AttrGNURangesBase)
	r.rnglists = offset(head+4, AttrRnglistsBase)
	r.loclists = offset(head+4, AttrLoclistsBase)
	r.Lines = offset(-1, AttrStmtList)
	if v, ok := e.Attr(AttrLanguage); ok {
		r.Language = v.num
	}
	if v, ok := e.Attr(AttrLowPC); ok {
		if r.LowPC, err = v.address(r); err != nil {
			return err
		}
	}
	for a, to := range map[Attr]*string{AttrName: &r.Name, AttrCompDir: &r.CompDir, AttrDwoName: &r.Dwo, AttrGNUDwoName: &r.Dwo} {
		if v, ok := e.Attr(a); ok {
			if *to, err = v.text(r); err != nil {
				return err
			}
		}
	}
	if s := u.f.skeleton; s != nil {
		if err := r.inherit(s); err != nil {
			return err
		}
	}
	return e.Err()
}

// inherit takes from the skeleton what a split unit has from it.
func (r *Root) inherit(skeleton *Unit) error {
	from, err := skeleton.Root()
	if err != nil {
		return err
	}
	r.addrs, r.LowPC, r.CompDir, r.ranges = from.addrs, from.LowPC, from.CompDir, from.ranges
	r.Dwo = ""
	return nil
}

// rootEntry gives a walk that stands on the unit's first entry, with as few of the unit's
// bytes as that takes.
func (u *Unit) rootEntry() (*Entries, error) {
	t, err := u.abbrevTable()
	if err != nil {
		return nil, err
	}
	s := u.f.section(".debug_info")
	for n := int64(rootBytes); ; n *= 4 {
		n = min(n, u.End-u.Off)
		b, err := s.read(nil, u.Off, uint64(n))
		if err != nil {
			return nil, err
		}
		e := u.entries(t, b)
		switch {
		case e.Next() && e.end() >= 0:
			return e, nil
		case n == u.End-u.Off && e.Err() == nil:
			return nil, wrong(s.name, u.first, phys.ErrCorrupt, "unit without entries")
		case n == u.End-u.Off:
			return nil, e.Err()
		}
	}
}

// whole tells whether the entries of the unit are in this file.
func (u *Unit) whole() error {
	r, err := u.Root()
	if err == nil && r.Dwo != "" {
		err = wrong(".debug_info", u.Off, ErrSplit, "the entries of %s are in %s", r.Name, r.Dwo)
	}
	return err
}
