package symbols

import (
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// expanded are all names. A lost one has neither type letter nor name.
type expanded struct {
	text string
	pos  []uint32 // n + 1 places in text
	lost int
	why  error // the first loss
}

// len is the number of symbols, the lost ones too.
func (e *expanded) len() int { return len(e.pos) - 1 }

// of is the type letter and the name of symbol i.
func (e *expanded) of(i int) string { return e.text[e.pos[i]:e.pos[i+1]] }

// expand spells out every name that is there.
func (t *nameTables) expand() *expanded {
	e := &expanded{pos: make([]uint32, 1, t.n+1)}
	var text strings.Builder
	text.Grow(2 * int(t.markers-t.names))
	var symbol [3 * maxName]byte
	for g := range t.marks {
		from, to, count := t.bounds(g)
		b := t.bl.upto(from, to)
		for range count {
			var body []byte
			body, b = cutName(b, t.wide)
			n := t.tok.spell(&symbol, body)
			if n == 0 || text.Len() > maxText {
				n = 0
				e.lost++
				if e.why == nil {
					e.why = t.whyLost(from, to)
				}
			}
			text.Write(symbol[:n])
			e.pos = append(e.pos, uint32(text.Len()))
		}
	}
	e.text = text.String()
	return e
}

// typeLetter: nm's letters, and ? for sections that it does not know.
func typeLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '?' }

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
		if s := e.of(i); len(s) == len(name)+1 && s[1:] == name {
			return i
		}
	}
	return -1
}

// partial makes the table of the symbols that have both a name and an address.
func (e *expanded) partial(a *addresses) (*Table, error) {
	t := &Table{}
	var text strings.Builder
	for i, v := range a.addr {
		name := e.of(i)
		if name == "" {
			continue
		}
		if g := a.absent(i); g != nil {
			if e.lost++; e.why == nil {
				e.why = fmt.Errorf("kallsyms addresses at %#x: %w", g.from, g.err)
			}
			continue
		}
		t.pos = append(t.pos, uint32(text.Len()))
		t.addr = append(t.addr, v)
		text.WriteString(name)
	}
	if len(t.addr) == 0 {
		return nil, e.why
	}
	t.text = text.String()
	t.extend(len(t.addr), "")
	return t.finish(), fmt.Errorf("kallsyms: %d of %d symbols lost: %w", e.lost, len(a.addr), e.why)
}
