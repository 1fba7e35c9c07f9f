package crashshell

import (
	"context"
	"regexp"
	"strings"
)

// Irqs is the answer to irq.
type Irqs struct {
	List []Irq    `json:"list"`
	Rest []string `json:"rest,omitempty"` // lines not understood
}

// Irq is an interrupt with those who handle it, none of an unused one.
type Irq struct {
	IRQ     int         `json:"irq"`
	Desc    Address     `json:"irq_desc,omitempty"`
	Actions []IrqAction `json:"actions,omitempty"`
	Fields  []Field     `json:"fields,omitempty"` // of kernels before 2.6.37: STATUS, HANDLER and its functions, DEPTH
}

// IrqAction is a handler.
type IrqAction struct {
	Address Address `json:"irqaction"`
	Name    string  `json:"name"`
	Fields  []Field `json:"fields,omitempty"` // of kernels before 2.6.37: handler, flags, dev_id
}

var (
	irqHeading = regexp.MustCompile(`^\s*IRQ\s+IRQ_DESC/_DATA\s+IRQACTION\s+NAME\s*$`)
	irqRow     = regexp.MustCompile(`^\s*(\d+)\s+([0-9a-f]+|\(unused\))\s+(?:\(unused\)|([0-9a-f]+)\s*(?:"(.*)")?)\s*$`)
	irqNext    = regexp.MustCompile(`^\s+([0-9a-f]{5,16})\s*(?:"(.*)")?\s*$`)
	irqField   = regexp.MustCompile(`^\s*([A-Za-z_]+): *(.*?) *$`)
)

// ParseIrqs reads the answer to irq and irq -u: a table, or for kernels before 2.6.37 a block of
// lines an interrupt. The error is ErrForm.
func ParseIrqs(out []byte) (v Irqs, err error) {
	table := false
	for line := range answerLines(out) {
		heading := irqHeading.MatchString(line)
		table = table || heading
		if strings.TrimSpace(line) != "" && !heading && !(table && v.row(line)) && !(!table && v.field(line)) {
			v.Rest = append(v.Rest, line)
		}
	}
	return v, formError(table || len(v.List) > 0, v.Rest)
}

// row takes a line of the table.
func (v *Irqs) row(line string) bool {
	if m := irqRow.FindStringSubmatch(line); m != nil {
		i := Irq{IRQ: atoi(m[1]), Desc: parseAddress(m[2])}
		if m[3] != "" {
			i.Actions = []IrqAction{{Address: parseAddress(m[3]), Name: m[4]}}
		}
		v.List = append(v.List, i)
		return true
	}
	m := irqNext.FindStringSubmatch(line)
	n := len(v.List)
	if m == nil || n == 0 {
		return false
	}
	v.List[n-1].Actions = append(v.List[n-1].Actions, IrqAction{Address: parseAddress(m[1]), Name: m[2]})
	return true
}

// field takes a line of a block.
func (v *Irqs) field(line string) bool {
	m := irqField.FindStringSubmatch(line)
	n := len(v.List)
	if m == nil || n == 0 && m[1] != "IRQ" {
		return false
	}
	if m[1] == "IRQ" {
		v.List = append(v.List, Irq{IRQ: atoi(m[2])})
		return true
	}
	i := &v.List[n-1]
	word, name, _ := strings.Cut(m[2], " ")
	switch k := len(i.Actions); {
	case m[1] == "ACTION":
		if at := parseAddress(word); at != 0 {
			i.Actions = append(i.Actions, IrqAction{Address: at})
		}
	case m[1] == "name" && k > 0:
		i.Actions[k-1].Name = unquoted(strings.TrimSpace(name))
	case k > 0 && m[1] != "DEPTH":
		i.Actions[k-1].Fields = append(i.Actions[k-1].Fields, Field{m[1], m[2]})
	default:
		i.Fields = append(i.Fields, Field{m[1], m[2]})
	}
	return true
}

// Irqs asks for the interrupts: irq.
func (s *Session) Irqs(ctx context.Context) (Irqs, error) {
	return ask(ctx, s, ParseIrqs, "irq", nil)
}
