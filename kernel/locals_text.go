package kernel

import (
	"errors"
	"strings"

	"github.com/kautopsy/kautopsy/symbols"
)

// maxLocalText is how many characters of a value Text gives: of structs and arrays, mostly.
const maxLocalText = 64

// Text is the value in a line:
//
//	0xffff9d8c01a3c000 → "kworker/0:1"      a pointer, and whose name is there
//	{next = 0xffff…, prev = 0xffff…}        a struct, the begin of it
//	<optimised out>  <rbx not kept>  <excluded>
func (l Local) Text(s ValueStyle) string {
	var reg *notKeptError
	switch {
	case errors.As(l.Err, &reg):
		return "<" + reg.register + " not kept>"
	case errors.Is(l.Err, ErrPerCPU):
		return "<each CPU has its own>"
	case l.Err != nil:
		return "<" + reasonWord(l.Err) + ">"
	}
	s.Width = 0
	v := l.Value
	switch t := v.Type.Underlying(); {
	case t.Kind == symbols.KindPointer:
		text := clip(v.Scalar(s), 2*maxLocalText)
		if name := v.leads(s); name != "" {
			text += " → " + name
		}
		return text
	case t.Aggregate(), t.Kind == symbols.KindArray && !v.IsText:
		return clip(oneLine.Replace(strings.Join(strings.Fields(v.Format(s)), " ")), maxLocalText)
	}
	return clip(v.Format(s), maxLocalText)
}

// oneLine sets the members of a struct as C does in one line.
var oneLine = strings.NewReplacer("{ ", "{", " }", "}")

// clip cuts a text.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// namedBy are the members that say what an object is: of a task, of what is called by itself
// (modules, caches, devices), of a directory entry, and the function of work and timers.
var namedBy = []string{"comm", "name", "d_name.name", "init_name", "func", "function"}

// leads says what a pointer leads to, where the object there has a name.
func (v Value) leads(s ValueStyle) string {
	t := v.Type.Underlying().Elem().Underlying()
	if v.Number == 0 || !t.Aggregate() || t.Kind == symbols.KindUnion {
		return ""
	}
	o := v.k.Object(t, v.Number)
	for _, path := range namedBy {
		m, err := o.Member(path)
		if err != nil {
			continue
		}
		if mv := m.Value(); mv.Err == nil && mv.IsText && mv.Text != "" {
			return cQuote(mv.Text)
		} else if mv.Err == nil && mv.Number != 0 && mv.Type.Underlying().Kind == symbols.KindPointer && s.Symbol != nil {
			return s.Symbol(mv.Number)
		}
	}
	return ""
}
