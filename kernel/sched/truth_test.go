package sched_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/sched"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// unnamed tells that a guest's kernel does not name its data.
func unnamed(g guesttest.Guest) bool { return g.Name == "arm64" }

// TestRunQueues: what ran on each CPU, and nothing queued that is not runnable.
func TestRunQueues(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		queues, err := sched.RunQueues(t.Context(), g.Kernel)
		if err != nil || len(queues) != 2 {
			t.Fatalf("%d run queues: %v", len(queues), err)
		}
		queued := 0
		for _, q := range queues {
			if len(q.Missing) > 0 || q.Clock < time.Second {
				t.Errorf("CPU %d at %v: missing %v", q.CPU, q.Clock, q.Missing)
			}
			tasks := 0
			for _, e := range slices.Concat(q.RT, q.CFS, q.DL) {
				if e.Addr == 0 {
					continue
				}
				tasks++
				if e.State.Letter() != "R" && !e.Delayed || e.CPU != q.CPU || e.Addr == q.Curr.Addr {
					t.Errorf("CPU %d: %s %s of CPU %d is queued", q.CPU, e.Comm, e.State, e.CPU)
				}
				if e.Priority <= 0 || e.Priority >= 140 {
					t.Errorf("%s has priority %d", e.Comm, e.Priority)
				}
			}
			if q.Stop != nil {
				tasks++
			}
			if want := q.Running - 1; tasks != max(0, want) {
				t.Errorf("CPU %d: %d tasks queued, want %d", q.CPU, tasks, want)
			}
			queued += tasks
		}
		if queues[1].Curr.Comm != "w-busy" || queues[0].Curr.PID != g.Recorder(t) && g.Name != "tiny" {
			t.Errorf("%s and %s ran", queues[0].Curr.Comm, queues[1].Curr.Comm)
		}
		t.Logf("%d tasks queued", queued)
	})
}

// procInterrupts are the lines of /proc/interrupts that begin with a number or a label: the
// counts by CPU, and the words behind them.
func procInterrupts(text string) map[string]struct {
	counts []uint64
	rest   []string
} {
	out := make(map[string]struct {
		counts []uint64
		rest   []string
	})
	lines := strings.Split(text, "\n")
	cpus := len(strings.Fields(lines[0]))
	for _, line := range lines[1:] {
		label, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		e := out[strings.TrimSpace(label)]
		e.rest = strings.Fields(rest)
		for len(e.rest) > 0 && len(e.counts) < cpus {
			n, err := strconv.ParseUint(e.rest[0], 10, 64)
			if err != nil {
				break
			}
			e.counts, e.rest = append(e.counts, n), e.rest[1:]
		}
		out[strings.TrimSpace(label)] = e
	}
	return out
}

// near tells whether counts are those before the crash or somewhat more.
func near(got, before []uint64) bool {
	if len(got) != len(before) {
		return false
	}
	for i := range got {
		if got[i] < before[i] || got[i] > before[i]+before[i]/2+2000 {
			return false
		}
	}
	return true
}

// TestIRQs: every number, chip, flow and handler of /proc/interrupts, and no others; counts
// that went on from there.
func TestIRQs(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		truth := procInterrupts(g.Truth(t, "interrupts"))
		irqs, err := sched.IRQs(t.Context(), g.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		listed, equal := 0, 0
		for _, q := range irqs {
			if len(q.Missing) > 0 {
				t.Errorf("IRQ %d: missing %v", q.Number, q.Missing)
			}
			if !q.Listed() {
				continue
			}
			listed++
			want, ok := truth[strconv.Itoa(q.Number)]
			if got := strings.Fields(q.Line()); !ok || !slices.Equal(got, want.rest) {
				t.Errorf("IRQ %d is %q, was %q", q.Number, got, want.rest)
			}
			if !near(q.Counts, want.counts) {
				t.Errorf("IRQ %d came %v times, before the crash %v", q.Number, q.Counts, want.counts)
			}
			if slices.Equal(q.Counts, want.counts) {
				equal++
			}
		}
		numbers := 0
		for label := range truth {
			if _, err := strconv.Atoi(label); err == nil {
				numbers++
			}
		}
		t.Logf("%d interrupts of %d, counts of %d unchanged", listed, numbers, equal)
		if listed != numbers || listed < 4 {
			t.Errorf("%d interrupts, /proc had %d", listed, numbers)
		}
		archCounts(t, g, truth)
	})
}

