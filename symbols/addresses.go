package symbols

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// coding is a way in which kallsyms keeps addresses (see doc.go).
type coding struct {
	name  string
	based bool // needs kallsyms_relative_base
	long  bool // entries are as wide as a pointer, else 4 bytes
	// at is the address of an entry v that stands at va.
	at func(v, base, va uint64) uint64
}

// codings in the order in which they are tried. Which one is right, _stext tells.
func codings() []coding {
	signed := func(v uint64) uint64 { return uint64(int64(int32(v))) }
	return []coding{
		// 4.6 to 6.19.
		{"base relative", true, false, func(v, base, _ uint64) uint64 { return base + v }},
		// 4.6 to 6.14 on SMP x86: per-CPU symbols are offsets from 0 and stay positive.
		{"absolute per-CPU", true, false, func(v, base, _ uint64) uint64 {
			if int32(v) >= 0 {
				return v
			}
			return base - 1 - signed(v)
		}},
		// a081b5789255 (7.0) on.
		{"place relative", false, false, func(v, _, va uint64) uint64 { return va + signed(v) }},
		// All before 4.6; until 6.10 without KALLSYMS_BASE_RELATIVE.
		{"absolute", false, true, func(v, _, _ uint64) uint64 { return v }},
	}
}

// place is where addresses may be kept, and which codings occur there.
type place struct {
	at   uint64 // kallsyms_offsets or kallsyms_addresses
	base uint64 // kallsyms_relative_base; 0: there is none, the offsets are place relative
	long bool   // kallsyms_addresses: absolute
}

// has tells whether addresses at p can be kept by c.
func (p place) has(c coding) bool { return c.long == p.long && c.based == (p.base != 0) }

// addresses are a table of addresses under one reading of it.
type addresses struct {
	bl   *block
	size int // bytes per entry
	c    coding
	base uint64
	addr []uint64 // decoded
}

// findAddresses tries all places and codings and takes the first that fits.
func findAddresses(mem Memory, im Image, places []place, e *expanded) (*addresses, error) {
	var why error
	stext := e.number("_stext")
	for _, p := range places {
		size := 4
		if p.long {
			size = im.ABI.ptr()
		}
		a := addresses{bl: readBlock(mem, im.ABI, p.at, e.len()*size), size: size}
		for _, c := range codings() {
			if !p.has(c) {
				continue
			}
			a.c = c
			err := a.decode(mem, im, p, stext)
			if err == nil {
				err = a.check(im, e)
			}
			if err == nil {
				return &a, nil
			}
			// That a table is absent says more than that another place has none.
			if why == nil || phys.Reason(why) == phys.ErrCorrupt && phys.Reason(err) != phys.ErrCorrupt {
				why = fmt.Errorf("kallsyms addresses at %#x, %s: %w", p.at, c.name, err)
			}
		}
	}
	return nil, why
}

// absent tells why the address of symbol i cannot be had, nil when it can.
func (a *addresses) absent(i int) *gap {
	if len(a.bl.gaps) == 0 {
		return nil
	}
	at := a.bl.va + uint64(i*a.size)
	return a.bl.lost(at, at+uint64(a.size))
}

// at decodes the address of symbol i.
func (a *addresses) at(i int) uint64 {
	off := i * a.size
	v := a.bl.abi.number(a.bl.b[off : off+a.size])
	return a.bl.abi.clip(a.c.at(v, a.base, a.bl.va+uint64(off)))
}

// decode decodes the table if it gives _stext the address that VMCOREINFO says, or if
// that cannot be asked.
func (a *addresses) decode(mem Memory, im Image, p place, stext int) error {
	n := len(a.bl.b) / a.size
	if n == 0 {
		return fmt.Errorf("beyond the address space: %w", phys.ErrCorrupt)
	}
	if g := a.bl.lost(a.bl.va, a.bl.end()); g != nil && g.from == a.bl.va && g.to == a.bl.end() {
		return g.err
	}
	want := im.Keys.Stext
	if stext < 0 || stext >= n || a.absent(stext) != nil {
		want = 0
	}
	if a.base = 0; a.c.based {
		if err := a.readBase(mem, im, p.base, want, stext); err != nil {
			return err
		}
	}
	if want != 0 && a.at(stext) != want {
		return fmt.Errorf("_stext is %#x, not %#x: %w", a.at(stext), want, phys.ErrCorrupt)
	}
	a.addr = make([]uint64, n)
	for i := range a.addr {
		a.addr[i] = a.at(i)
	}
	return nil
}

// readBase reads kallsyms_relative_base. Where it is absent, _stext tells what it was.
func (a *addresses) readBase(mem Memory, im Image, at, want uint64, stext int) error {
	base, err := readUint(mem, im.ABI, "kallsyms_relative_base", at, im.ABI.ptr())
	switch {
	case err != nil && want == 0:
		return err
	case err != nil:
		base = im.ABI.clip(want - a.at(stext))
	case im.End != 0 && (base < im.Start || base >= im.End):
		return fmt.Errorf("kallsyms_relative_base %#x outside of the image: %w", base, phys.ErrCorrupt)
	}
	a.base = base
	return nil
}

// check tells whether the addresses can be right by themselves: they are sorted, and of
// those that are no per-CPU offsets nearly all lie in the image. (Since 223abe96ac0d,
// 6.14, there are absolute ones beyond it.)
func (a *addresses) check(im Image, e *expanded) error {
	if len(a.addr) != e.len() {
		return fmt.Errorf("the address space ends after %d of %d: %w", len(a.addr), e.len(), phys.ErrCorrupt)
	}
	if len(a.bl.gaps) == 0 && !slices.IsSorted(a.addr) {
		return fmt.Errorf("not sorted: %w", phys.ErrCorrupt)
	}
	seen, outside, same := 0, 0, 0
	for i, v := range a.addr {
		if e.of(i) == "" || absolute(e.text[e.pos[i]]) || a.absent(i) != nil {
			continue
		}
		seen++
		if i > 0 && v == a.addr[i-1] {
			same++
		}
		if im.End != 0 && (v < im.Start || v >= im.End) {
			outside++
		}
	}
	if outside*10 > seen {
		return fmt.Errorf("%d of %d outside of the image: %w", outside, seen, phys.ErrCorrupt)
	}
	if same > seen/2 { // zeros behind some base
		return fmt.Errorf("%d of %d equal to the one before: %w", same, seen, phys.ErrCorrupt)
	}
	return nil
}
