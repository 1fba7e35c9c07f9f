package crashshell

import (
	"context"
	"regexp"
	"strings"
)

// Disassembly is the answer to dis.
type Disassembly struct {
	List []Instruction `json:"list"`
	Rest []string      `json:"rest,omitempty"` // lines not understood
}

// Instruction is a line of it.
type Instruction struct {
	Addr   Address `json:"addr"`
	Symbol string  `json:"symbol,omitempty"`
	Offset *uint64 `json:"offset,omitempty"` // in the symbol; none at its start
	Text   string  `json:"text"`
	File   string  `json:"file,omitempty"` // of dis -l
	Line   int     `json:"line,omitempty"`
}

var disLine = regexp.MustCompile(`^\s*(?:=>)?\s*0x([0-9a-f]+)(?: <([^>]*)>)?:\s*(.*?)\s*$`)

// ParseDisassembly reads the answer to dis, dis -r and dis -l; of -s, which is source, ErrForm
// is the error.
func ParseDisassembly(out []byte) (Disassembly, error) {
	v := Disassembly{List: []Instruction{}}
	file, number := "", 0
	for line := range answerLines(out) {
		m, source := disLine.FindStringSubmatch(line), sourceLine.FindStringSubmatch(line)
		switch {
		case strings.TrimSpace(line) == "":
		case m != nil:
			i := Instruction{Addr: parseAddress(m[1]), Text: m[3], File: file, Line: number}
			i.Symbol, i.Offset = splitOffset(m[2])
			v.List = append(v.List, i)
		case source != nil:
			file, number = source[1], atoi(source[2])
		default:
			v.Rest = append(v.Rest, line)
		}
	}
	return v, formError(len(v.List) > 0, v.Rest)
}

// Disassembly asks for instructions: dis with these arguments.
func (s *Session) Disassembly(ctx context.Context, args ...string) (Disassembly, error) {
	return ask(ctx, s, ParseDisassembly, "dis", args)
}