func archCounts(t *testing.T, g guesttest.Guest, truth map[string]struct {
	counts []uint64
	rest   []string
},
) {
	t.Helper()
	counts, err := sched.ArchInterrupts(t.Context(), g.Kernel)
	if err != nil {
		t.Error(err)
	}
	compared := 0
	for _, c := range counts {
		want, ok := truth[c.Label]
		if !ok {
			continue // /proc leaves out what the machine has not
		}
		compared++
		if c.Label == "CAL" { // some kernels take the TLB shootdowns out
			continue
		}
		if !near(c.Counts, want.counts) || c.What != strings.Join(want.rest, " ") {
			t.Errorf("%s %v %s, before the crash %v %q", c.Label, c.Counts, c.What, want.counts, want.rest)
		}
	}
	if strings.HasPrefix(g.Machine(), "x86") && compared < 5 {
		t.Errorf("%d counts of interrupts without a number", compared)
	}
}

// TestSoftIRQs: the functions of the vectors have their names.
func TestSoftIRQs(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		vectors, err := sched.SoftIRQs(t.Context(), g.Kernel)
		if err != nil || len(vectors) != 10 {
			t.Fatalf("%d vectors: %v", len(vectors), err)
		}
		if v := vectors[1]; v.Name != "TIMER" || v.Action.Name != "run_timer_softirq" || len(v.Pending) != 2 && !unnamed(g) {
			t.Errorf("vector 1: %+v", v)
		}
		if v := vectors[9]; v.Name != "RCU" || !strings.HasPrefix(v.Action.Name, "rcu_") {
			t.Errorf("vector 9: %+v", v)
		}
	})
}

// statusSets reads the signal sets of /proc/PID/status texts, one behind the other.
func statusSets(text string) map[int]map[string]uint64 {
	out := make(map[int]map[string]uint64)
	pid := 0
	for line := range strings.Lines(text) {
		if n, _ := fmt.Sscanf(line, "Pid: %d", &pid); n == 1 {
			out[pid] = map[string]uint64{}
			continue
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(key, "Sig") && key != "SigQ" || key == "ShdPnd" {
			out[pid][key], _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return out
}

// TestSignals: the sets of every process equal /proc/PID/status, and w-sigpend has one signal
// pending for itself and a queued realtime one for its process.
func TestSignals(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		want, compared := statusSets(g.Truth(t, "status.txt")), 0
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			sets, ok := want[pid]
			if !ok || pid == g.Recorder(t) {
				continue
			}
			s := sched.SignalsOf(t.Context(), g.Kernel, task)
			if len(s.Missing) > 0 {
				t.Errorf("task %d: missing %v", pid, s.Missing)
			}
			got := map[string]uint64{
				"SigPnd": uint64(s.Private.Set), "ShdPnd": uint64(s.Shared.Set), "SigBlk": uint64(s.Blocked),
				"SigIgn": uint64(s.Ignored), "SigCgt": uint64(s.Caught),
			}
			for key, v := range got {
				if v != sets[key] {
					t.Errorf("task %d %s: %s %#x, was %#x", pid, task.Comm, key, v, sets[key])
				}
			}
			if compared++; task.Comm == "w-sigpend" {
				sigpend(t, s)
			}
		}
		t.Logf("signals of %d processes equal", compared)
		if compared < 80 {
			t.Errorf("%d processes compared", compared)
		}
	})
}

func sigpend(t *testing.T, s sched.Signals) {
	t.Helper()
	if s.Private.Set.String() != "SIGUSR2" || s.Shared.Set.String() != "SIGRTMIN+5" || s.Blocked.String() != "SIGUSR2 SIGRTMIN+5" {
		t.Errorf("pending %v and %v, blocked %v", s.Private.Set, s.Shared.Set, s.Blocked)
	}
	if len(s.Shared.Queue) != 1 || len(s.Private.Queue) > 1 {
		t.Fatalf("queued %v and %v", s.Private.Queue, s.Shared.Queue)
	}
	if q := s.Shared.Queue[0]; q.Signal != 37 || q.Code != -1 || q.Value == 0 || q.PID == 0 {
		t.Errorf("queued: %+v", q)
	}
	t.Logf("queued realtime signal: value %#x of PID %d", s.Shared.Queue[0].Value, s.Shared.Queue[0].PID)
}

