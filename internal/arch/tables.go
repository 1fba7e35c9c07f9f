package arch

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Walk is the way from a virtual to a physical address.
type Walk struct {
	Addr     phys.Addr
	PageSize uint64   // of the page or block that maps the address
	Steps    []Step   // the entries that were read, the root first
	Flags    []string // of the last entry, in crash's words: PRESENT, RW, NX …
}

// Step is one entry that a walk read.
type Step struct {
	Level string    // "PGD", "P4D", "PUD", "PMD", "PTE"; on s390x "R1", "R2", "R3", "STE", "PTE"
	Entry phys.Addr // where the entry lies
	Value uint64
}

// WalkError says at which level a walk ended, and why.
type WalkError struct {
	VA    uint64
	Level string    // empty when the walk could not begin
	Entry phys.Addr // of the entry that was absent or could not be read
	Size  uint64    // of the run of addresses that the entry stands for, a power of 2; 0 without one
	Err   error     // wraps exactly one of the reasons of package phys
}

// Error reads like "0xffffc90000000000: PMD entry at physical 0x1a3f008: not mapped".
func (e *WalkError) Error() string {
	if e.Level == "" {
		return fmt.Sprintf("%#x: %v", e.VA, e.Err)
	}
	return fmt.Sprintf("%#x: %s entry at physical %#x: %v", e.VA, e.Level, uint64(e.Entry), e.Err)
}

// Unwrap gives the reason to errors.Is.
func (e *WalkError) Unwrap() error { return e.Err }

// level is one level of a tree of page tables. A table of it is indexed by the bits
// [shift, shift+bits) of the virtual address, and one entry covers 1<<shift bytes.
//
//	63            shift+bits           shift              0
//	| ………………………… |       index       |  offset below it  |
type level struct {
	name  string
	shift uint
	bits  uint
}

func (l level) size() uint64 { return 1 << l.shift }

// entryAt is where the entry for va lies in the table at base.
func (l level) entryAt(base phys.Addr, va uint64) phys.Addr {
	index := va >> l.shift & (1<<l.bits - 1)
	return base + phys.Addr(index*8)
}

// evenLevels is a tree whose tables below the root all have indexes of the same width;
// the root takes what is left of vaBits. The levels have the kernel's names, which call
// the root PGD and leave out from the top: with three levels there is no P4D, no PUD.
func evenLevels(vaBits, pageShift, bits uint) []level {
	names := [...]string{"PGD", "P4D", "PUD", "PMD", "PTE"}
	n := (vaBits - pageShift + bits - 1) / bits
	levels := make([]level, n)
	for i := range n {
		shift := pageShift + bits*(n-1-i)
		levels[i] = level{names[uint(len(names))-n+i], shift, min(bits, vaBits-shift)}
	}
	levels[0].name = names[0]
	return levels
}

// kind is what an entry of a table is.
type kind uint8

const (
	absent kind = iota
	inner       // points to a table of the next level
	leaf        // maps memory
)

// entry is a decoded entry: of an inner one the address of the table, of a leaf that of
// the page and its size.
type entry struct {
	kind kind
	addr phys.Addr
	size uint64
}

// leafEntry is the leaf of one entry at level l.
func leafEntry(l level, addr uint64) entry {
	return entry{leaf, phys.Addr(addr &^ (l.size() - 1)), l.size()}
}

// format is what a processor says of its tables.
type format interface {
	// levels of the tree, the root first. It is empty for an address that the
	// processor does not look up in it.
	levels(t tables, va uint64) ([]level, error)
	// decode reads the entry of va at a level.
	decode(l level, raw, va uint64) entry
	// flags spells the bits of a leaf.
	flags(l level, raw uint64) []string
}

// tables is a tree of page tables.
type tables struct {
	mem    phys.Reader
	order  binary.ByteOrder
	root   phys.Addr
	user   bool // of a process: arm64 keeps the kernel's half in another tree
	format format
}

// word reads one entry.
func (t tables) word(a phys.Addr) (uint64, error) {
	var b [8]byte
	if _, err := t.mem.ReadPhys(b[:], a); err != nil {
		return 0, err
	}
	return bin.Uint(b[:], t.order), nil
}

// walk goes down from the root and keeps the steps.
func (t tables) walk(va uint64) (Walk, error) {
	var w Walk
	e, at, err := t.descend(va, func(s Step) { w.Steps = append(w.Steps, s) })
	if err != nil {
		return w, err
	}
	w.Addr, w.PageSize = e.addr+phys.Addr(va&(e.size-1)), e.size
	w.Flags = t.format.flags(at, w.Steps[len(w.Steps)-1].Value)
	return w, nil
}

// translate is walk without the steps.
func (t tables) translate(va uint64) (phys.Addr, error) {
	e, _, err := t.descend(va, func(Step) {})
	return e.addr + phys.Addr(va&(e.size-1)), err
}

// descend finds the leaf that maps va. It reads one entry a level, so tables that point
// at each other cannot make it longer. at is the level where it ended, also by an error.
func (t tables) descend(va uint64, visit func(Step)) (e entry, at level, err error) {
	levels, err := t.format.levels(t, va)
	if err == nil && len(levels) == 0 {
		err = phys.ErrUnmapped
	}
	if err != nil {
		return entry{size: 1}, level{shift: 63}, &WalkError{VA: va, Err: err}
	}
	base := t.root
	for _, l := range levels {
		where := l.entryAt(base, va)
		raw, err := t.word(where)
		if err == nil {
			visit(Step{l.name, where, raw})
			e = t.format.decode(l, raw, va)
			if e.kind == leaf {
				return e, l, nil
			}
		}
		if err == nil && e.kind == absent {
			err = phys.ErrUnmapped
		}
		if err != nil {
			return entry{size: 1}, l, &WalkError{va, l.name, where, l.size(), err}
		}
		base, at = e.addr, l
	}
	// A lowest level that points to one more table is no table of this format.
	return entry{size: 1}, at, &WalkError{VA: va, Level: at.name, Err: phys.ErrCorrupt}
}

// flag is the name of one bit of an entry.
type flag struct {
	bit  uint
	name string
}

// spell lists the names of the bits that are set.
func spell(names []flag, raw uint64) []string {
	var out []string
	for _, f := range names {
		if raw>>f.bit&1 != 0 {
			out = append(out, f.name)
		}
	}
	return out
}
