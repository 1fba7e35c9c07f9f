package dwarf

import (
	"debug/elf"
	"fmt"
	"io"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// Split debug information (gcc -gsplit-dwarf, CONFIG_DEBUG_INFO_SPLIT; DWARF 5, 7.3.2, and
// with DWARF 4 as GNU's extension of it): of each unit the linked file has a skeleton,
//
//	DW_UT_skeleton   DW_AT_stmt_list, DW_AT_low_pc, DW_AT_ranges, DW_AT_addr_base,
//	                 DW_AT_dwo_name, DW_AT_comp_dir, and an ID
//
// and a file beside the object, NAME.dwo, has the entries: sections .debug_info.dwo,
// .debug_abbrev.dwo and so on, which refer to addresses by their index in the linked file's
// .debug_addr. dwp puts them all in one file (package.go).

// ErrSplit: the file that has the entries of a unit is not there. It wraps ErrNoDebug: lines
// are known without it.
var ErrSplit = fmt.Errorf("split DWARF: %w", ErrNoDebug)

// SplitFile says which file is wanted: the .dwo of a unit or, with Package, the .dwp of the
// whole file.
type SplitFile struct {
	Name    string // as the compiler was told: relative to Dir, mostly
	Dir     string // the folder of the compilation
	Package bool
}

// Opener opens a file of split debug information, for as long as the File is used.
type Opener func(SplitFile) (r io.ReaderAt, size int64, err error)

// FindSplit sets how the files of split debug information are found. It is to be called
// before anything is asked.
func (f *File) FindSplit(open Opener) { f.openSplit = open }

// splitFiles is what a linked file has of others.
type splitFiles struct {
	packageOnce sync.Once
	whole       *dwp // nil: there is none
}

// split gives the unit that has the entries of u: itself, unless it is a skeleton. The error
// wraps ErrSplit where the file is not there, and phys.ErrCorrupt where it is another.
func (u *Unit) split() (*Unit, error) {
	r, err := u.Root()
	if err != nil || r.Dwo == "" || u.f.skeleton != nil {
		return u, err
	}
	u.splitOnce.Do(func() { u.splitUnit, u.splitErr = u.openSplit(r) })
	return u.splitUnit, u.splitErr
}

func (u *Unit) openSplit(r *Root) (*Unit, error) {
	view, err := u.packaged()
	if err == nil && view == nil {
		view, err = u.ownFile(r)
	}
	if err != nil {
		return nil, err
	}
	for s, err := range view.Units() {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Dwo, err)
		}
		if s.kind != unitSplitCompile && s.kind != unitCompile {
			continue // of types
		}
		sr, err := s.Root()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Dwo, err)
		}
		if s.dwoID(sr) != u.dwoID(r) || s.Version != u.Version {
			return nil, fmt.Errorf("%s is of another compilation of %s: %w: %w", r.Dwo, r.Name, phys.ErrCorrupt, ErrSplit)
		}
		return s, nil
	}
	return nil, fmt.Errorf("%s has no unit: %w", r.Dwo, phys.ErrCorrupt)
}

// dwoID is what a skeleton and its split unit have in common.
func (u *Unit) dwoID(r *Root) uint64 {
	if u.Version >= 5 {
		return u.id
	}
	return r.dwoID
}

// ownFile opens the .dwo of a unit.
func (u *Unit) ownFile(r *Root) (*File, error) {
	if u.f.openSplit == nil {
		return nil, fmt.Errorf("%s has the inlined functions, variables and types of %s, and nobody looks for it: %w", r.Dwo, r.Name, ErrSplit)
	}
	in, size, err := u.f.openSplit(SplitFile{Name: r.Dwo, Dir: r.CompDir})
	if err != nil {
		return nil, fmt.Errorf("%s has the inlined functions, variables and types of %s: %w: %w", r.Dwo, r.Name, err, ErrSplit)
	}
	e, err := elf.NewFile(io.NewSectionReader(in, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", r.Dwo, err, phys.ErrCorrupt)
	}
	return u.view(e, in, size, nil), nil
}

// view is the file of one split unit: a .dwo, or the windows of a package. What is kept of
// units that were touched is bounded for all of them together.
func (u *Unit) view(e *elf.File, r io.ReaderAt, size int64, windows map[string]window) *File {
	v := &File{r: r, size: size, elf: e, sections: map[string]*section{}, skeleton: u, windows: windows, caches: u.f.caches}
	v.place = make([]uint64, len(e.Sections))
	return v
}

// window is the part of a section that a unit of a package has.
type window struct{ off, size int64 }

// linked is the unit of the linked file, whose .debug_addr and .debug_ranges this one uses.
func (u *Unit) linked() *Unit {
	if u.f.skeleton != nil {
		return u.f.skeleton
	}
	return u
}
