package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
)

// times prints when tasks began and what they used, as crash's ps -t does: nanoseconds,
// with the wall clock of the start behind it where the dump has a date.
func (p *psPrinter) times() {
	sys := p.k.System(p.env.ctx)
	for i, t := range p.tasks {
		if i > 0 {
			fmt.Fprintln(p.env.out)
		}
		fmt.Fprintln(p.env.out, taskHead(t))
		at, err := t.Times()
		if err != nil {
			p.env.met(err)
			fmt.Fprintf(p.env.out, "    (cannot be read: %s)\n", absence(err))
			continue
		}
		start := ""
		if !sys.Date.IsZero() {
			start = "  (" + sys.Date.Add(at.Boot-sys.Uptime).UTC().Format(time.DateTime) + ")"
		}
		fmt.Fprintf(p.env.out, "    RUN TIME: %s\n  START TIME: %d%s\n       UTIME: %d\n       STIME: %d\n",
			dayClock(sys.Uptime-at.Boot, false), int64(at.Boot), start, int64(at.User), int64(at.System))
	}
}

// dayClock spells a duration as crash does: "00:00:17", or "0 00:00:00.061" with days and
// milliseconds.
func dayClock(d time.Duration, fine bool) string {
	d = max(0, d)
	day := 24 * time.Hour
	clock := fmt.Sprintf("%02d:%02d:%02d", d%day/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second)
	switch {
	case fine:
		return fmt.Sprintf("%d %s.%03d", d/day, clock, d%time.Second/time.Millisecond)
	case d < day:
		return clock
	case d < 2*day:
		return "1 day, " + clock
	}
	return fmt.Sprintf("%d days, %s", d/day, clock)
}

// clocks are the clocks of the run queues by CPU, which the scheduler's stamps are of.
func (p *psPrinter) clocks() map[int]time.Duration {
	out := make(map[int]time.Duration)
	for _, cpu := range p.k.OnlineCPUs() {
		rq, err := p.k.RunQueue(p.env.ctx, cpu)
		if err != nil {
			continue
		}
		if v, err := rq.Uint("clock"); err == nil {
			out[cpu] = time.Duration(v)
		}
	}
	return out
}

// lastRuns prints when tasks came to a CPU, the latest first.
func (p *psPrinter) lastRuns() {
	type run struct {
		t  kernel.Task
		at time.Duration
	}
	runs := make([]run, 0, len(p.tasks))
	for _, t := range p.tasks {
		at, err := t.Times()
		p.env.met(err)
		runs = append(runs, run{t, at.Arrival})
	}
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(b.at, a.at) })
	clock := p.clocks()
	if p.f.recent && len(clock) == 0 {
		p.env.warn("no run queue was found, so what time it was is not known: the time stamps themselves (-l)")
	}
	width := 1
	for _, r := range runs {
		width = max(width, len(strconv.FormatInt(int64(r.at), 10)))
	}
	for _, r := range runs {
		stamp := fmt.Sprintf("%*d", width, int64(r.at))
		if now, ok := clock[r.t.CPU]; ok && p.f.recent {
			stamp = dayClock(now-r.at, true)
		}
		fmt.Fprintf(p.env.out, "[%s] [%s]  %s\n", stamp, r.t.State, taskHead(r.t))
	}
}

func (p *psPrinter) timesDocument(t kernel.Task, clock map[int]time.Duration) *psTimes {
	at, err := t.Times()
	if err != nil {
		p.miss(t, "times", err)
		return nil
	}
	doc := &psTimes{BootNS: int64(at.Boot), UserNS: int64(at.User), SystemNS: int64(at.System), RunNS: int64(at.Run), ArrivalNS: int64(at.Arrival)}
	if now, ok := clock[t.CPU]; ok {
		since := int64(max(0, now-at.Arrival))
		doc.SinceNS = &since
	}
	return doc
}

// limitNames are the resources in the order of signal_struct.rlim, the same on all
// processors but MIPS and SPARC (include/uapi/asm-generic/resource.h).
var limitNames = strings.Fields("CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME")

// limits prints the resource limits of tasks.
func (p *psPrinter) limits() {
	for i, t := range p.tasks {
		if i > 0 {
			fmt.Fprintln(p.env.out)
		}
		fmt.Fprintln(p.env.out, taskHead(t))
		limits, err := t.Limits()
		if err != nil {
			p.env.met(err)
			fmt.Fprintf(p.env.out, "    (cannot be read: %s)\n", absence(err))
			continue
		}
		fmt.Fprintln(p.env.out, "      RLIMIT               CURRENT               MAXIMUM")
		for i, l := range limits[:min(len(limits), len(limitNames))] {
			fmt.Fprintf(p.env.out, "  %10s  %20s  %20s\n", limitNames[i], limit(l[0]), limit(l[1]))
		}
	}
}

func limit(v uint64) string {
	if v == ^uint64(0) || v == uint64(^uint32(0)) {
		return "(unlimited)"
	}
	return strconv.FormatUint(v, 10)
}

func (p *psPrinter) limitsDocument(t kernel.Task) map[string][]uint64 {
	limits, err := t.Limits()
	if err != nil {
		p.miss(t, "rlimits", err)
		return nil
	}
	out := make(map[string][]uint64)
	for i, l := range limits[:min(len(limits), len(limitNames))] {
		out[strings.ToLower(limitNames[i])] = l[:]
	}
	return out
}

// policies are the scheduling policies by number (include/uapi/linux/sched.h).
var policies = map[string]uint64{"normal": 0, "other": 0, "fifo": 1, "rr": 2, "batch": 3, "iso": 4, "idle": 5, "deadline": 6, "ext": 7}

func parsePolicy(word string) (uint64, error) {
	if word == "" {
		return 0, nil
	}
	name := strings.TrimPrefix(strings.ToLower(word), "sched_")
	if v, ok := policies[name]; ok {
		return v, nil
	}
	v, err := strconv.ParseUint(word, 10, 8)
	if err != nil {
		return 0, usagef("no policy %q; there are normal, fifo, rr, batch, idle, deadline, ext", word)
	}
	return v, nil
}
