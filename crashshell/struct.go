package crashshell

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// Struct is the answer to struct or union: a type, a value of it, or, without a Name, members
// of a value.
type Struct struct {
	Name    string   `json:"name,omitempty"` // "struct list_head"
	Size    uint64   `json:"size,omitempty"`
	CPU     *int     `json:"cpu,omitempty"`     // of a per-CPU value
	Addr    Address  `json:"address,omitempty"` // where crash says it: of per-CPU values
	Members []Member `json:"members"`
	More    []Struct `json:"more,omitempty"` // the values after the first, if several were asked for
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
	structSize   = regexp.MustCompile(`^SIZE: (?:0x([0-9a-f]+)|(\d+))(?:  \(0x[0-9a-f]+\))?$`)
	structPerCPU = regexp.MustCompile(`^\[(\d+)\]: ([0-9a-f]{8,16})$`)
	memberOffset = regexp.MustCompile(`^\s*\[(0x[0-9a-f]+|\d+)\] +(.*)$`)
	memberValue  = regexp.MustCompile(`^\s*([A-Za-z_]\w*) = (.*)$`)
)

// ParseStruct reads the answer to struct or union with a name, a member's name, -o, or the
// address of a value. The error is ErrForm.
func ParseStruct(out []byte) (Struct, error) {
	p := &structParser{list: []Struct{{Members: []Member{}}}}
	var rest []string
	for line := range answerLines(out) {
		if strings.TrimSpace(line) != "" && !p.line(line) {
			rest = append(rest, line)
		}
	}
	if len(p.member) > 0 {
		p.end()
	}
	v := p.list[0]
	v.Rest = rest
	if len(p.list) > 1 {
		v.More = p.list[1:]
	}
	return v, formError(p.known, rest)
}

// structParser is where ParseStruct is.
type structParser struct {
	list   []Struct // the last one is under way
	depth  int      // of braces
	alone  bool     // the member under way stands in no struct's braces
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
		if p.alone {
			p.member = append(p.member, text)
		}
		if len(p.member) > 0 {
			p.end()
		}
		p.alone = false
		return true
	}
	p.member = append(p.member, text)
	if p.depth == 1 && !p.alone {
		p.end()
	}
	return true
}

// outside takes what stands in no braces.
func (p *structParser) outside(text string) bool {
	v := &p.list[len(p.list)-1]
	begin, size := structBegin.FindStringSubmatch(text), structSize.FindStringSubmatch(text)
	cpu := structPerCPU.FindStringSubmatch(text)
	switch {
	case begin != nil:
		if v.Name != "" {
			v = p.next()
		}
		v.Name, p.depth = begin[1], 1
	case size != nil:
		v.Size, _ = strconv.ParseUint(size[1], 16, 64)
		if size[2] != "" {
			v.Size, _ = strconv.ParseUint(size[2], 10, 64)
		}
	case cpu != nil:
		if v.CPU != nil {
			v = p.next()
		}
		n := atoi(cpu[1])
		v.CPU, v.Addr = &n, parseAddress(cpu[2])
	case memberValue.MatchString(text):
		p.member = append(p.member, text)
		if p.depth = strings.Count(text, "{") - strings.Count(text, "}"); p.depth > 0 {
			p.alone = true
		} else {
			p.depth = 0
			p.end()
		}
	default:
		return false
	}
	p.known = true
	return true
}

// next begins the struct after the last one.
func (p *structParser) next() *Struct {
	p.list = append(p.list, Struct{Members: []Member{}})
	return &p.list[len(p.list)-1]
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
	v := &p.list[len(p.list)-1]
	v.Members = append(v.Members, m)
}

func (p *structParser) first(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// Struct asks for a type, or for a value of it: struct with these arguments.
func (s *Session) Struct(ctx context.Context, args ...string) (Struct, error) {
	return ask(ctx, s, ParseStruct, "struct", args)
}
