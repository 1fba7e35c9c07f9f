package triage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/lock"
	"github.com/kautopsy/kautopsy/oops"
)

func taskOf(t kernel.Task) Task {
	pid, addr := t.PID, oops.Address(t.Addr)
	return Task{PID: &pid, Comm: t.Comm, Task: &addr}
}

// called is a task as "ck-abba-one (180)".
func called(t kernel.Task) string { return fmt.Sprintf("%s (%d)", t.Comm, t.PID) }

// stuck tells whether a wait is worth telling: its task cannot be woken by a signal, or
// somebody holds what it waits for.
func stuck(w *lock.Wait) bool {
	return w.Task.State.Blocked() || w.Kind.Held() && w.Task.State.Letter() != "R"
}

// addBlocked tells who waits, for what and whom, and puts memory's words in place of the
// log's.
func (s *scene) addBlocked(r *Report) {
	for i := range s.waits {
		w := &s.waits[i]
		if !stuck(w) {
			continue
		}
		b := Blocked{
			Task: taskOf(w.Task), State: w.Task.State.Letter(), WaitsOn: w.String(), How: string(w.How),
			Seconds: s.since(w.Task), Frames: []Frame{},
		}
		if w.Lock != 0 {
			at := oops.Address(w.Lock)
			b.Lock = &at
		}
		var owners []string
		for _, o := range w.Owners {
			b.Owners = append(b.Owners, taskOf(o.Task))
			owners = append(owners, ownership(w, o))
		}
		b.Owner = strings.Join(owners, ", ")
		if _, st, ok := s.byPID(w.Task.PID); ok {
			b.Frames = stackFrames(st, nil)
			if c := blockedCulprit(textFrames(st)); c != nil {
				b.Culprit, b.Module = Function(c.Symbol), c.Module
			}
		}
		r.putBlocked(b)
	}
}

// ownership says what an owner has to do with a wait: "ck-abba-two (181)", "w-vfork-child
// (214), the child of vfork".
func ownership(w *lock.Wait, o lock.Owner) string {
	out := called(o.Task)
	switch {
	case o.Purpose != "":
		out += ", " + o.Purpose
	case o.Likely && w.Kind == lock.RWSem:
		out += ", the last reader"
	case o.Likely:
		out += ", the last holder"
	}
	return out
}

// putBlocked replaces what the log says of the same task.
func (r *Report) putBlocked(b Blocked) {
	i := slices.IndexFunc(r.Blocked, func(x Blocked) bool { return x.PID != nil && *x.PID == *b.PID })
	if i < 0 {
		r.Blocked = append(r.Blocked, b)
		return
	}
	b.Seconds = max(b.Seconds, r.Blocked[i].Seconds)
	r.Blocked[i] = b
}

// since is for how many seconds a task has not run, by the clock of its CPU; 0 if that
// cannot be read.
func (s *scene) since(t kernel.Task) int {
	ts, err := s.k.Types()
	if ts == nil || err != nil {
		return 0
	}
	rq, err := s.k.PerCPU(ts, "runqueues", t.CPU)
	if err != nil {
		return 0
	}
	now, err1 := rq.Uint("clock_task", "clock")
	ran, err2 := t.Uint("se.exec_start")
	if err1 != nil || err2 != nil || ran == 0 || ran > now {
		return 0
	}
	return int((now - ran) / 1e9)
}

// addLocks lists the locks that somebody waits for and that somebody can hold.
func (s *scene) addLocks(r *Report) {
	at := map[uint64]int{}
	for i := range s.waits {
		w := &s.waits[i]
		if !w.Kind.Held() || w.Lock == 0 {
			continue
		}
		n, seen := at[w.Lock]
		if !seen {
			n = len(r.Locks)
			at[w.Lock] = n
			addr := oops.Address(w.Lock)
			l := Lock{Kind: string(w.Kind), Address: &addr, Symbol: w.Name, Waiters: []Task{}}
			if len(w.Owners) > 0 {
				owner := taskOf(w.Owners[0].Task)
				l.Owner = &owner
			}
			r.Locks = append(r.Locks, l)
		}
		r.Locks[n].Waiters = append(r.Locks[n].Waiters, taskOf(w.Task))
	}
}

