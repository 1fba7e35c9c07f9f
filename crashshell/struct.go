package crashshell

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// Struct is the answer to struct or union: a type, or a value of it.
type Struct struct {
	Name    string   `json:"name,omitempty"` // "struct list_head"
	Size    uint64   `json:"size,omitempty"`
	Members []Member `json:"members"`
	Rest    []string `json:"rest,omitempty"` // lines not understood
}

// Member is a member of the outermost braces.
type Member struct {
	Offset *uint64 `json:"offset,omitempty"` // bytes; of struct -o; from 0 as well if an address was given
	Name   string  `json:"name,omitempty"`   // of a value
	Text   string  `json:"text"`             // the declaration, or the value; one with braces has several lines
}

var (
	structBegin  = regexp.MustCompile(`^\s*((?:struct|union)(?: \S+)?) \{$`)
	structSize   = regexp.MustCompile(`^SIZE: (?:0x([0-9a-f]+)|(\d+))$`)
	memberOffset = regexp.MustCompile(`^\s*\[(0x[0-9a-f]+|\d+)\] +(.*)$`)
	memberValue  = regexp.MustCompile(`^\s*([A-Za-z_]\w*) = (.*)$`)
)

// ParseStruct reads the answer to struct or union with a name, -o, or the address of one. The
// error is ErrForm.
func ParseStruct(out []byte) (Struct, error) {
	p := &structParser{v: Struct{Members: []Member{}}}
	for line := range answerLines(out) {
		if strings.TrimSpace(line) != "" && !p.line(line) {
			p.v.Rest = append(p.v.Rest, line)
		}
	}
	if len(p.member) > 0 {
		p.end()
	}
	return p.v, formError(p.known, p.v.Rest)
}

// structParser is where ParseStruct is.
type structParser struct {
	v      Struct
	depth  int      // of braces
	member []string // lines of the one under way
	known  bool
}

func (p *structParser) line(line string) bool {
	text := strings.TrimSpace(line)
	if p.depth == 0 {
		return p.outside(text)
	}
	p.depth += strings.Count(line, "{") - strings.Count(line, "}")
	if p.depth <= 0 {
		p.depth = 0
		if len(p.member) > 0 {
			p.end()
		}
		return true
	}
	p.member = append(p.member, text)
	if p.depth == 1 {
		p.end()
	}
	return true
}

func (p *structParser) outside(text string) bool {
	begin, size := structBegin.FindStringSubmatch(text), structSize.FindStringSubmatch(text)
	switch {
	case begin != nil && !p.known:
		p.v.Name, p.depth, p.known = begin[1], 1, true
	case size != nil:
		p.v.Size, _ = strconv.ParseUint(size[1], 16, 64)
		if size[2] != "" {
			p.v.Size, _ = strconv.ParseUint(size[2], 10, 64)
		}
		p.known = true
	default:
		return false
	}
	return true
}

// end makes a member of its lines.
func (p *structParser) end() {
	text := strings.TrimRight(strings.Join(p.member, "\n"), ";, ")
	p.member = nil
	var m Member
	if o := memberOffset.FindStringSubmatch(p.first(text)); o != nil {
		n, err := strconv.ParseUint(o[1], 0, 64)
		if err == nil {
			m.Offset, text = &n, o[2]+text[len(p.first(text)):]
		}
	}
	if v := memberValue.FindStringSubmatch(p.first(text)); v != nil {
		m.Name, text = v[1], v[2]+text[len(p.first(text)):]
	}
	m.Text = text
	p.v.Members = append(p.v.Members, m)
}

func (p *structParser) first(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// Struct asks for a type, or for a value of it: struct with these arguments.
func (s *Session) Struct(ctx context.Context, args ...string) (Struct, error) {
	return ask(ctx, s, ParseStruct, "struct", args)
}
