package crashshell

import (
	"context"
	"regexp"
	"strings"
)

// Symbols is the answer to sym.
type Symbols struct {
	List []Symbol `json:"list"`
	Rest []string `json:"rest,omitempty"` // lines not understood
}

// Symbol is a line of it.
type Symbol struct {
	Addr   Address `json:"addr"`
	Type   string  `json:"type,omitempty"` // the letter of nm
	Name   string  `json:"name"`
	Offset *uint64 `json:"offset,omitempty"` // of the address that was asked for
	Module string  `json:"module,omitempty"`
	Marker string  `json:"marker,omitempty"` // "MODULE START", "MODULE TEXT END": Name is the module then
	File   string  `json:"file,omitempty"`
	Line   int     `json:"line,omitempty"`
}

var (
	symLine   = regexp.MustCompile(`^\s*([0-9a-f]{1,16}) \((.)\) (\S+)(?:\s+\[([^\]]+)\])?(?:\s+(\S.*): (\d+))?\s*$`)
	symMarker = regexp.MustCompile(`^\s*([0-9a-f]{4,16}) (MODULE (?:[A-Z]+ )*(?:START|END)): (\S+)\s*$`)
)

// ParseSymbols reads the answer to sym with a name, an address, -l, -m or -q. The error is
// ErrForm.
func ParseSymbols(out []byte) (Symbols, error) {
	v := Symbols{List: []Symbol{}}
	for line := range answerLines(out) {
		if m := symLine.FindStringSubmatch(line); m != nil {
			s := Symbol{Addr: parseAddress(m[1]), Type: m[2], Module: m[4], File: m[5], Line: atoi(m[6])}
			s.Name, s.Offset = splitOffset(m[3])
			v.List = append(v.List, s)
		} else if m := symMarker.FindStringSubmatch(line); m != nil {
			v.List = append(v.List, Symbol{Addr: parseAddress(m[1]), Marker: m[2], Name: m[3]})
		} else if strings.TrimSpace(line) != "" {
			v.Rest = append(v.Rest, line)
		}
	}
	return v, formError(len(v.List) > 0, v.Rest)
}

// Symbols asks for symbols: sym with these arguments.
func (s *Session) Symbols(ctx context.Context, args ...string) (Symbols, error) {
	return ask(ctx, s, ParseSymbols, "sym", args)
}
