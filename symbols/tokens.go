package symbols

import (
	"bytes"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// tokens are the 256 strings of kallsyms_token_table. Unused codes are empty.
type tokens struct {
	text [256]string
	// short has the tokens of up to 16 bytes once more in a form that is copied
	// without a loop: that halves the time to spell the names.
	short [256][shortToken]byte
	size  [256]uint16
}

const shortToken = 16

// cutTokens cuts kallsyms_token_table and gives its size in bytes.
func cutTokens(b []byte) (tok *tokens, size uint64, err error) {
	tok = &tokens{}
	for i := range tok.text {
		n := bytes.IndexByte(b[size:], 0)
		if n < 0 || n > maxName {
			return nil, 0, fmt.Errorf("token %d has no end: %w", i, phys.ErrCorrupt)
		}
		s := string(b[size:][:n])
		if !printable(s) {
			return nil, 0, fmt.Errorf("token %d is no text: %w", i, phys.ErrCorrupt)
		}
		tok.text[i], tok.size[i] = s, uint16(n)
		copy(tok.short[i][:], s)
		size += uint64(n) + 1
	}
	return tok, size, nil
}

// printable: names are made of visible ASCII. Nothing else may reach a terminal.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// fits compares kallsyms_token_index, or the begin of it that is there.
func (t *tokens) fits(index []byte, abi ABI) bool {
	off := 0
	for i := 0; i < len(t.text) && 2*i+2 <= len(index); i++ {
		if int(abi.order().Uint16(index[2*i:])) != off {
			return false
		}
		off += len(t.text[i]) + 1
	}
	return true
}

// spell writes the text of a symbol and gives its length, 0 when body is no symbol: one
// has a type letter, a name, and at most maxName bytes. dst has room for the longest and
// the token that makes it too long.
func (t *tokens) spell(dst *[3 * maxName]byte, body []byte) int {
	w := 0
	for _, c := range body {
		if n := int(t.size[c]); n <= shortToken {
			*(*[shortToken]byte)(dst[w:]) = t.short[c]
			w += n
		} else {
			w += copy(dst[w:], t.text[c])
		}
		if w > maxName {
			return 0
		}
	}
	if w < 2 || !typeLetter(dst[0]) {
		return 0
	}
	return w
}
