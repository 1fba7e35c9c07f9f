package triage

import (
	"context"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
)

// Variable is an argument or a local variable of the culprit whose value is known.
type Variable struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Parameter bool   `json:"parameter"`
	Text      string `json:"text"` // the value, and what it leads to
}

// maxValues bounds the variables of the culprit.
const maxValues = 32

// addValues gives the culprit its variables, where debug information has them: first its own,
// then those of the functions that were inlined there.
func (r *Report) addValues(ctx context.Context, k *kernel.Kernel, s *scene) {
	c := r.Verdict.Culprit
	if c == nil || c.File == "" || c.Offset == nil {
		return
	}
	u, err := k.Unwinder(ctx)
	if err != nil {
		return // the scene has told it
	}
	stack, n := s.frameOf(c)
	if n < 0 {
		return
	}
	locals, err := u.Locals(stack)
	if err != nil {
		return
	}
	scopes, _ := locals.Frame(ctx, n) // addLines has met what is damaged
	style := kernel.ValueStyle{Symbol: s.symbolic}
	for _, sc := range slices.Backward(scopes) {
		for _, l := range sc.Locals {
			if l.Err != nil || l.Name == "" || l.Hidden {
				continue
			}
			v := Variable{l.Name, l.Type.String(), l.Parameter, l.Text(style)}
			if len(c.Variables) < maxValues && !slices.Contains(c.Variables, v) {
				c.Variables = append(c.Variables, v)
			}
		}
	}
}

// frameOf finds the stack with the culprit's frame: of a CPU, else of a task; n is -1 where
// there is none.
func (s *scene) frameOf(c *Culprit) (stack kernel.Stack, n int) {
	stacks := make([]kernel.Stack, 0, len(s.cpus)+len(s.stacks))
	for _, cpu := range s.cpus {
		stacks = append(stacks, cpu.stack)
	}
	for _, st := range append(stacks, s.stacks...) {
		for i, f := range st.Frames {
			if f.Offset == *c.Offset && f.Symbol.Module == c.Module && Function(f.Symbol.Name) == c.Function && f.Kind != kernel.FrameGuess {
				return st, i
			}
		}
	}
	return kernel.Stack{}, -1
}

// symbolic is an address by name, "" where no symbol covers it.
func (s *scene) symbolic(va uint64) string {
	if s.table == nil {
		return ""
	}
	sym, off, err := s.table.At(va)
	switch {
	case err != nil || sym.Size != 0 && off >= sym.Size:
		return ""
	case off == 0:
		return sym.Name
	}
	return fmt.Sprintf("%s+%#x", sym.Name, off)
}
