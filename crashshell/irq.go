package crashshell

import (
	"context"
	"regexp"
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
}

// IrqAction is a handler.
type IrqAction struct {
	Address Address `json:"irqaction"`
	Name    string  `json:"name"`
}

var (
	irqHeading = regexp.MustCompile(`^\s*IRQ\s+IRQ_DESC/_DATA\s+IRQACTION\s+NAME\s*$`)
	irqRow     = regexp.MustCompile(`^\s*(\d+)\s+([0-9a-f]+|\(unused\))\s+(?:\(unused\)|([0-9a-f]+)\s*(?:"(.*)")?)\s*$`)
	irqNext    = regexp.MustCompile(`^\s+([0-9a-f]{8,16})\s*(?:"(.*)")?\s*$`)
)

// ParseIrqs reads the answer to irq and irq -u. The error is ErrForm.
func ParseIrqs(out []byte) (v Irqs, err error) {
	v.Rest, err = rows(out, irqHeading, func(line string) bool {
		n := len(v.List)
		if m := irqRow.FindStringSubmatch(line); m != nil {
			i := Irq{IRQ: atoi(m[1]), Desc: parseAddress(m[2])}
			if m[3] != "" {
				i.Actions = []IrqAction{{parseAddress(m[3]), m[4]}}
			}
			v.List = append(v.List, i)
			return true
		}
		m := irqNext.FindStringSubmatch(line)
		if m == nil || n == 0 {
			return false
		}
		v.List[n-1].Actions = append(v.List[n-1].Actions, IrqAction{parseAddress(m[1]), m[2]})
		return true
	})
	return v, err
}

// Irqs asks for the interrupts: irq.
func (s *Session) Irqs(ctx context.Context) (Irqs, error) {
	return ask(ctx, s, ParseIrqs, "irq", nil)
}
