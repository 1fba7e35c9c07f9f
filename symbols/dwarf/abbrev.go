package dwarf

import "github.com/kautopsy/kautopsy/phys"

// abbrev is the form of entries with one code.
type abbrev struct {
	code     uint64
	tag      Tag
	children bool
	attrs    []attrForm
	fixed    int // bytes of all values; -1 when they differ from entry to entry
}

// attrForm is an attribute and how its value is written.
type attrForm struct {
	attr  Attr
	form  Form
	size  int   // of the value in bytes, -1 when it tells itself
	konst int64 // the value of DW_FORM_implicit_const
}

// abbrevs are the abbreviations of a unit; many units can share them.
type abbrevs struct {
	list   []abbrev       // in the order of the section: code i+1 at i, as compilers write them
	byCode map[uint64]int // of those that are not
}

// abbrevKey is what an abbreviation's meaning depends on.
type abbrevKey struct {
	f                          *File
	off                        int64
	version, addrSize, offSize int
}

const (
	maxAbbrevs     = 1 << 16 // 200 in a unit of a kernel
	maxAbbrevAttrs = 1 << 10
	maxAbbrevCost  = 16 << 20 // bytes that a table takes, decoded
	firstAbbrevs   = 4 << 10  // bytes that are read at first
)

// abbrevTable decodes the unit's abbreviations.
func (u *Unit) abbrevTable() (*abbrevs, error) {
	key := abbrevKey{u.f, u.abbrev, u.Version, u.AddrSize, u.offSize}
	return u.f.abbrevs.get(key, func() (t *abbrevs, cost int64, err error) {
		err = u.f.section(".debug_abbrev").decode(u.abbrev, firstAbbrevs, maxPiece, func(r *buf) error {
			t, cost = &abbrevs{}, 0
			for t.read(r, u) {
				cost += 64 + 24*int64(len(t.list[len(t.list)-1].attrs))
				if cost > maxAbbrevCost {
					r.fail(phys.ErrLimit, "more than %d bytes of abbreviations", maxAbbrevCost)
				}
			}
			return r.err
		})
		return t, cost, err
	})
}

// read decodes the next abbreviation, false at the end.
func (t *abbrevs) read(r *buf, u *Unit) bool {
	a := abbrev{code: r.uleb()}
	if a.code == 0 || r.err != nil {
		return false
	}
	a.tag, a.children = Tag(r.uleb()), r.u8() != 0
	for r.err == nil {
		af := attrForm{attr: Attr(r.uleb()), form: Form(r.uleb())}
		if af.form == FormImplicitConst {
			af.konst = r.sleb()
		}
		if af.attr == 0 && af.form == 0 {
			break
		}
		if af.size = u.formSize(af.form); af.size < 0 {
			a.fixed = -1
		} else if a.fixed >= 0 {
			a.fixed += af.size
		}
		if a.attrs = append(a.attrs, af); len(a.attrs) > maxAbbrevAttrs {
			r.fail(phys.ErrLimit, "abbreviation %d with more than %d attributes", a.code, maxAbbrevAttrs)
		}
	}
	if len(t.list) == maxAbbrevs {
		r.fail(phys.ErrLimit, "more than %d abbreviations", maxAbbrevs)
	}
	if r.err != nil {
		return false
	}
	if t.list = append(t.list, a); a.code != uint64(len(t.list)) {
		if t.byCode == nil {
			t.byCode = map[uint64]int{}
		}
		t.byCode[a.code] = len(t.list) - 1
	}
	return true
}

// find gives the abbreviation of a code, nil if there is none.
func (t *abbrevs) find(code uint64) *abbrev {
	if i := code - 1; i < uint64(len(t.list)) && t.list[i].code == code {
		return &t.list[i]
	}
	if i, ok := t.byCode[code]; ok {
		return &t.list[i]
	}
	return nil
}
