package triage

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/oops"
)

// eater is what the frames of one function take of a stack.
type eater struct {
	name   string
	frames int
	bytes  uint64
}

// maxFrame is more than one frame takes: a larger step goes to another stack.
const maxFrame = 64 << 10

// stackUse says which functions ate the stack that overflowed.
func (s *scene) stackUse(o *oops.Oops, c *cpuScene) []Finding {
	if o.Kind != oops.StackOverflow && o.Kind != oops.DoubleFault {
		return nil
	}
	var eaters []eater
	total := uint64(0)
	for i, f := range c.stack.Frames[:max(0, len(c.stack.Frames)-1)] {
		size := c.stack.Frames[i+1].SP - f.SP
		if size > maxFrame || f.Symbol.Name == "" {
			continue
		}
		name := place(&Culprit{Function: Function(f.Symbol.Name), Module: f.Symbol.Module})
		at := slices.IndexFunc(eaters, func(e eater) bool { return e.name == name })
		if at < 0 {
			at = len(eaters)
			eaters = append(eaters, eater{name: name})
		}
		eaters[at].frames++
		eaters[at].bytes += size
		total += size
	}
	if total == 0 {
		return nil
	}
	slices.SortStableFunc(eaters, func(a, b eater) int { return cmp.Compare(b.bytes, a.bytes) })
	out := Finding{
		ID: "stack-use", Severity: Cause, Confidence: Sure, Evidence: []Evidence{},
		Title: fmt.Sprintf("%s took %d of %d bytes of the stack", eaters[0].name, eaters[0].bytes, total),
	}
	for _, e := range eaters[:min(5, len(eaters))] {
		out.Evidence = append(out.Evidence, Evidence{
			Kind: "frame", Text: fmt.Sprintf("%s: %d frames, %d bytes", e.name, e.frames, e.bytes), Symbol: e.name,
		})
	}
	return []Finding{out}
}
