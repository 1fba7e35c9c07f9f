package dwarf

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/kautopsy/kautopsy/phys"
)

// Source is a place in the source code.
type Source struct {
	Function string // "" where no function of the debug information covers the address
	// File is relative to the folder of the compilation if it is below that: "kernel/panic.c".
	File         string
	Line, Column int    // 0 where the compiler gave none
	Inlined      bool   // Function was inlined into that of the Source behind this one
	Dir          string // the folder of the compilation
}

// String is "kernel/panic.c:358", "" when nothing is known.
func (s Source) String() string {
	if s.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", s.File, s.Line)
}

// Source gives the line of the instruction at an address of the file: first the innermost
// function, with Inlined set, then each function that it was inlined into, where it calls
// the one before, and last the function that is really there. The address of a call's return
// is that of the next instruction: ask for one less. An address that no unit covers is
// ErrNoDebug; what is damaged is in the error, with what could be read.
func (f *File) Source(addr uint64) ([]Source, error) {
	u, err := f.UnitOf(addr)
	if err != nil {
		return nil, err
	}
	root, err := u.Root()
	if err != nil {
		return nil, err
	}
	table, err := u.lines()
	if err != nil {
		table = &lines{}
	}
	at := Source{Dir: root.CompDir}
	if row, ok := table.find(addr); ok {
		at.File, at.Line, at.Column = table.file(uint64(row.file)), int(row.line), int(row.col)
	}
	chain, cerr := u.chain(addr)
	if err == nil {
		err = cerr
	}
	switch {
	case len(chain) > 0:
	case at.File != "":
		return []Source{at}, err
	case err == nil:
		return nil, fmt.Errorf("address %#x: %w", addr, ErrNoDebug)
	default:
		return nil, err
	}
	files := u.filesOf(table)
	out := make([]Source, 0, len(chain))
	for i := len(chain) - 1; i >= 0; i-- {
		c := chain[i]
		at.Function, at.Inlined = c.name, i > 0
		out = append(out, at)
		at.File, at.Line, at.Column = files.file(c.callFile), int(c.callLine), int(c.callColumn)
	}
	return out, err
}

// filesOf is the table that numbers the files of the unit's entries: those of a split unit can
// have one of their own.
func (u *Unit) filesOf(table *lines) *lines {
	s, err := u.split()
	if err != nil || s == u {
		return table
	}
	if r, err := s.Root(); err != nil || r.Lines < 0 {
		return table
	}
	if own, err := s.lines(); err == nil {
		return own
	}
	return table
}

// function is code of a subprogram.
type function struct {
	Range
	off int64 // of its entry
}

// isC tells whether functions are children of the unit's first entry only (DW_LANG_* of C
// and of assemblers).
func isC(language uint64) bool {
	switch language {
	case 0x01, 0x02, 0x0c, 0x1d, 0x2c, 0x8001: // C89, C, C99, C11, C17, Mips_Assembler
		return true
	}
	return false
}

// functions lists the unit's functions by address; it comes from the cache of the file.
func (u *Unit) functions() ([]function, error) {
	return u.f.functions.get(unitKey{u.f, u.Off}, func() (out []function, cost int64, err error) {
		e, err := u.Entries()
		if err != nil {
			return nil, 0, err
		}
		root, err := e.u.Root()
		if err != nil {
			return nil, 0, err
		}
		nested := !isC(root.Language)
		var ranges []Range
		for e.Next() {
			switch e.Tag {
			case TagCompileUnit, TagPartialUnit, TagNamespace, TagModule:
				continue
			case TagStructureType, TagClassType, TagUnionType, TagEnumerationType, TagVariantPart, TagVariant:
				if nested {
					continue
				}
			case TagSubprogram:
				if ranges, err = e.Ranges(ranges[:0]); err != nil {
					return nil, 0, err
				}
				for _, r := range ranges {
					out = append(out, function{r, e.Off})
				}
			}
			e.SkipChildren()
		}
		slices.SortStableFunc(out, func(a, b function) int { return cmp.Compare(a.Low, b.Low) })
		return out, 24 * int64(len(out)), e.Err()
	})
}