// TestHRTimers: the timers of /proc/timer_list that were to expire long after the crash are
// there to the nanosecond.
func TestHRTimers(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		bases, err := sched.HRTimers(t.Context(), g.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]int{}
		armed := 0
		for _, b := range bases {
			if len(b.Missing) > 0 {
				t.Errorf("CPU %d %s: missing %v", b.CPU, b.Clock, b.Missing)
			}
			for _, x := range b.Timers {
				have[fmt.Sprintf("%s %d-%d", x.Function.Name, int64(x.Soft), int64(x.Expires))]++
				if armed++; x.Function.Name == "" {
					t.Errorf("hrtimer %#x calls %#x", x.Addr, x.Function.Addr)
				}
			}
		}
		late := 0
		for _, want := range lateTimers(g.Truth(t, "timer_list")) {
			if late++; have[want] == 0 {
				t.Errorf("no hrtimer %s", want)
			}
			have[want]--
		}
		t.Logf("%d armed, all %d of far away equal", armed, late)
		if late < 1 || armed < 4 || len(bases) != 16 {
			t.Errorf("%d timers in %d clocks, %d compared", armed, len(bases), late)
		}
	})
}

// lateTimers reads "function soft-hard" of the timers that have more than a minute left.
func lateTimers(text string) (out []string) {
	name := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 2 && strings.HasSuffix(words[1], ">,") {
			name = strings.TrimSuffix(words[2], ",")
			continue
		}
		var soft, hard, in int64
		if n, _ := fmt.Sscanf(strings.TrimSpace(line), "# expires at %d-%d nsecs [in %d", &soft, &hard, &in); n == 3 && in > int64(time.Minute) {
			out = append(out, fmt.Sprintf("%s %d-%d", name, soft, hard))
		}
	}
	return out
}

// TestTimers: the wheels hold timers that are to come, with functions that have names.
func TestTimers(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		bases, jiffies, err := sched.Timers(t.Context(), g.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		armed, crashkit := 0, 0
		for _, b := range bases {
			if len(b.Missing) > 0 {
				t.Errorf("CPU %d %s: missing %v", b.CPU, b.Name, b.Missing)
			}
			for _, x := range b.Timers {
				armed++
				if x.Function.Name == "" || x.Function.Offset != 0 || x.Left < -1000 || x.Left > 1<<30 || x.Expires-jiffies != uint64(x.Left) {
					t.Errorf("timer %#x: %v in %d jiffies", x.Addr, x.Function, x.Left)
				}
				if x.Function.Module == "crashkit" && x.Function.Name == "ck_idle_timer_fn" {
					crashkit++
				}
			}
		}
		t.Logf("%d timers in %d wheels", armed, len(bases))
		if armed < 5 || len(bases)%2 != 0 || g.Name == "tiny" && crashkit != 1 {
			t.Errorf("%d timers, %d of crashkit", armed, crashkit)
		}
	})
}

// TestWorks: queues, pools and workers agree with the tasks.
func TestWorks(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		works, err := sched.Works(t.Context(), g.Kernel)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range works.Missing {
			t.Errorf("missing %s: %s", m.What, m.Why)
		}
		workers := map[int]bool{}
		for _, p := range works.Pools {
			for _, w := range p.Workers {
				if w.Task.Addr == 0 && p.BH() {
					continue
				}
				workers[w.Task.PID] = true
				if !w.Task.KernelThread || w.Current != nil && w.Current.Function.Name == "" {
					t.Errorf("pool %d: worker %s does %v", p.ID, w.Task.Comm, w.Current)
				}
			}
		}
		kworkers := 0
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			if strings.HasPrefix(task.Comm, "kworker/") && !strings.HasPrefix(task.Comm, "kworker/R") {
				if kworkers++; !workers[pid] {
					t.Errorf("%s (%d) is in no pool", task.Comm, pid)
				}
			}
		}
		names := map[string]bool{}
		for _, q := range works.Queues {
			names[q.Name] = true
		}
		t.Logf("%d queues, %d pools, %d workers, %d delayed works", len(works.Queues), len(works.Pools), len(workers), len(works.Delayed))
		if !names["events"] || kworkers < 4 || len(works.Pools) < 5 || len(works.Delayed) < 2 {
			t.Errorf("%d queues, %d pools, %d workers", len(works.Queues), len(works.Pools), kworkers)
		}
		if g.Name == "tiny" {
			crashkitWorks(t, works)
		}
	})
}

// crashkitWorks: the module's queue with what it does and will do.
func crashkitWorks(t *testing.T, works *sched.WorkQueues) {
	t.Helper()
	found := 0
	for _, p := range works.Pools {
		for _, w := range p.Workers {
			if w.Current != nil && w.Current.Function.String() == "ck_null_work [crashkit]" && w.Current.Queue == "crashkit_wq" && w.Task.PID == 10 {
				found++
			}
		}
	}
	for _, d := range works.Delayed {
		if d.Queue == "crashkit_wq" && d.Function.Module == "crashkit" && d.Left > 0 {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of the 2 works of crashkit_wq", found)
	}
}
