package symbols

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
)

// The scan finds the tables in a kernel whose VMCOREINFO does not name them (before
// 6.0), or whose note is lost, by their shape alone (see doc.go).

// digits is in every kallsyms_token_table: the tokens 0x30 to 0x39 are the single
// characters 0 to 9, since every digit occurs in some name.
const digits = "0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00"

const (
	scanBlock = 1 << 20
	// maxHits bounds the places where the digits may be: a dozen false ones are seen.
	maxHits = 1 << 10
	// maxTokenTables bounds the tables before which names are looked for.
	maxTokenTables = 8
	// maxWork bounds the names and markers that are looked at in search of the right
	// ones, which are the first or the second try.
	maxWork = 32 << 20
	// maxTokens is more than any token table needs: 0.8 to 1.1 KiB are seen.
	maxTokens = 8 << 10
)

// scan looks for the tables in the image, from _stext on first: read-only data is behind
// the text, and what lies before it is mostly empty.
func scan(mem Memory, im Image) (*nameTables, []place, error) {
	start := im.Start
	if s := im.Keys.Stext; s > im.Start && s < im.End {
		start = s
	}
	nt, places, err := scanRange(mem, im, start, im.End)
	if nt == nil && start > im.Start {
		if nt, places, _ := scanRange(mem, im, im.Start, start+maxTokens); nt != nil {
			return nt, places, nil
		}
	}
	return nt, places, err
}

// scanRange looks for a token table in [start, end). The error tells the first damage in
// the range if there is any.
func scanRange(mem Memory, im Image, start, end uint64) (*nameTables, []place, error) {
	err := fmt.Errorf("kallsyms: no token table in %#x-%#x: %w", start, end, phys.ErrUnsupported)
	bl := &block{abi: im.ABI, b: make([]byte, scanBlock+len(digits)-1)}
	hits, tables := 0, 0
	for left := end - start; left > 0; left -= min(left, scanBlock) {
		bl.va, bl.b, bl.gaps = end-left, bl.b[:min(uint64(cap(bl.b)), left)], bl.gaps[:0]
		bl.read(mem)
		if phys.Reason(err) == phys.ErrUnsupported && len(bl.gaps) > 0 && phys.Damage(bl.gaps[0].err) {
			err = fmt.Errorf("kallsyms: no token table in %#x-%#x, and %#x: %w", start, end, bl.gaps[0].from, bl.gaps[0].err)
		}
		for off := range occurrences(bl.b, digits) {
			if hits++; hits > maxHits {
				return nil, nil, fmt.Errorf("kallsyms: %d times the digits before %#x: %w", maxHits, bl.end(), phys.ErrLimit)
			}
			tokens, index, ok := tokensAround(mem, im.ABI, bl.va+uint64(off))
			if !ok {
				continue
			}
			nt, places, namesErr := namesBefore(mem, im, tokens, index)
			if namesErr == nil {
				return nt, places, nil
			}
			err = namesErr
			if tables++; tables > maxTokenTables {
				return nil, nil, err
			}
		}
	}
	return nil, nil, err
}

// occurrences are the places of sep in b.
func occurrences(b []byte, sep string) iter.Seq[int] {
	return func(yield func(int) bool) {
		for from := 0; ; from++ {
			i := bytes.Index(b[from:], []byte(sep))
			if i < 0 || !yield(from+i) {
				return
			}
			from += i
		}
	}
}

// namesBefore finds the names that belong to a token table.
func namesBefore(mem Memory, im Image, tokens, index uint64) (*nameTables, []place, error) {
	// The names of 200,000 symbols take 3 MB. The image is read further back only for more.
	for back := uint64(4 << 20); ; back *= 8 {
		start := up(max(im.Start, tokens-min(back, tokens)), 4)
		t := &nameTables{tokens: tokens, index: index}
		t.bl = readBlock(mem, im.ABI, start, int(index+indexSize-start))
		if err := t.readTokens(); err != nil {
			return nil, nil, err
		}
		numSyms, ok := t.searchNames()
		if ok {
			return t, t.places(numSyms), nil
		}
		if start <= im.Start || back >= maxTables/2 {
			return nil, nil, t.whyNoNames(start)
		}
	}
}

func (t *nameTables) whyNoNames(start uint64) error {
	if g := t.bl.lost(start, t.tokens); g != nil {
		return fmt.Errorf("kallsyms: no names before the tokens at %#x, and %#x: %w", t.tokens, g.from, g.err)
	}
	return fmt.Errorf("kallsyms: no names before the tokens at %#x: %w", t.tokens, phys.ErrUnsupported)
}

// tokensAround finds the token table and its index from the digits: the 208 tokens from
// "0" on lead to the index, and that says how far before them the table begins.
func tokensAround(mem Memory, abi ABI, hit uint64) (tokens, index uint64, ok bool) {
	start := hit - min(hit, maxTokens)
	bl := readBlock(mem, abi, start, 3*maxTokens)
	end := hit
	for range 256 - '0' {
		n := bytes.IndexByte(bl.upto(end, bl.end()), 0)
		if n < 0 {
			return 0, 0, false
		}
		end += uint64(n) + 1
	}
	for index = up(end, 2); index <= up(end, 8); index += 2 {
		p := bl.upto(index, index+indexSize)
		if len(p) < indexSize {
			break
		}
		tokens = hit - uint64(abi.order().Uint16(p[2*'0':]))
		tok, size, err := cutTokens(bl.upto(tokens, index))
		if err == nil && tokens+size == end && tok.fits(p, abi) {
			return tokens, index, true
		}
	}
	return 0, 0, false
}

// searchNames goes back from the tokens word by word: each may be kallsyms_num_syms if
// names follow it, and as many as it says. It gives the address of the word.
func (t *nameTables) searchNames() (numSyms uint64, ok bool) {
	for p := t.tokens&^3 - 4; p >= t.bl.va && p < t.tokens && t.work < maxWork; p -= 4 {
		n := t.bl.abi.number(t.bl.b[p-t.bl.va:][:4])
		if n < minSyms || n > maxSyms || 2*n > t.tokens-p || maxAverage*n < t.tokens-p {
			continue
		}
		t.n = int(n)
		for _, t.names = range []uint64{p + 4, p + 8} {
			if t.startsWithName() && t.findMarkers() {
				return t.labelOf(p), t.bl.lost(p, p+4) == nil
			}
		}
	}
	return 0, false
}

// labelOf is the address of kallsyms_num_syms when its value was found at p: of an unsigned
// long in big-endian memory that is the second half, which nothing but zeros precedes.
func (t *nameTables) labelOf(p uint64) uint64 {
	abi := t.bl.abi
	if abi.ptr() == 4 || t.names-p == 8 || p%8 == 0 {
		return p
	}
	if hi, err := t.bl.uint("kallsyms_num_syms", p-4, 4); abi.order() == binary.BigEndian && err == nil && hi == 0 {
		return p - 4
	}
	return p
}

const (
	minSyms = 16
	// maxAverage bytes per symbol between num_syms and the tokens: 13 to 15 are seen.
	maxAverage = 64
)

// startsWithName is a quick look at what may be the first of the names.
func (t *nameTables) startsWithName() bool {
	b := t.bl.upto(t.names, t.tokens)
	return len(b) > 2 && b[0] > 1 && t.tok.size[b[1]] > 0 && typeLetter(t.tok.short[b[1]][0])
}