// scope is a function on the way to an address, the outermost first.
type scope struct {
	name                           string
	callFile, callLine, callColumn uint64 // of an inlined one
}

// maxInlined bounds how deep functions are inlined into each other; 6.1 has 15.
const maxInlined = 256

// enter gives a walk that stands on the function that covers an address, and where the piece
// of it begins that the address is in; nil where none does.
func (u *Unit) enter(addr uint64) (e *Entries, low uint64, err error) {
	list, err := u.functions()
	if err != nil {
		return nil, 0, err
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].Low > addr }) - 1
	if i < 0 || !list[i].Has(addr) {
		return nil, 0, nil
	}
	if e, err = u.Entries(); err != nil {
		return nil, 0, err
	}
	return e, list[i].Low, e.GoTo(list[i].off)
}

// chain gives the function that covers an address and those inlined into it there.
func (u *Unit) chain(addr uint64) ([]scope, error) {
	e, _, err := u.enter(addr)
	if err != nil || e == nil {
		return nil, err
	}
	s, err := u.scope(e)
	if err != nil {
		return nil, err
	}
	chain := []scope{s}
	err = e.covering(addr, func() error {
		s, err := u.scope(e)
		if err == nil {
			chain = append(chain, s)
		}
		return err
	}, nil)
	return chain, err
}

// covering walks the function that e stands on. It calls inlined at each function that was
// inlined there and covers the address, and variable, if it is not nil, at each variable of
// the function and of blocks that cover it, with the number of inlined functions around it.
func (e *Entries) covering(addr uint64, inlined func() error, variable func(scope int)) error {
	const nobody = -1 // a block that says nothing of its code: its children do
	var ranges []Range
	owner := []int{0} // by depth, whose the children of the entries are that cover addr
	inside, count := 0, 0
	for e.Next() && e.Depth > 0 && count < maxInlined {
		owner = owner[:min(len(owner), e.Depth)]
		own := len(owner) == e.Depth
		switch {
		case e.Tag == TagVariable || e.Tag == TagFormalParameter:
			if own && variable != nil && owner[e.Depth-1] != nobody {
				variable(owner[e.Depth-1])
			}
		case own && e.Tag == TagLexicalBlock && !e.Has(AttrLowPC) && !e.Has(AttrRanges):
			owner = append(owner, nobody)
			continue
		case own && e.Depth > inside && (e.Tag == TagLexicalBlock || e.Tag == TagInlinedSubroutine):
			var err error
			if ranges, err = e.Ranges(ranges[:0]); err != nil {
				return err
			}
			if !slices.ContainsFunc(ranges, func(r Range) bool { return r.Has(addr) }) {
				break
			}
			inside = e.Depth
			if e.Tag == TagInlinedSubroutine {
				if err := inlined(); err != nil {
					return err
				}
				count++
				owner = append(owner, count)
				continue
			}
			owner = append(owner, count)
			continue
		}
		e.SkipChildren()
	}
	return e.Err()
}

// scope reads what the current entry, a function, says of itself.
func (u *Unit) scope(e *Entries) (s scope, err error) {
	s.callFile, _ = e.Uint(AttrCallFile)
	s.callLine, _ = e.Uint(AttrCallLine)
	s.callColumn, _ = e.Uint(AttrCallColumn)
	if s.name, err = e.Name(); s.name != "" || err != nil {
		return s, err
	}
	s.name, err = e.originName()
	return s, err
}

// maxOrigins bounds the way from an inlined function to its declaration.
const maxOrigins = 8

// originName is the name of the entry that this one is a copy of (DW_AT_abstract_origin) or
// belongs to (DW_AT_specification).
func (e *Entries) originName() (string, error) {
	for range maxOrigins {
		v, ok := e.Attr(AttrAbstractOrigin)
		if !ok {
			v, ok = e.Attr(AttrSpecification)
		}
		if !ok {
			return "", e.Err()
		}
		to, err := v.Ref()
		if err != nil {
			return "", err
		}
		if e, err = e.u.f.EntryAt(to); err != nil {
			return "", err
		}
		if name, err := e.Name(); name != "" || err != nil {
			return name, err
		}
	}
	return "", wrong(".debug_info", e.Off, phys.ErrLimit, "more than %d origins", maxOrigins)
}
