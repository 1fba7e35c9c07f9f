package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"

	"github.com/kautopsy/kautopsy/kernel"
)

// schema is the version of the JSON documents: a field is added, never renamed. Each
// document begins with it and ends with what is missing.
const schema = 1

// hexAddress is an address in JSON: a string "0x…", since numbers of JSON lose bits.
type hexAddress uint64

// MarshalJSON writes the address as a string.
func (a hexAddress) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"%#x"`, uint64(a)), nil }

// printJSON writes one document.
func printJSON(w io.Writer, v any) error { return encodeJSON(w, v, "  ") }

// encodeJSON writes v with what a terminal might obey as \uNNNN: JSON itself lets DEL, C1
// controls and marks of writing direction stand.
func encodeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(harmless(b.Bytes()))
	return err
}

// harmless escapes what is not printable in encoded JSON; there it stands only in strings.
func harmless(text []byte) []byte {
	odd := func(r rune) bool { return r > '~' && !unicode.IsPrint(r) && r <= 0xffff }
	if bytes.IndexFunc(text, odd) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		if odd(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, string(r)...)
		}
	}
	return out
}

// missing is the last field of a document: a list, empty when all was there.
func missing(what string, errs ...error) []kernel.Missing {
	out := []kernel.Missing{}
	for _, err := range errs {
		if err != nil {
			out = append(out, kernel.NewMissing(what, err, ""))
		}
	}
	return out
}
