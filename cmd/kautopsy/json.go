package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// schema is the version of the JSON documents: a field is added, never renamed.
const schema = 1

// hexAddress is an address in JSON: a string "0x…", since numbers of JSON lose bits.
type hexAddress uint64

// MarshalJSON writes the address as a string.
func (a hexAddress) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"%#x"`, uint64(a)), nil }

// printJSON writes one document.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
