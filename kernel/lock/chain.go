package lock

import (
	"cmp"
	"slices"
)

// Graph is who waits for whom.
type Graph struct {
	waits map[uint64]*Wait // by the task that waits
}

// NewGraph joins waits by their owners.
func NewGraph(waits []Wait) Graph {
	g := Graph{waits: make(map[uint64]*Wait, len(waits))}
	for i := range waits {
		g.waits[waits[i].Task.Addr] = &waits[i]
	}
	return g
}

// next is the wait of the first owner that waits itself, preferably a certain one.
func (g Graph) next(w *Wait) *Wait {
	for _, likely := range []bool{false, true} {
		for _, o := range w.Owners {
			if n := g.waits[o.Task.Addr]; n != nil && o.Likely == likely {
				return n
			}
		}
	}
	return nil
}

// Chain is the way from a wait over owners that wait themselves, to one whose owner does not
// wait or is not known, or round a cycle once. cycle tells which.
func (g Graph) Chain(w *Wait) (chain []*Wait, cycle bool) {
	seen := map[*Wait]bool{}
	for ; w != nil && !seen[w]; w = g.next(w) {
		seen[w] = true
		chain = append(chain, w)
	}
	return chain, w != nil
}

// Deadlocks are the cycles: each wait's owner is the task of the next, the last one's that
// of the first. Each is told once and begins with its lowest PID.
func (g Graph) Deadlocks() [][]*Wait {
	var out [][]*Wait
	seen := map[*Wait]bool{}
	for _, w := range g.sorted() {
		chain, cycle := g.Chain(w)
		if !cycle {
			continue
		}
		back := g.next(chain[len(chain)-1])
		ring := chain[slices.Index(chain, back):]
		first := slices.MinFunc(ring, func(a, b *Wait) int { return cmp.Compare(a.Task.PID, b.Task.PID) })
		if seen[first] {
			continue
		}
		seen[first] = true
		i := slices.Index(ring, first)
		out = append(out, append(slices.Clone(ring[i:]), ring[:i]...))
	}
	return out
}

// sorted are the waits by PID.
func (g Graph) sorted() []*Wait {
	out := make([]*Wait, 0, len(g.waits))
	for _, w := range g.waits {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *Wait) int { return cmp.Compare(a.Task.PID, b.Task.PID) })
	return out
}
