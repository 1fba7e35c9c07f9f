package dwarf

import (
	"fmt"
	"iter"
	"sort"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// Unit is a unit of .debug_info: what came of one source file, mostly. It is safe for many
// goroutines.
type Unit struct {
	f *File

	Off, End int64 // in .debug_info: of the header, and behind the last entry
	Version  int   // 2 to 5
	AddrSize int   // of an address, in bytes

	kind    uint8 // DW_UT_*; before DWARF 5 unitCompile
	offSize int   // of an offset in a section: 4, or 8 in 64-bit DWARF
	first   int64 // offset of the first entry
	abbrev  int64 // offset in .debug_abbrev

	id uint64 // of a skeleton and its split unit, DWARF 5

	splitOnce sync.Once
	splitUnit *Unit
	splitErr  error

	rootOnce sync.Once
	root     Root
	rootErr  error
}

// maxUnits bounds the units of a file; a 6.1 vmlinux has 2,352.
const maxUnits = 1 << 20

// Units yields the units in the order of the file; their list is read once and kept. A
// header that cannot be read ends the walk with an error: nothing says where the next would
// be. Without debug information the error is ErrNoDebug.
func (f *File) Units() iter.Seq2[*Unit, error] {
	return func(yield func(*Unit, error) bool) {
		units, err := f.unitList()
		for _, u := range units {
			if !yield(u, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// unitList gives the units; with an error those before it.
func (f *File) unitList() ([]*Unit, error) {
	f.unitsOnce.Do(func() { f.units, f.unitsErr = f.readUnits() })
	return f.units, f.unitsErr
}

// readUnits follows the headers, each of which says how long its unit is.
func (f *File) readUnits() (units []*Unit, err error) {
	if !f.HasDebug() {
		return nil, ErrNoDebug
	}
	s := f.section(".debug_info")
	if err := s.open(); err != nil {
		return nil, err
	}
	for off := int64(0); off < s.size; {
		if len(units) == maxUnits {
			return units, wrong(s.name, off, phys.ErrLimit, "more than %d units", maxUnits)
		}
		u, err := f.readHeader(off)
		if err != nil {
			return units, err
		}
		units = append(units, u)
		off = u.End
	}
	return units, nil
}

// readHeader reads the header of a unit.
func (f *File) readHeader(off int64) (*Unit, error) {
	const longest = 40 // 64-bit DWARF 5 of a type unit
	s := f.section(".debug_info")
	r, err := s.buf(off, longest)
	if err != nil {
		return nil, err
	}
	u := &Unit{f: f, Off: off, kind: unitCompile}
	n, size := r.length()
	if u.offSize = size; r.err == nil && n > uint64(s.size-r.off()) {
		r.fail(phys.ErrCorrupt, "unit of %d bytes, the section has %d more", n, s.size-r.off())
	}
	u.End = r.off() + int64(n)
	u.Version = int(r.u16())
	if r.err == nil && (u.Version < 2 || u.Version > 5) {
		r.fail(phys.ErrUnsupported, "DWARF version %d", u.Version)
	}
	if u.Version == 5 {
		u.kind, u.AddrSize = r.u8(), int(r.u8())
		u.abbrev = int64(r.uint(u.offSize))
		switch u.kind {
		case unitSkeleton, unitSplitCompile:
			u.id = r.u64()
		case unitType, unitSplitType:
			r.take(8 + uint64(size))
		}
	} else {
		u.abbrev = int64(r.uint(u.offSize))
		u.AddrSize = int(r.u8())
	}
	if u.first = r.off(); r.err == nil && (u.AddrSize != 4 && u.AddrSize != 8 || u.first > u.End) {
		r.fail(phys.ErrCorrupt, "unit with addresses of %d bytes, %d bytes long", u.AddrSize, n)
	}
	return u, r.err
}

// UnitAt gives the unit in which an offset of .debug_info lies.
func (f *File) UnitAt(off int64) (*Unit, error) {
	units, err := f.unitList()
	i := sort.Search(len(units), func(i int) bool { return units[i].End > off })
	if i < len(units) && off >= units[i].Off {
		return units[i], nil
	}
	if err == nil {
		err = phys.ErrCorrupt
	}
	return nil, fmt.Errorf(".debug_info at %#x: in no unit: %w", off, err)
}

// bytes are those of the unit from its header on, from the cache of the file. They are
// shared: not to be written to.
func (u *Unit) bytes() ([]byte, error) {
	return u.f.bytes.get(unitKey{u.f, u.Off}, func() ([]byte, int64, error) {
		b, err := u.f.section(".debug_info").read(nil, u.Off, uint64(u.End-u.Off))
		return b, int64(len(b)), err
	})
}
