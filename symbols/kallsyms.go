package symbols

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// Keys are the addresses that VMCOREINFO gives as SYMBOL(kallsyms_names) and so on, 0
// for those that it lacks. 6.0 has them (5fd8fea935a1, f09bddbd8661) and some older
// kernels of distributions; _stext is in all since 2.6.24.
type Keys struct {
	Names, NumSyms, TokenTable, TokenIndex, Offsets uint64
	RelativeBase                                    uint64 // until 6.19
	Addresses                                       uint64 // until 6.10, without KALLSYMS_BASE_RELATIVE
	Stext                                           uint64
}

// Image is what is known of the kernel image before its symbols are.
type Image struct {
	ABI        ABI
	Start, End uint64 // virtual range to scan for the tables, half-open
	Keys       Keys
}

// Kallsyms reads the kernel's own symbol table from memory, by the keys of VMCOREINFO, or
// where they are missing or wrong, by a scan of the image. Which layout and which coding
// of lengths and addresses the kernel has is told by their shape and by _stext, never by
// its version. Only the image's own mapping is read, so a dump without page tables will do.
//
// When a part of the tables cannot be had, the table has the rest of the symbols and the
// error says what is missing: both are not nil. Without any symbol the table is nil. The
// error wraps one reason of package phys.
func Kallsyms(mem Memory, im Image) (*Table, error) {
	nt, places, err := byKeys(mem, im)
	if err == nil {
		var t *Table
		if t, err = join(mem, im, nt, places); t != nil {
			return t, err
		}
	}
	if im.Keys.Names != 0 && absent(err) {
		return nil, err // a scan would look for the same pages
	}
	nt, places, scanErr := scan(mem, im)
	if scanErr != nil {
		if im.Keys.Names != 0 {
			return nil, err // what the keys point at says more than a scan in vain
		}
		return nil, scanErr
	}
	return join(mem, im, nt, places)
}

// byKeys takes the tables where VMCOREINFO says.
func byKeys(mem Memory, im Image) (*nameTables, []place, error) {
	k := im.Keys
	if k.Names == 0 || k.NumSyms == 0 || k.TokenTable == 0 || k.TokenIndex == 0 {
		return nil, nil, fmt.Errorf("kallsyms: no addresses in VMCOREINFO: %w", phys.ErrUnsupported)
	}
	n, err := readNumSyms(mem, im)
	if err != nil {
		return nil, nil, err
	}
	nt := &nameTables{names: k.Names, tokens: k.TokenTable, index: k.TokenIndex, n: n}
	if err := nt.read(mem, im.ABI); err != nil {
		return nil, nil, err
	}
	return nt, keyPlaces(nt, k), nil
}

// readNumSyms reads kallsyms_num_syms: 4 bytes, an unsigned long until 4.19, of which 4
// bytes in the middle of big-endian memory would be 0.
func readNumSyms(mem Memory, im Image) (int, error) {
	const what = "kallsyms_num_syms"
	n, err := readUint(mem, im.ABI, what, im.Keys.NumSyms, 4)
	if err == nil && n == 0 && im.ABI.ptr() == 8 {
		n, err = readUint(mem, im.ABI, what, im.Keys.NumSyms, 8)
	}
	if err != nil {
		return 0, err
	}
	if n == 0 || n > maxSyms {
		return 0, fmt.Errorf("%s at %#x: %d symbols: %w", what, im.Keys.NumSyms, n, phys.ErrCorrupt)
	}
	return int(n), nil
}

// keyPlaces are the tables of addresses that VMCOREINFO names, and those that the layouts
// have.
func keyPlaces(nt *nameTables, k Keys) []place {
	var ps []place
	if k.Offsets != 0 {
		ps = append(ps, place{at: k.Offsets, base: k.RelativeBase})
	}
	if k.Addresses != 0 {
		ps = append(ps, place{at: k.Addresses, long: true})
	}
	return append(ps, nt.places(k.NumSyms)...)
}

// places are where the layouts keep addresses (see doc.go): before num_syms until 6.3,
// behind token_index since. Place relative ones are always behind.
func (t *nameTables) places(numSyms uint64) []place {
	ptr, n := uint64(t.bl.abi.ptr()), uint64(t.n)
	align := ptr
	if t.names-numSyms == 4 {
		align = 4 // num_syms takes 4 bytes and the names follow at once
	}
	base := numSyms - ptr
	behind := up(t.index+indexSize, align)
	return []place{
		{at: (base - 4*n) &^ (ptr - 1), base: base},
		{at: numSyms - ptr*n, long: true},
		{at: behind, base: up(behind+4*n, align)},
		{at: behind},
		{at: behind, long: true},
	}
}

// up is the next multiple of align, a power of two.
func up(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

// read reads the tables of names and checks that they fit each other.
func (t *nameTables) read(mem Memory, abi ABI) error {
	if t.names >= t.tokens || t.tokens >= t.index || t.index > ^uint64(0)-indexSize {
		return fmt.Errorf("kallsyms_names at %#x is not before the tokens at %#x: %w", t.names, t.tokens, phys.ErrCorrupt)
	}
	size := t.index + indexSize - t.names
	if size > maxTables {
		return fmt.Errorf("kallsyms_names at %#x: %d bytes: %w", t.names, size, phys.ErrLimit)
	}
	if uint64(t.n) > (t.tokens-t.names)/2 {
		return fmt.Errorf("kallsyms_names at %#x: %d names in %d bytes: %w", t.names, t.n, t.tokens-t.names, phys.ErrCorrupt)
	}
	t.bl = readBlock(mem, abi, t.names, int(size))
	if err := t.readTokens(); err != nil {
		return err
	}
	if t.findMarkers() {
		return nil
	}
	return t.withoutMarkers()
}

// join spells the names and gives them their addresses.
func join(mem Memory, im Image, nt *nameTables, places []place) (*Table, error) {
	e := nt.expand()
	if e.lost == nt.n {
		return nil, e.why
	}
	a, err := findAddresses(mem, im, places, e)
	if err != nil {
		return nil, err
	}
	if e.lost == 0 && len(a.bl.gaps) == 0 {
		t := &Table{text: e.text, pos: e.pos[:nt.n], addr: a.addr}
		t.extend(nt.n, "")
		return t.finish(), nil
	}
	return e.partial(a)
}

// absent tells whether memory is missing, as against keys that lead to nonsense.
func absent(err error) bool {
	r := phys.Reason(err)
	return r == phys.ErrLost || r == phys.ErrExcluded || r == phys.ErrHole
}
