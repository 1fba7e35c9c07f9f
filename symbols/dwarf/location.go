package dwarf

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// maxLocations bounds the entries of one location list, and maxLocationBytes its length:
// the longest of a 6.1 vmlinux has 900 entries.
const (
	maxLocations     = 1 << 16
	maxLocationBytes = 4 << 20
)

// location gives the expression that says where the current entry's attribute is at an
// address; none where a list has none for it. The bytes are the caller's.
func (e *Entries) location(attr Attr, pc uint64) ([]byte, error) {
	v, ok := e.Attr(attr)
	if !ok {
		return nil, e.r.err
	}
	switch v.class {
	case ClassExpr, ClassBlock:
		return slices.Clone(v.bytes), nil
	case ClassOffset, ClassIndex:
	default:
		return nil, v.unsupported("location")
	}
	root, err := e.u.Root()
	if err != nil {
		return nil, err
	}
	off, section, read := int64(v.num), ".debug_loc", e.u.oldLocation
	switch {
	case e.u.Version >= 5:
		section, read = ".debug_loclists", e.u.loclist
	case e.u.f.skeleton != nil:
		read = e.u.splitLocation
	}
	if v.class == ClassIndex && e.u.f.section(section).elf != nil {
		rel, err := e.u.indexed(section, root.loclists, v.num, e.u.offSize)
		if err != nil {
			return nil, err
		}
		off = root.loclists + int64(rel)
	}
	if e.u.f.section(section).elf == nil {
		return nil, fmt.Errorf("%s, which says where variables are, was taken out of the file: %w", section, ErrNoDebug)
	}
	var expr []byte
	err = e.u.f.section(section).decode(off, 512, maxLocationBytes, func(r *buf) (err error) {
		expr, err = read(r, root.LowPC, pc)
		return err
	})
	return slices.Clone(expr), err
}

// oldLocation looks for an address in a list of .debug_loc (DWARF 2 to 4, 2.6.2): pairs of
// addresses relative to the base, each with a length of 2 bytes and an expression; 0 0 at the
// end, and all ones before a new base.
func (u *Unit) oldLocation(r *buf, base, pc uint64) ([]byte, error) {
	ones := ^uint64(0) >> (64 - 8*uint(u.AddrSize))
	for n := 0; r.err == nil; n++ {
		low, high := r.uint(u.AddrSize), r.uint(u.AddrSize)
		switch {
		case r.err != nil, low == 0 && high == 0:
			return nil, r.err
		case n == maxLocations:
			return nil, wrong(r.what, r.off(), phys.ErrLimit, "more than %d locations", maxLocations)
		case low == ones:
			base = high
			continue
		}
		expr := r.take(uint64(r.u16()))
		if pc >= base+low && pc < base+high && r.err == nil {
			return expr, nil
		}
	}
	return nil, r.err
}

// splitLocation looks for an address in a list of .debug_loc.dwo (GNU's split DWARF 4): the
// address of the begin by its index, and a length of 4 bytes or the address of the end.
func (u *Unit) splitLocation(r *buf, base, pc uint64) (expr []byte, err error) {
	for n := 0; r.err == nil; n++ {
		if n == maxLocations {
			return nil, wrong(r.what, r.off(), phys.ErrLimit, "more than %d locations", maxLocations)
		}
		var low, high uint64
		switch kind := r.u8(); kind {
		case 0: // DW_LLE_GNU_end_of_list_entry
			return nil, r.err
		case 1: // base_address_selection_entry
			if base, err = u.listAddress(r); err != nil {
				return nil, err
			}
			continue
		case 2: // start_end_entry
			if low, err = u.listAddress(r); err == nil {
				high, err = u.listAddress(r)
			}
		case 3: // start_length_entry
			low, err = u.listAddress(r)
			high = low + uint64(r.u32())
		case 4: // offset_pair_entry
			low, high = base+uint64(r.u32()), base+uint64(r.u32())
		default:
			r.at--
			return nil, wrong(r.what, r.off(), phys.ErrCorrupt, "location of kind %d", kind)
		}
		if err != nil {
			return nil, err
		}
		expr = r.take(uint64(r.u16()))
		if pc >= low && pc < high && r.err == nil {
			return expr, nil
		}
	}
	return nil, r.err
}

// loclist looks for an address in a list of .debug_loclists (DWARF 5, 7.7.3, DW_LLE_*).
func (u *Unit) loclist(r *buf, base, pc uint64) (other []byte, err error) {
	for n := 0; r.err == nil; n++ {
		if n == maxLocations {
			return nil, wrong(r.what, r.off(), phys.ErrLimit, "more than %d locations", maxLocations)
		}
		var low, high uint64
		switch kind := r.u8(); kind {
		case 0: // DW_LLE_end_of_list
			return other, r.err
		case 1: // base_addressx
			base, err = u.listAddress(r)
			if err != nil {
				return nil, err
			}
			continue
		case 2: // startx_endx
			if low, err = u.listAddress(r); err == nil {
				high, err = u.listAddress(r)
			}
		case 3: // startx_length
			low, err = u.listAddress(r)
			high = low + r.uleb()
		case 4: // offset_pair
			low, high = base+r.uleb(), base+r.uleb()
		case 5: // default_location
			other = r.take(r.uleb())
			continue
		case 6: // base_address
			base = r.uint(u.AddrSize)
			continue
		case 7: // start_end
			low, high = r.uint(u.AddrSize), r.uint(u.AddrSize)
		case 8: // start_length
			low = r.uint(u.AddrSize)
			high = low + r.uleb()
		case 9: // GNU view_pair: which of several statements at an address
			r.uleb()
			r.uleb()
			continue
		default:
			r.at--
			return nil, wrong(r.what, r.off(), phys.ErrCorrupt, "location of kind %d", kind)
		}
		if err != nil {
			return nil, err
		}
		expr := r.take(r.uleb())
		if pc >= low && pc < high && r.err == nil {
			return expr, nil
		}
	}
	return nil, r.err
}

// listAddress is an address that a list has as an index.
func (u *Unit) listAddress(r *buf) (uint64, error) {
	i := r.uleb()
	if r.err != nil {
		return 0, r.err
	}
	return Value{u: u, form: FormAddrx, num: i}.Address()
}
