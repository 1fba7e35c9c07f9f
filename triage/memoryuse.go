package triage

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/oops"
)

// topUsers is how many of the largest processes and caches are told.
const topUsers = 5

// accounts are the lines of /proc/meminfo that add up to what is accounted for. The page
// cache, shared memory and anonymous memory are in the lists of active and inactive pages.
var accounts = []string{
	"MemFree", "Active", "Inactive", "Unevictable", "SReclaimable", "SUnreclaim", "KernelStack", "PageTables", "SecPageTables",
	"Percpu", "Hugetlb",
}

// memoryUse is what memory was used for, when it ran out.
type memoryUse struct {
	info    mm.MemInfo
	caches  []*mm.Cache
	leaders []kernel.Task // the processes, the largest first
	total   uint64
	nowhere uint64 // of total, in none of the accounts
}

// readMemoryUse asks for it, once it is known that memory ran out.
func (s *scene) readMemoryUse(ctx context.Context, m *mm.Memory) func() *memoryUse {
	return func() *memoryUse {
		u := &memoryUse{info: m.MemInfo(ctx)}
		u.caches, _ = m.Caches(ctx)
		u.caches = slices.Clone(u.caches)
		slices.SortStableFunc(u.caches, func(a, b *mm.Cache) int { return cmp.Compare(b.Bytes(), a.Bytes()) })
		for _, t := range s.tasks {
			if t.PID == t.TGID && t.RSS > 0 {
				u.leaders = append(u.leaders, t)
			}
		}
		slices.SortStableFunc(u.leaders, func(a, b kernel.Task) int { return cmp.Compare(b.RSS, a.RSS) })
		u.add()
		return u
	}
}

// add computes what is in no account. Without the total, or the free memory, nothing is
// known.
func (u *memoryUse) add() {
	total, ok1 := u.info.Get("MemTotal")
	_, ok2 := u.info.Get("MemFree")
	if !ok1 || !ok2 {
		return
	}
	u.total = total
	for _, name := range accounts {
		n, _ := u.info.Get(name)
		total -= min(n, total)
	}
	u.nowhere = total
}

// text says where memory went, in a sentence.
func (u *memoryUse) text() string {
	switch {
	case u.total == 0:
		return ""
	case u.nowhere > u.total/4:
		return fmt.Sprintf("%s of %s are in no account: pages that kernel code took for itself", mebibytes(u.nowhere), mebibytes(u.total))
	case len(u.leaders) > 0 && u.leaders[0].RSS > u.total/4:
		return fmt.Sprintf("%s uses %s of %s", called(u.leaders[0]), mebibytes(u.leaders[0].RSS), mebibytes(u.total))
	case len(u.caches) > 0 && u.caches[0].Bytes() > u.total/4:
		return fmt.Sprintf("slab cache %s uses %s of %s", u.caches[0].Name, mebibytes(u.caches[0].Bytes()), mebibytes(u.total))
	}
	return ""
}

// outOfMemory is the sentence for the verdict, "" for another crash.
func (s *scene) outOfMemory(kind oops.Kind) string {
	if s == nil || kind != oops.OutOfMemory {
		return ""
	}
	return s.use().text()
}

// memoryFindings tell what memory was used for: the accounts, the largest processes and
// slab caches.
func (s *scene) memoryFindings(kind oops.Kind) []Finding {
	if kind != oops.OutOfMemory {
		return nil
	}
	u := s.use()
	f := Finding{ID: "memory-use", Title: "what memory was used for", Severity: Trace, Confidence: Sure, Evidence: []Evidence{}}
	if text := u.text(); text != "" {
		f.Title, f.Severity, f.Confidence = text, Cause, Likely
	}
	for _, name := range []string{"MemTotal", "MemFree", "AnonPages", "Shmem", "Cached", "Slab", "KernelStack", "PageTables", "Percpu", "SwapTotal", "SwapFree"} {
		if n, ok := u.info.Get(name); ok {
			f.Evidence = append(f.Evidence, Evidence{Kind: "memory", Text: fmt.Sprintf("%s: %s", name, mebibytes(n))})
		}
	}
	for _, t := range u.leaders[:min(topUsers, len(u.leaders))] {
		addr := oops.Address(t.Addr)
		f.Evidence = append(f.Evidence, Evidence{Kind: "task", Text: fmt.Sprintf("process %s: %s", called(t), mebibytes(t.RSS)), Address: &addr})
	}
	for _, c := range u.caches[:min(topUsers, len(u.caches))] {
		addr := oops.Address(c.Addr)
		f.Evidence = append(f.Evidence, Evidence{Kind: "memory", Text: fmt.Sprintf("slab cache %s: %s", c.Name, mebibytes(c.Bytes())), Address: &addr})
	}
	return []Finding{f}
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
