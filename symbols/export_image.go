package symbols

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// exportedFunctions are functions that every kernel exports; entries for them are looked
// for. The tables of EXPORT_SYMBOL and EXPORT_SYMBOL_GPL lie one behind the other, so one
// function of each is enough, if it is there.
var exportedFunctions = []string{"kfree", "schedule", "vfree", "device_register", "queue_work_on", "class_unregister"}

// Exports reads what the kernel itself exports to modules (EXPORT_SYMBOL) out of its image,
// for kernels whose kallsyms names functions only (CONFIG_KALLSYMS_ALL off): the variables
// among it. Symbols that t has are left out. Where no table is found the error wraps
// ErrNoSymbol, and the reason of the first absence in the image if that is damage.
//
// The tables are found by their entries for functions that t knows; see export for the
// forms that these have.
func Exports(mem Memory, im Image, t *Table) (*Table, error) {
	var anchors []Symbol
	for _, name := range exportedFunctions {
		if s, err := t.Lookup(name); err == nil {
			anchors = append(anchors, s)
		}
	}
	var found []Symbol
	seen := map[string]bool{}
	bl := &block{abi: im.ABI, b: make([]byte, scanBlock)}
	var lost *gap
	for left := im.End - im.Start; left > 0; left -= min(left, scanBlock) {
		bl.va, bl.b, bl.gaps = im.End-left, bl.b[:min(uint64(cap(bl.b)), left)], bl.gaps[:0]
		bl.read(mem)
		for at, f := range bl.exportEntries(anchors) {
			name, value, ok := f.entry(mem, im.ABI, at)
			i := slices.IndexFunc(anchors, func(s Symbol) bool { return s.Name == name && s.Addr == value })
			if !ok || i < 0 || seen[name] || !f.continues(mem, im.ABI, at) {
				continue
			}
			found = f.around(mem, im, at, t, seen, found)
		}
		if lost == nil && len(bl.gaps) > 0 && phys.Damage(bl.gaps[0].err) {
			g := bl.gaps[0]
			lost = &g
		}
	}
	switch {
	case len(found) > 0:
		return New(found), nil
	case lost != nil:
		return nil, fmt.Errorf("exported symbols: %w, but %#x: %w", ErrNoSymbol, lost.from, lost.err)
	}
	return nil, fmt.Errorf("exported symbols: %w", ErrNoSymbol)
}

// exportEntries gives every place in the block that has the value of an entry for one of the
// functions, in each form of entries.
func (bl *block) exportEntries(anchors []Symbol) func(yield func(uint64, export) bool) {
	return func(yield func(uint64, export) bool) {
		ptr := bl.abi.ptr()
		order := bl.abi.order()
		for off := 0; off+4 <= len(bl.b); off += 4 {
			at := bl.va + uint64(off)
			relative := bl.abi.clip(at + uint64(int64(int32(order.Uint32(bl.b[off:])))))
			absolute := uint64(0)
			if off%ptr == 0 && off+ptr <= len(bl.b) {
				absolute = bin.Uint(bl.b[off:off+ptr], order)
			}
			for _, s := range anchors {
				if s.Addr != relative && s.Addr != absolute {
					continue
				}
				for _, f := range exportForms(uint64(ptr)) {
					if f.relative == (s.Addr == relative) && !yield(at, f) {
						return
					}
				}
			}
		}
	}
}

// continues tells whether there are entries of this form beside one.
func (f export) continues(mem Memory, abi ABI, at uint64) bool {
	beside := func(a, b uint64) bool {
		_, _, ok := f.entry(mem, abi, a)
		_, _, ok2 := f.entry(mem, abi, b)
		return ok && ok2
	}
	return beside(at+f.size, at+2*f.size) || beside(at-f.size, at-2*f.size)
}

// around reads the entries before and behind one, as far as they have names.
func (f export) around(mem Memory, im Image, at uint64, t *Table, seen map[string]bool, found []Symbol) []Symbol {
	const most = 1 << 17
	take := func(at uint64) bool {
		name, value, ok := f.entry(mem, im.ABI, at)
		if !ok || len(seen) > most {
			return false
		}
		if !seen[name] {
			seen[name] = true
			inside := value >= im.Start && value < im.End // what is not is the offset of a per-CPU variable
			if _, err := t.Lookup(name); err != nil && inside {
				found = append(found, Symbol{Name: name, Addr: value, Type: 'D'})
			}
		}
		return true
	}
	for a := at; a >= im.Start+f.size && take(a); a -= f.size {
	}
	for a := at + f.size; a+f.size <= im.End && take(a); a += f.size {
	}
	return found
}
