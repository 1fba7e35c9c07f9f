package dwarf

import (
	"debug/elf"
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/phys"
)

// dwp is a package of split debug information, NAME.dwp beside NAME (DWARF 5, 7.3.5; GNU's
// version 2 of it with DWARF 4). Its index says which part of each section is a unit's:
//
//	.debug_cu_index   version, columns N, units U, slots S
//	                  S × ID u64, S × row u32       a hash table, row 0: empty
//	                  N × section u32               which section a column is about
//	                  U × N × offset u32, U × N × size u32
type dwp struct {
	r     io.ReaderAt
	size  int64
	elf   *elf.File
	units map[uint64]map[string]window
	err   error
}

// packageSections are the sections by their numbers in the index: of GNU's version 2, and 5.
var packageSections = map[uint32]map[uint32]string{
	2: {1: ".debug_info", 3: ".debug_abbrev", 5: ".debug_loc", 6: ".debug_str_offsets"},
	5: {1: ".debug_info", 3: ".debug_abbrev", 5: ".debug_loclists", 6: ".debug_str_offsets", 8: ".debug_rnglists"},
}

// packaged gives the unit's part of the package, nil where there is none.
func (u *Unit) packaged() (*File, error) {
	f := u.f
	f.splits.packageOnce.Do(func() {
		if f.openSplit == nil {
			return
		}
		if r, size, err := f.openSplit(SplitFile{Package: true}); err == nil {
			f.splits.whole = readPackage(r, size)
		}
	})
	p := f.splits.whole
	if p == nil {
		return nil, nil
	}
	if p.err != nil {
		return nil, p.err
	}
	r, err := u.Root()
	if err != nil {
		return nil, err
	}
	w := p.units[u.dwoID(r)]
	if w == nil {
		return nil, nil // it may have a file of its own
	}
	return u.view(p.elf, p.r, p.size, w), nil
}

// readPackage reads the index of a package.
func readPackage(r io.ReaderAt, size int64) *dwp {
	p := &dwp{r: r, size: size, units: map[uint64]map[string]window{}}
	if p.elf, p.err = elf.NewFile(io.NewSectionReader(r, 0, size)); p.err != nil {
		p.err = fmt.Errorf("package of split DWARF: %w: %w", p.err, phys.ErrCorrupt)
		return p
	}
	f := &File{r: r, size: size, elf: p.elf, sections: map[string]*section{}, place: make([]uint64, len(p.elf.Sections))}
	s := f.section(".debug_cu_index")
	in, err := s.buf(0, s.len())
	if err == nil {
		p.index(&in)
		err = in.err
	}
	p.err = err
	return p
}

// index reads .debug_cu_index.
func (p *dwp) index(r *buf) {
	version := r.u32()
	if version&0xffff == 5 {
		version = 5 // two bytes, and two of padding
	}
	names := packageSections[version]
	columns, units, slots := uint64(r.u32()), uint64(r.u32()), uint64(r.u32())
	if r.err == nil && (names == nil || columns > 16) {
		r.fail(phys.ErrUnsupported, "version %d with %d columns", version, columns)
		return
	}
	part := func(n uint64) *buf { return &buf{what: r.what, base: r.off(), b: r.take(n), order: r.order} }
	ids, rows, about := part(8*slots), part(4*slots), part(4*columns)
	offsets, sizes := part(4*columns*units), part(4*columns*units)
	for range slots {
		if r.err != nil {
			return
		}
		id, row := ids.u64(), rows.u32()
		if row == 0 || uint64(row) > units {
			continue
		}
		w := map[string]window{}
		for c := range int(columns) {
			at := 4 * (int(row-1)*int(columns) + c)
			if name := names[r.order.Uint32(about.b[4*c:])]; name != "" {
				w[name] = window{int64(r.order.Uint32(offsets.b[at:])), int64(r.order.Uint32(sizes.b[at:]))}
			}
		}
		p.units[id] = w
	}
}
