package symbols

import (
	"fmt"
	"strconv"
	"strings"
)

// Line is one line of a declaration.
type Line struct {
	Depth  int    // how far it is indented
	Text   string // without indentation
	Offset uint64 // in bits, of the member that the line declares
	Member bool   // false for the first and last line of a body
}

// Declare is the declaration of the type as crash's "struct" and "whatis" and gdb's ptype
// print it: what is anonymous in full, everything else by its name.
//
//	struct list_head {
//	    struct list_head *next;
//	    struct list_head *prev;
//	}
func (t *Type) Declare() string {
	var b strings.Builder
	for i, l := range t.Lines() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%*s%s", 4*l.Depth, "", l.Text)
	}
	return b.String()
}

// Lines is the declaration line by line, for those who print something beside it. That of
// a hostile type ends with "...".
func (t *Type) Lines() []Line {
	p := printer{left: maxLines}
	switch {
	case t.Kind == KindTypedef && t.Elem().Aggregate() && t.Elem().Name == "":
		p.body(t.Elem(), 0, 0, "")
		p.lines[0].Text = "typedef " + p.lines[0].Text
		p.lines[len(p.lines)-1].Text += " " + t.Name + ";"
	case t.Kind == KindTypedef:
		p.add(0, "typedef "+p.declare(t.Elem(), t.Name)+";")
	case t.Kind == KindVar || t.Kind == KindFunc:
		p.add(0, p.declare(t.Elem(), t.Name)+";")
	case t.Aggregate():
		p.body(t, 0, 0, "")
	case t.Kind == KindEnum:
		p.add(0, p.enum(t))
	default:
		p.add(0, p.declare(t, ""))
	}
	return p.lines
}

// String is the type as a cast spells it: "struct rq", "char *", "int (*)(void *)".
func (t *Type) String() string {
	p := printer{left: maxLines, brief: true}
	return p.declare(t, "")
}

// Declare is the declaration of the member: "unsigned int in_execve : 1".
func (m Member) Declare() string {
	p := printer{left: maxLines, brief: true}
	return p.member(m)
}

const (
	// maxLines bounds a declaration: 1200 lines are seen.
	maxLines = 1 << 13
	// maxProtos bounds functions in parameters of functions.
	maxProtos = 8
)

// printer makes declarations of bounded length.
type printer struct {
	lines  []Line
	left   int  // steps that may still be made
	protos int  // prototypes around the one that is printed
	brief  bool // even what has no name is not printed in full
}

func (p *printer) add(depth int, text string) {
	p.lines = append(p.lines, Line{Depth: depth, Text: text})
}

// body prints a struct or union with what is declared behind its closing brace. base is
// its own offset.
func (p *printer) body(t *Type, depth int, base uint64, behind string) {
	p.add(depth, title(t)+" {")
	for _, m := range t.Members {
		if p.left--; p.left < 0 {
			p.add(depth+1, "...")
			break
		}
		m.Offset += base
		in, quals, inner := p.unwind(m.Type(), m.Name)
		if in.Aggregate() && in.Name == "" && depth < maxNesting {
			p.body(in, depth+1, m.Offset, inner)
			continue
		}
		p.add(depth+1, pad(pad(quals, p.base(in)), inner)+width(m)+";")
		last := &p.lines[len(p.lines)-1]
		last.Offset, last.Member = m.Offset, true
	}
	p.add(depth, closing(depth, behind))
}

// closing closes a body: the outermost as gdb prints it, without a semicolon.
func closing(depth int, inner string) string {
	if depth == 0 {
		return "}"
	}
	return pad("}", inner) + ";"
}

// member declares one member without its semicolon.
func (p *printer) member(m Member) string { return p.declare(m.Type(), m.Name) + width(m) }

func width(m Member) string {
	if m.Bits == 0 {
		return ""
	}
	return " : " + strconv.FormatUint(m.Bits, 10)
}

// declare spells a C declaration of a name.
func (p *printer) declare(t *Type, name string) string {
	base, quals, inner := p.unwind(t, name)
	return pad(pad(quals, p.base(base)), inner)
}

// unwind spells a declaration inside out: inner is the name with the pointers, arrays and
// parameters around it, and base with its qualifiers what comes first.
func (p *printer) unwind(t *Type, name string) (base *Type, quals, inner string) {
	inner = name
	for range maxChain {
		if p.left--; p.left < 0 {
			break
		}
		switch t.Kind {
		case KindPointer:
			if quals != "" {
				inner = " " + pad(quals, inner)
			}
			inner, quals = "*"+inner, ""
			if k := t.Elem().bare().Kind; k == KindArray || k == KindFuncProto {
				inner = "(" + inner + ")"
			}
		case KindArray:
			inner += dimension(t.Count)
		case KindFuncProto:
			inner += p.params(t)
		case KindConst, KindVolatile, KindRestrict:
			quals = pad(t.Kind.String(), quals)
		case KindTag, KindVar, KindFunc:
		default:
			return t, quals, inner
		}
		t = t.Elem()
	}
	return t.endless(), quals, inner
}

func dimension(n uint64) string {
	if n == 0 {
		return "[]"
	}
	return "[" + strconv.FormatUint(n, 10) + "]"
}

// params are the types of parameters; no parameter at all is how BTF says "...".
func (p *printer) params(t *Type) string {
	if len(t.Params) == 0 {
		return "(void)"
	}
	if p.protos++; p.protos > maxProtos {
		p.protos--
		return "(...)"
	}
	var list []string
	for _, a := range t.Params {
		if p.left--; p.left < 0 {
			list = append(list, "...")
			break
		}
		if a.id == 0 {
			list = append(list, "...")
			continue
		}
		list = append(list, p.declare(a.Type(), ""))
	}
	p.protos--
	return "(" + strings.Join(list, ", ") + ")"
}

// base is a type that is not made of others.
func (p *printer) base(t *Type) string {
	switch t.Kind {
	case KindInvalid:
		return fmt.Sprintf("<unreadable type %d>", t.ID)
	case KindInt, KindFloat, KindTypedef, KindVoid:
		return shortName(t.Name)
	case KindEnum:
		if t.Name == "" && !p.brief {
			return p.enum(t)
		}
	}
	if t.Name == "" {
		return title(t) + " {...}"
	}
	return title(t)
}

// title is a type by its keyword: "struct rq", "union".
func title(t *Type) string {
	switch {
	case t.Kind == KindForward && t.union:
		return pad(KindUnion.String(), t.Name)
	case t.Kind == KindForward:
		return pad(KindStruct.String(), t.Name)
	}
	return pad(t.Kind.String(), t.Name)
}

// enum prints an enum as gdb does: values only where they do not follow.
func (p *printer) enum(t *Type) string {
	var b strings.Builder
	next := int64(0)
	for i, e := range t.Values {
		if p.left--; p.left < 0 {
			b.WriteString(", ...")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(e.Name)
		if e.Value != next {
			b.WriteString(" = " + t.number(e.Value))
		}
		next = e.Value + 1
	}
	return title(t) + " {" + b.String() + "}"
}

// number is a value of an enum.
func (t *Type) number(v int64) string {
	if t.Signed {
		return strconv.FormatInt(v, 10)
	}
	return strconv.FormatUint(uint64(v), 10)
}

// bare leaves out qualifiers and tags.
func (t *Type) bare() *Type {
	for range maxChain {
		switch t.Kind {
		case KindConst, KindVolatile, KindRestrict, KindTag:
			t = t.Elem()
		default:
			return t
		}
	}
	return t.endless()
}

// pad puts a space between two words if there are two.
func pad(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}
