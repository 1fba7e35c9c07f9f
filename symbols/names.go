package symbols

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// Bounds of what hostile tables may ask for.
const (
	maxSyms   = 4 << 20   // the largest kernels have 300,000
	maxTables = 64 << 20  // bytes from kallsyms_names to kallsyms_token_index
	maxText   = 128 << 20 // bytes of all names together
	maxName   = 512       // KSYM_NAME_LEN; 128 until 6.0
)

// group is how many symbols one entry of kallsyms_markers stands for.
const group = 256

// indexSize is the size of kallsyms_token_index: 256 unsigned shorts.
const indexSize = 2 * 256

// nameTables are the tables that make names, from kallsyms_names to the end of
// kallsyms_token_index, which follow each other in all kernels.
type nameTables struct {
	bl      *block
	names   uint64 // address of kallsyms_names
	tokens  uint64 // address of kallsyms_token_table
	index   uint64 // address of kallsyms_token_index
	n       int    // kallsyms_num_syms
	tok     *tokens
	marks   []uint64 // offset in names of every 256th symbol; only 0 when the markers are lost
	markers uint64   // where names end at the latest
	wide    bool     // lengths of 128 and more take two bytes
	work    int      // markers and names looked at, which a search bounds
}

// readTokens reads the token table and compares it with its index as far as that is there.
func (t *nameTables) readTokens() error {
	tok, _, err := cutTokens(t.bl.upto(t.tokens, t.index))
	if err != nil {
		if g := t.bl.lost(t.tokens, t.index); g != nil {
			return fmt.Errorf("kallsyms_token_table at %#x: %w", g.from, g.err)
		}
		return fmt.Errorf("kallsyms_token_table at %#x: %w", t.tokens, err)
	}
	if !tok.fits(t.bl.upto(t.index, t.index+indexSize), t.bl.abi) {
		return fmt.Errorf("kallsyms_token_index at %#x does not fit the tokens: %w", t.index, phys.ErrCorrupt)
	}
	t.tok = tok
	return nil
}

// findMarkers finds kallsyms_markers between the names and the token table, from behind:
// markers, in 6.2, 6.3 and late 6.1 three bytes per symbol of kallsyms_seqs_of_names,
// tokens; each aligned to at most 8. An entry was an unsigned long until 4.19. The right
// place is the one whose entries agree with the lengths of the names, and that decides
// how lengths are coded too.
func (t *nameTables) findMarkers() bool {
	for _, seqs := range []uint64{0, 3 * uint64(t.n)} {
		for _, width := range []int{4, 8} {
			size := uint64(t.groups() * width)
			for pad := uint64(0); pad <= 16; pad += 4 {
				at := (t.tokens - seqs - pad - size) &^ 3
				if at > t.names && at < t.tokens && t.readMarkers(at, width) && t.lengthsFit() {
					return true
				}
			}
		}
	}
	return false
}

// groups is the number of markers.
func (t *nameTables) groups() int { return (t.n + group - 1) / group }

// readMarkers takes the markers at the given address if they can be offsets of names.
func (t *nameTables) readMarkers(at uint64, width int) bool {
	p, err := t.bl.bytes("kallsyms_markers", at, at+uint64(t.groups()*width))
	if err != nil {
		return false
	}
	marks := t.marks[:0]
	for ; len(p) > 0; p = p[width:] {
		t.work++
		v := t.bl.abi.number(p[:width])
		if n := len(marks); n == 0 && v != 0 || n > 0 && (v < marks[n-1]+2*group || v > marks[n-1]+group*maxName) {
			return false
		}
		marks = append(marks, v)
	}
	t.marks, t.markers = marks, at
	return marks[len(marks)-1] < at-t.names
}

// lengthsFit looks for the coding of lengths that leads from each marker to the next.
func (t *nameTables) lengthsFit() bool {
	for _, t.wide = range []bool{true, false} {
		if t.groupsFit() {
			return true
		}
	}
	return false
}

func (t *nameTables) groupsFit() bool {
	t.work += t.n
	for g := range t.marks {
		from, to, count := t.bounds(g)
		if t.bl.lost(from, to) != nil {
			continue
		}
		left, ok := skipNames(t.bl.upto(from, to), count, t.wide)
		if last := g == len(t.marks)-1; !ok || !last && left > 0 || left >= 8 {
			return false
		}
	}
	return true
}

// withoutMarkers takes all names as one group, when an absence hides the markers.
func (t *nameTables) withoutMarkers() error {
	if t.bl.lost(t.names, t.tokens) == nil {
		return fmt.Errorf("kallsyms_names at %#x: no markers fit its %d names: %w", t.names, t.n, phys.ErrCorrupt)
	}
	t.marks, t.markers = append(t.marks[:0], 0), t.tokens
	for _, t.wide = range []bool{true, false} {
		if _, ok := skipNames(t.bl.upto(t.names, t.tokens), t.n, t.wide); ok {
			return nil
		}
	}
	t.wide = true
	return nil
}

// bounds are the addresses and the number of symbols of group g.
func (t *nameTables) bounds(g int) (from, to uint64, count int) {
	from, to, count = t.names+t.marks[g], t.markers, group
	if g+1 < len(t.marks) {
		return from, t.names + t.marks[g+1], count
	}
	return from, to, t.n - g*group
}

// skipNames passes over count names and tells how many bytes are left.
func skipNames(b []byte, count int, wide bool) (left int, ok bool) {
	for range count {
		body, rest := cutName(b, wide)
		if len(body) == 0 {
			return len(b), false
		}
		b = rest
	}
	return len(b), true
}

// cutName takes the tokens of one symbol off b; no tokens means a name without end or
// of length 0. 73bbb94466fd (6.1) gave lengths of 128 and more a second byte.
func cutName(b []byte, wide bool) (body, rest []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	n, head := int(b[0]), 1
	if wide && n >= 0x80 {
		n, head = n&0x7f|int(b[1])<<7, 2
	}
	if n > len(b)-head {
		return nil, nil
	}
	return b[head : head+n], b[head+n:]
}
