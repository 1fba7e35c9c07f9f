package symbols

import (
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// expanded are all names. A lost one has neither type letter nor name.
type expanded struct {
	text []byte
	pos  []uint32 // n + 1 places in text
	lost int
	why  error // the first loss
}

// len is the number of symbols, the lost ones too.
func (e *expanded) len() int { return len(e.pos) - 1 }

// expand spells out every name that is there.
func (t *nameTables) expand() *expanded {
	e := &expanded{pos: make([]uint32, 1, t.n+1), text: make([]byte, 0, 2*(t.markers-t.names))}
	for g := range t.marks {
		from, to, count := t.bounds(g)
		b := t.bl.upto(from, to)
		for range count {
			var body []byte
			body, b = cutName(b, t.wide)
			if !e.spell(t.tok, body) {
				e.lose(t.whyLost(from, to))
			}
			e.pos = append(e.pos, uint32(len(e.text)))
		}
	}
	return e
}

// spell appends one symbol; false when it cannot be one.
func (e *expanded) spell(tok *tokens, body []byte) bool {
	start := len(e.text)
	if start > maxText {
		return false
	}
	e.text = slices.Grow(e.text, 3*maxName)
	text, ok := tok.spell(e.text, body)
	if !ok || len(text)-start < 2 || !typeLetter(text[start]) {
		return false
	}
	e.text = text
	return true
}

// typeLetter: nm's letters, and ? for sections that it does not know.
func typeLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '?' }

func (e *expanded) lose(why error) {
	e.lost++
	if e.why == nil {
		e.why = why
	}
}

// whyLost is why a name of the group at [from, to) cannot be had.
func (t *nameTables) whyLost(from, to uint64) error {
	if g := t.bl.lost(from, to); g != nil {
		return fmt.Errorf("kallsyms_names at %#x: %w", g.from, g.err)
	}
	return fmt.Errorf("kallsyms_names at %#x: a name against the format: %w", from, phys.ErrCorrupt)
}

// number is the place of the first symbol of that name, -1 when it is not there.
func (e *expanded) number(name string) int {
	for i := range e.len() {
		if s := e.text[e.pos[i]:e.pos[i+1]]; len(s) == len(name)+1 && string(s[1:]) == name {
			return i
		}
	}
	return -1
}

// partial makes the table of the symbols that have both a name and an address.
func (e *expanded) partial(a *addresses) (*Table, error) {
	t := &Table{}
	text := make([]byte, 0, len(e.text))
	for i, v := range a.addr {
		name := e.text[e.pos[i]:e.pos[i+1]]
		if g := a.absent(i); g != nil && len(name) > 0 {
			e.lose(fmt.Errorf("kallsyms addresses at %#x: %w", g.from, g.err))
			continue
		}
		if len(name) > 0 {
			t.pos = append(t.pos, uint32(len(text)))
			t.addr = append(t.addr, v)
			text = append(text, name...)
		}
	}
	if len(t.addr) == 0 {
		return nil, e.why
	}
	t.text = string(text)
	t.extend(len(t.addr), "")
	return t.finish(), fmt.Errorf("kallsyms: %d of %d symbols lost: %w", e.lost, len(a.addr), e.why)
}
