package kernel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// ValueStyle is how values are printed.
type ValueStyle struct {
	Hex    bool                   // integers in hexadecimal
	Symbol func(va uint64) string // the symbol a pointer leads to, "" if none; may be nil
	Width  int                    // columns that arrays of numbers are broken at; 0: they are not
}

const (
	// fewestRepeats is how many elements in a row have to be the same to be told once, in
	// gdb and crash (set print repeats).
	fewestRepeats = 10
	// mostElements is how many elements of an array are printed (set print elements).
	mostElements = 200
)

// Format is the value as gdb and crash print it, without its name:
//
//	{
//	  next = 0xffffffff8cc0a110 <init_task+1104>,
//	  counts = {1, 2, 0 <repeats 14 times>},
//	  comm = "swapper/0"
//	}
func (v Value) Format(s ValueStyle) string {
	p := valuePrinter{style: s}
	p.value(v, 0)
	return p.b.String()
}

type valuePrinter struct {
	b     strings.Builder
	style ValueStyle
}

func (p *valuePrinter) line(depth int) { fmt.Fprintf(&p.b, "\n%*s", 2*depth, "") }

func (p *valuePrinter) value(v Value, depth int) {
	t := v.Type.Underlying()
	switch {
	case t.Kind == symbols.KindArray && v.IsText:
		p.b.WriteString(cQuote(v.Text))
	case t.Kind == symbols.KindArray && v.Err == nil:
		p.array(v, depth)
	case t.Aggregate() && v.Err == nil:
		p.members(v, depth)
	default:
		p.b.WriteString(v.Scalar(p.style))
	}
}

// members prints a struct or union, a member a line.
func (p *valuePrinter) members(v Value, depth int) {
	if len(v.Parts) == 0 && !v.More {
		p.b.WriteString("{}")
		return
	}
	p.b.WriteByte('{')
	for i, m := range v.Parts {
		if i > 0 {
			p.b.WriteByte(',')
		}
		p.line(depth + 1)
		if m.Name != "" {
			p.b.WriteString(m.Name + " = ")
		}
		p.value(m, depth+1)
	}
	if v.More {
		p.line(depth + 1)
		p.b.WriteString("...")
	}
	p.line(depth)
	p.b.WriteByte('}')
}

// array prints the elements of an array: numbers side by side, structs as gdb does.
func (p *valuePrinter) array(v Value, depth int) {
	if len(v.Parts) == 0 { // a flexible one: how many elements it has is not known
		fmt.Fprintf(&p.b, "%#x", v.Addr)
		return
	}
	p.b.WriteByte('{')
	column, printed := 2*depth+len(v.Name)+4, 0
	for i, e := range v.Parts {
		if v.More = v.More || printed >= mostElements; printed >= mostElements {
			break
		}
		n := 1
		if e.Count < fewestRepeats {
			n = min(int(e.Count), mostElements-printed)
		}
		for j := range n {
			column = p.element(e, depth, column, i+j > 0)
		}
		printed += n
		if e.Count >= fewestRepeats {
			printed += fewestRepeats - 1
			fmt.Fprintf(&p.b, " <repeats %d times>", e.Count)
			column += 20
		}
	}
	if v.More {
		p.b.WriteString("...")
	}
	p.b.WriteByte('}')
}

// element prints one element, on a new line where the last one is full, and tells the
// column behind it.
func (p *valuePrinter) element(e Value, depth, column int, behind bool) int {
	if behind {
		p.b.WriteString(", ")
	}
	from := p.b.Len()
	sub := valuePrinter{style: p.style}
	sub.value(e, depth+1)
	text := sub.b.String()
	if behind && p.style.Width > 0 && !strings.Contains(text, "\n") && column+len(text)+2 > p.style.Width {
		p.line(depth + 2)
		from, column = p.b.Len(), 2*depth+4
	}
	p.b.WriteString(text)
	return column + p.b.Len() - from + 2
}

// Scalar is the value of a number, pointer or enum, or why it could not be read.
func (v Value) Scalar(s ValueStyle) string {
	if v.Err != nil {
		return "<" + reasonWord(v.Err) + ">"
	}
	t := v.Type.Underlying()
	switch t.Kind {
	case symbols.KindPointer:
		return v.pointer(s)
	case symbols.KindEnum:
		if name, ok := t.Enumerator(int64(v.Number)); ok {
			return name
		}
	case symbols.KindInt:
	case symbols.KindFuncProto:
		return fmt.Sprintf("{%v} %#x", v.Type, v.Addr)
	default:
		return "<" + t.Kind.String() + ">"
	}
	switch {
	case t.Name == "_Bool" && v.Number <= 1:
		return strconv.FormatBool(v.Number == 1)
	case s.Hex:
		_, size := v.m.Bytes()
		if size < 8 {
			return fmt.Sprintf("%#x", v.Number&(1<<(8*size)-1))
		}
		return fmt.Sprintf("%#x", v.Number)
	case character(t) && v.Number >= ' ' && v.Number <= '~':
		return fmt.Sprintf("%d %s", v.Number, strconv.QuoteRune(rune(v.Number)))
	case !t.Signed && v.Number>>63 != 0: // an address, or all bits
		return fmt.Sprintf("%#x", v.Number)
	case t.Signed:
		return strconv.FormatInt(int64(v.Number), 10)
	}
	return strconv.FormatUint(v.Number, 10)
}

// pointer is an address with the symbol or the text that is there.
func (v Value) pointer(s ValueStyle) string {
	text := fmt.Sprintf("%#x", v.Number)
	if s.Symbol != nil && v.Number != 0 && !v.IsText {
		if name := s.Symbol(v.Number); name != "" {
			text += " <" + name + ">"
		}
	}
	if v.IsText {
		text += " " + cQuote(v.Text)
	}
	return text
}

// reasonWord says in a word why something is not there.
func reasonWord(err error) string {
	switch {
	case errors.Is(err, dwarf.ErrOptimised):
		return "optimised out"
	case errors.Is(err, ErrNotKept):
		return "not kept"
	case errors.Is(err, dwarf.ErrNoDebug):
		return "not in the debug information"
	}
	for reason, word := range map[error]string{
		phys.ErrExcluded: "excluded", phys.ErrHole: "no memory", phys.ErrLost: "lost", phys.ErrCorrupt: "corrupt",
		phys.ErrUnmapped: "not mapped", phys.ErrUnsupported: "not supported", phys.ErrLimit: "too large",
	} {
		if errors.Is(err, reason) {
			return word
		}
	}
	return "unreadable"
}

// cQuote is a string as C writes it: what is no ASCII text in octal.
func cQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
