package triage

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
)

// topTasks is how many of the largest processes are told.
const topTasks = 5

// memoryUse says which processes are the largest, when memory ran out.
func (s *scene) memoryUse(kind oops.Kind) []Finding {
	if kind != oops.OutOfMemory {
		return nil
	}
	var leaders []kernel.Task
	total := uint64(0)
	for _, t := range s.tasks {
		if t.PID == t.TGID && t.RSS > 0 {
			leaders = append(leaders, t)
			total += t.RSS
		}
	}
	slices.SortStableFunc(leaders, func(a, b kernel.Task) int { return cmp.Compare(b.RSS, a.RSS) })
	f := Finding{
		ID: "largest-processes", Severity: Trace, Confidence: Sure, Evidence: []Evidence{},
		Title: fmt.Sprintf("processes use %s, the kernel the rest", mebibytes(total)),
	}
	if len(leaders) > 0 {
		f.Title = fmt.Sprintf("processes use %s, the largest is %s with %s", mebibytes(total), called(leaders[0]), mebibytes(leaders[0].RSS))
	}
	for _, t := range leaders[:min(topTasks, len(leaders))] {
		addr := oops.Address(t.Addr)
		f.Evidence = append(f.Evidence, Evidence{Kind: "task", Text: fmt.Sprintf("%s: %s resident", called(t), mebibytes(t.RSS)), Address: &addr})
	}
	return []Finding{f}
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