// chainText says who waits for whom.
func chainText(chain []*lock.Wait) string {
	var parts []string
	for _, w := range chain {
		text := fmt.Sprintf("%s waits for %s", called(w.Task), w)
		if len(w.Owners) > 0 {
			verb := "held by"
			if !w.Kind.Held() {
				verb = "from"
			}
			text += fmt.Sprintf(" %s %s", verb, ownership(w, w.Owners[0]))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// deadlock says which cycle the tasks of a report about hung tasks are in, or behind whom
// they wait.
func (s *scene) deadlock(o *oops.Oops) string {
	if s == nil || o.Kind != oops.HungTask {
		return ""
	}
	if cycles := s.graph.Deadlocks(); len(cycles) > 0 {
		return "deadlock: " + chainText(cycles[0])
	}
	if chain := s.longest(o.Tasks); len(chain) > 0 {
		return chainText(chain[len(chain)-1:])
	}
	return ""
}

// longest is the longest chain that begins with one of the tasks.
func (s *scene) longest(tasks []oops.Task) (longest []*lock.Wait) {
	for _, t := range tasks {
		i := slices.IndexFunc(s.waits, func(w lock.Wait) bool { return t.PID != nil && w.Task.PID == *t.PID && !w.Task.Idle })
		if i < 0 {
			continue
		}
		if chain, _ := s.graph.Chain(&s.waits[i]); len(chain) > len(longest) && len(chain[0].Owners) > 0 {
			longest = chain
		}
	}
	return longest
}

// hungCulprit blames the one whom all hung tasks wait for, if it is no deadlock: the
// function in which the owner at the end of the chain waits or runs.
func (s *scene) hungCulprit(tasks []oops.Task) (*Culprit, Confidence) {
	c, sure := hungCulprit(tasks)
	if s == nil || len(s.graph.Deadlocks()) > 0 {
		return c, sure
	}
	chain := s.longest(tasks)
	if len(chain) == 0 {
		return c, sure
	}
	last := chain[len(chain)-1]
	if len(last.Owners) == 0 {
		return c, sure
	}
	owner := last.Owners[0].Task
	_, st, ok := s.byPID(owner.PID)
	found := blockedCulprit(textFrames(st))
	if !ok || found == nil {
		return c, sure
	}
	return found.culprit(fmt.Sprintf("%s, which holds up the others, is in it", called(owner))), Likely
}

// addDeadlocks tells those that no watchdog has noticed yet.
func (s *scene) addDeadlocks(r *Report) {
	for _, f := range s.deadlockFindings(oops.HungTask) {
		r.Findings = append(r.Findings, f)
		r.Verdict.Detail = strings.TrimPrefix(r.Verdict.Detail+"; "+f.Title, "; ")
	}
}

// deadlockFindings tell every cycle, and for how long the tasks of it have waited.
func (s *scene) deadlockFindings(kind oops.Kind) (out []Finding) {
	for _, cycle := range s.graph.Deadlocks() {
		f := Finding{
			ID: "deadlock", Title: "deadlock of " + namesOf(cycle), Severity: Trace, Confidence: Sure, Evidence: []Evidence{},
			Advice: "take these locks in one order everywhere",
		}
		if kind == oops.HungTask {
			f.Severity = Cause
		}
		for _, w := range cycle {
			addr := oops.Address(w.Lock)
			f.Evidence = append(f.Evidence, Evidence{
				Kind: "memory", Text: fmt.Sprintf("%s, by %s", chainText([]*lock.Wait{w}), w.How), Address: &addr, Symbol: w.Name,
			})
		}
		out = append(out, f)
	}
	return out
}

func namesOf(waits []*lock.Wait) string {
	var names []string
	for _, w := range waits {
		names = append(names, called(w.Task))
	}
	return strings.Join(names, ", ")
}
