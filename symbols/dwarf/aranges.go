package dwarf

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/kautopsy/kautopsy/phys"
)

// arange is code (or data) of the unit whose header is at unit.
type arange struct {
	Range
	unit int64
}

// maxAranges bounds them; a 6.1 vmlinux has 10,000.
const maxAranges = 1 << 21

// UnitOf gives the unit whose code lies at an address of the file, by .debug_aranges, and by
// the ranges of the units that are not in there (clang writes none). An address that no unit
// covers is ErrNoDebug.
func (f *File) UnitOf(addr uint64) (*Unit, error) {
	f.arangesOnce.Do(func() { f.aranges, f.arangesErr = f.readAranges() })
	if u, err := f.unitIn(f.aranges, addr); u != nil || err != nil {
		return u, err
	}
	f.restOnce.Do(func() { f.rest, f.restErr = f.readRest() })
	if u, err := f.unitIn(f.rest, addr); u != nil || err != nil {
		return u, err
	}
	for _, err := range []error{f.arangesErr, f.restErr} {
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("address %#x: %w", addr, ErrNoDebug)
}

// unitIn finds the unit of an address in sorted ranges, nil if none has it.
func (f *File) unitIn(list []arange, addr uint64) (*Unit, error) {
	i := sort.Search(len(list), func(i int) bool { return list[i].Low > addr }) - 1
	// Ranges of damaged files, and of sections that the linker dropped, overlap: some
	// steps back are enough for the others.
	for n := 0; i >= 0 && n < 64; i, n = i-1, n+1 {
		if list[i].Has(addr) {
			return f.UnitAt(list[i].unit)
		}
	}
	return nil, nil
}

// readAranges reads .debug_aranges; with an error those before it.
func (f *File) readAranges() (out []arange, err error) {
	s := f.section(".debug_aranges")
	if s.elf == nil {
		return nil, nil
	}
	r, err := s.buf(0, s.len())
	if err != nil {
		return nil, err
	}
	for r.at < len(r.b) && r.err == nil && len(out) < maxAranges {
		out = readArangeSet(&r, out)
	}
	sortAranges(out)
	return out, r.err
}

// readArangeSet reads the part of one unit: a header, padding to twice the size of an
// address, and pairs up to 0 0.
func readArangeSet(r *buf, out []arange) []arange {
	start := r.at
	n, size := r.length()
	if r.err != nil || n > uint64(len(r.b)-r.at) {
		r.fail(phys.ErrCorrupt, "part of %d bytes, have %d", n, len(r.b)-r.at)
		return out
	}
	end := r.at + int(n)
	r.u16()
	unit := int64(r.uint(size))
	addr, segment := int(r.u8()), r.u8()
	if r.err == nil && (addr != 4 && addr != 8 || segment != 0) {
		r.fail(phys.ErrUnsupported, "addresses of %d bytes, segments of %d", addr, segment)
		return out
	}
	r.take(uint64(-(r.at - start) & (2*addr - 1)))
	for r.at+2*addr <= end && r.err == nil && len(out) < maxAranges {
		low, length := r.uint(addr), r.uint(addr)
		if low == 0 && length == 0 {
			break
		}
		if low+length > low {
			out = append(out, arange{Range{low, low + length}, unit})
		}
	}
	if r.err == nil {
		r.at = max(end, r.at)
	}
	return out
}

func sortAranges(list []arange) {
	slices.SortStableFunc(list, func(a, b arange) int { return cmp.Compare(a.Low, b.Low) })
}

// readRest gives the ranges of the units that .debug_aranges does not name. One that cannot
// be read does not hide the others; its error is told when an address is not found.
func (f *File) readRest() (out []arange, err error) {
	have := map[int64]bool{}
	for _, a := range f.aranges {
		have[a.unit] = true
	}
	var ranges []Range
	var spent int64
	for u, uerr := range f.Units() {
		if uerr == nil && have[u.Off] {
			continue
		}
		if uerr == nil {
			ranges, uerr = u.ranges(ranges[:0], &spent)
		}
		if uerr != nil && err == nil {
			err = uerr
		}
		for _, r := range ranges {
			if len(out) < maxAranges {
				out = append(out, arange{r, u.Off})
			}
		}
		ranges = ranges[:0]
	}
	sortAranges(out)
	return out, err
}

// ranges are the addresses of the unit, as its first entry says; spent is what was read for
// the units before.
func (u *Unit) ranges(dst []Range, spent *int64) ([]Range, error) {
	e, err := u.rootEntry()
	if err != nil {
		return dst, err
	}
	e.spent = *spent
	dst, err = e.Ranges(dst)
	*spent = e.spent
	return dst, err
}
