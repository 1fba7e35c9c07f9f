package dwarf

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/symbols"
)

// Variable gives the type of the variable of that name that lies at one of the addresses, in
// the file's own: static variables of several sources can have one name. Of a variable that
// is only declared, as what linker scripts and assembly define, it is the type of all the
// declarations. Else the error wraps symbols.ErrNoType. Static variables of functions are
// not found.
func (t *Types) Variable(name string, addrs ...uint64) (*symbols.Type, error) {
	list, err := t.ByName(name, symbols.KindVar)
	if err != nil {
		return nil, err
	}
	alike := true
	for _, v := range list {
		at, placed := t.address(v.ID)
		if placed && slices.Contains(addrs, at) {
			return v.Elem(), nil
		}
		alike = alike && !placed && v.Elem().String() == list[0].Elem().String()
	}
	if !alike {
		return nil, fmt.Errorf("%d variables %s, none of them at %#x: %w", len(list), name, addrs, symbols.ErrNoType)
	}
	return list[0].Elem(), nil
}

// address is where a variable lies: its location is DW_OP_addr or DW_OP_addrx, and nothing
// else.
func (t *Types) address(id symbols.TypeID) (uint64, bool) {
	const opAddr, opAddrx = 0x03, 0xa1
	e, err := t.f.EntryAt(int64(id))
	if err != nil {
		return 0, false
	}
	v, ok := e.Attr(AttrLocation)
	if b := v.Bytes(); ok && len(b) > 1 {
		r := buf{what: "location", b: b[1:], order: e.r.order}
		var at uint64
		switch b[0] {
		case opAddr:
			at = r.uint(e.u.AddrSize)
		case opAddrx:
			at, err = Value{u: e.u, form: FormAddrx, num: r.uleb()}.Address()
		default:
			return 0, false
		}
		return at, err == nil && r.err == nil && r.at == len(r.b)
	}
	return 0, false
}
