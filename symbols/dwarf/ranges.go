package dwarf

import (
	"github.com/kautopsy/kautopsy/phys"
)

// Range is a half-open run of addresses.
type Range struct{ Low, High uint64 }

// Has tells whether an address is in it.
func (r Range) Has(addr uint64) bool { return addr >= r.Low && addr < r.High }

const (
	// maxRanges bounds those of one entry; a unit of a kernel has some thousands.
	maxRanges = 1 << 20
	// maxRangeBytes bounds what one walk reads of lists, which many entries can share: all
	// lists of a 6.1 vmlinux have 3.4 MB.
	maxRangeBytes = 64 << 20
)

// Ranges appends the addresses of the code of the entry to dst: DW_AT_low_pc to high_pc, or
// DW_AT_ranges. Empty ones are left out. An entry without code has none.
func (e *Entries) Ranges(dst []Range) ([]Range, error) {
	if v, ok := e.Attr(AttrRanges); ok {
		return e.rangeList(dst, v)
	}
	low, ok := e.Attr(AttrLowPC)
	if !ok {
		return dst, e.r.err
	}
	lo, err := low.Address()
	if err != nil {
		return dst, err
	}
	high, ok := e.Attr(AttrHighPC)
	if !ok {
		return dst, e.r.err
	}
	hi := lo + high.num // DWARF 4 on: its length
	if high.class == ClassAddress {
		if hi, err = high.Address(); err != nil {
			return dst, err
		}
	}
	return appendRange(dst, lo, hi), nil
}

func appendRange(dst []Range, low, high uint64) []Range {
	if low < high {
		dst = append(dst, Range{low, high})
	}
	return dst
}

// rangeList reads the list that DW_AT_ranges leads to.
func (e *Entries) rangeList(dst []Range, v Value) ([]Range, error) {
	root, err := e.u.Root()
	if err != nil {
		return dst, err
	}
	section, read := ".debug_ranges", e.u.oldRanges
	if e.u.Version >= 5 {
		section, read = ".debug_rnglists", e.u.rnglist
	}
	off := int64(v.num)
	if e.u.Version < 5 && e.u.f.skeleton != nil {
		off += root.ranges
	}
	if v.class == ClassIndex {
		rel, err := e.u.indexed(section, root.rnglists, v.num, e.u.offSize)
		if err != nil {
			return dst, err
		}
		off = root.rnglists + int64(rel)
	}
	if out, ok := e.nearRanges(dst, off, read, root.LowPC); ok {
		return out, e.spend(section, off)
	}
	had := len(dst)
	from := e.u.f
	if e.u.Version < 5 { // there is no .debug_ranges.dwo
		from = e.u.linked().f
	}
	err = from.section(section).decode(off, 4096, maxPiece, func(r *buf) (err error) {
		e.ranges = *r
		dst, err = read(r, dst[:had], root.LowPC)
		e.spent += int64(r.at)
		return err
	})
	if err == nil {
		err = e.spend(section, off)
	}
	return dst, err
}

// spend ends a walk that has read too much of lists.
func (e *Entries) spend(section string, off int64) error {
	if e.spent > maxRangeBytes {
		return wrong(section, off, phys.ErrLimit, "more than %d bytes of ranges in a walk", maxRangeBytes)
	}
	return nil
}

// nearRanges reads a list out of the piece of the section that was read last: those of
// neighbours stand together.
func (e *Entries) nearRanges(dst []Range, off int64, read func(*buf, []Range, uint64) ([]Range, error), base uint64) ([]Range, bool) {
	r := e.ranges
	if off < r.base || off >= r.base+int64(len(r.b)) {
		return dst, false
	}
	r.at, r.err = int(off-r.base), nil
	out, err := read(&r, dst, base)
	e.spent += r.base + int64(r.at) - off
	return out, err == nil && r.err == nil
}

// oldRanges reads a list of .debug_ranges (DWARF 3 and 4): pairs of addresses relative to
// the base, 0 0 at the end, and all ones before a new base.
func (u *Unit) oldRanges(r *buf, dst []Range, base uint64) ([]Range, error) {
	ones := ^uint64(0) >> (64 - 8*uint(u.AddrSize))
	for n := 0; r.err == nil; n++ {
		low, high := r.uint(u.AddrSize), r.uint(u.AddrSize)
		switch {
		case r.err != nil, low == 0 && high == 0:
			return dst, r.err
		case n == maxRanges:
			return dst, wrong(r.what, r.off(), phys.ErrLimit, "more than %d ranges", maxRanges)
		case low == ones:
			base = high
		default:
			dst = appendRange(dst, base+low, base+high)
		}
	}
	return dst, r.err
}

// rnglist reads a list of .debug_rnglists (DWARF 5 section 7.25, DW_RLE_*).
func (u *Unit) rnglist(r *buf, dst []Range, base uint64) ([]Range, error) {
	root, err := u.Root()
	if err != nil {
		return dst, err
	}
	indexed := func() uint64 {
		i := r.uleb()
		if r.err != nil || err != nil {
			return 0
		}
		var a uint64
		a, err = u.linked().indexed(".debug_addr", root.addrs, i, u.AddrSize)
		return a
	}
	for n := 0; r.err == nil && err == nil; n++ {
		if n == maxRanges {
			return dst, wrong(r.what, r.off(), phys.ErrLimit, "more than %d ranges", maxRanges)
		}
		var low, high uint64
		switch kind := r.u8(); kind {
		case 0: // DW_RLE_end_of_list
			return dst, r.err
		case 1: // base_addressx
			base = indexed()
			continue
		case 2: // startx_endx
			low, high = indexed(), indexed()
		case 3: // startx_length
			low = indexed()
			high = low + r.uleb()
		case 4: // offset_pair
			low, high = base+r.uleb(), base+r.uleb()
		case 5: // base_address
			base = r.uint(u.AddrSize)
			continue
		case 6: // start_end
			low, high = r.uint(u.AddrSize), r.uint(u.AddrSize)
		case 7: // start_length
			low = r.uint(u.AddrSize)
			high = low + r.uleb()
		default:
			return dst, wrong(r.what, r.off(), phys.ErrCorrupt, "range of kind %d", kind)
		}
		if r.err == nil && err == nil {
			dst = appendRange(dst, low, high)
		}
	}
	if err == nil {
		err = r.err
	}
	return dst, err
}
