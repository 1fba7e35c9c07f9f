package oops

import (
	"slices"
	"time"
)

// Which report explains the crash:
//
//  1. A "Kernel panic" line is the last word, seldom the cause. It is joined to the nearest report before it, of
//     the same boot, that such a panic ends (panics.go); a panic that ends none is a report of its own.
//  2. The boot that counts is the last one with a panic or a fatal report, a capture kernel's only when there is
//     no other.
//  3. In it the first panic counts, for nothing of a crash comes behind it but its consequences; without one
//     (kdump jumps away from an oops before panic() is reached) the last fatal report; without that the gravest
//     of the others.
//  4. From there back along the cascade: an oops within cascadeGap before, or a report of corrupted memory by the
//     same task within detectorGap before, is the cause of what followed. Older reports are not: a machine may
//     have lived with them for days.

const (
	cascadeGap  = 30 * time.Second // a dead task's lock is noticed by the watchdog in 20 to 26 s
	detectorGap = time.Second
	orphanGap   = 10 * time.Second // from an oops of init to "Attempted to kill init!"
)

// gravity orders the kinds that do not kill by themselves. Kinds not named have none.
var gravity = map[Kind]int{
	MachineCheck: 9, HardLockup: 8, SoftLockup: 7, RCUStall: 6, OutOfMemory: 5, HungTask: 5, Watchdog: 4,
	KASAN: 4, UseAfterFree: 4, DoubleFree: 4, ListCorruption: 4, Fortify: 4, Bug: 4, NMI: 3, Refcount: 3,
	UBSAN: 2, AtomicSleep: 2, Lockdep: 2, Warn: 1,
}

// detectors are the kinds that notice memory already corrupted: what dies right after them dies of that.
var detectors = map[Kind]bool{
	KASAN: true, ListCorruption: true, Refcount: true, UseAfterFree: true, DoubleFree: true, Fortify: true,
}

// joinPanics gives every panic to the report that it ends.
func joinPanics(reports []*Oops) []*Oops {
	var out []*Oops
	for _, o := range reports {
		if o.class == classPanic {
			if i := ended(out, o); i >= 0 {
				out[i].join(o)
				continue
			}
		}
		out = append(out, o)
	}
	return out
}

// ended finds the report that panic p ends.
func ended(before []*Oops, p *Oops) int {
	e := endingOf(p.Panic)
	for i := len(before) - 1; i >= 0 && before[i].Boot == p.Boot; i-- {
		o := before[i]
		if o.class == classPanic {
			return -1
		}
		if e.closes(o) && (e.kind != InitKilled || near(o, p, orphanGap) && sameTask(o, p)) {
			return burst(before, i)
		}
	}
	return -1
}

// burst is the first of the hung task reports that khungtaskd printed in one go with reports[i].
func burst(reports []*Oops, i int) int {
	for i > 0 && reports[i].Kind == HungTask && causes(reports[i-1], reports[i]) {
		i--
	}
	return i
}

// join makes panic p the end of o. A report that shows no CPU of its own, as an NMI's, takes what the panic
// shows.
func (o *Oops) join(p *Oops) {
	o.Panic, o.LastLine = p.Panic, max(o.LastLine, p.LastLine)
	if o.Comm == "" && o.Trace == nil {
		modules := o.Modules
		o.State = p.State
		if o.Modules == nil {
			o.Modules = modules
		}
	} else {
		o.PanicState = &p.State
	}
	o.Backtraces = append(o.Backtraces, p.Backtraces...)
}

// order puts the report that counts first and leaves the others as they stand.
func order(reports []*Oops, boots []Boot) []*Oops {
	if len(reports) == 0 {
		return nil
	}
	first := reports
	if b := crashedBoot(reports, boots); b >= 0 {
		first = slices.DeleteFunc(slices.Clone(reports), func(o *Oops) bool { return o.Boot != b })
	}
	cause := first[back(first, last(first))]
	rest := slices.DeleteFunc(slices.Clone(reports), func(o *Oops) bool { return o == cause })
	return slices.Insert(rest, 0, cause)
}

// crashedBoot is the boot that counts, or -1 when no boot of the text crashed and all count the same.
func crashedBoot(reports []*Oops, boots []Boot) int {
	found := -1
	for _, o := range reports {
		if o.Fatal() && (found < 0 || !boots[o.Boot].Capture || boots[found].Capture) {
			found = o.Boot
		}
	}
	return found
}

// last is the report that ended a boot.
func last(reports []*Oops) int {
	best := 0
	for i, o := range reports {
		if o.Panic != "" {
			return i
		}
		switch b := reports[best]; {
		case o.Fatal():
			best = i
		case !b.Fatal() && gravity[o.Kind] >= gravity[b.Kind]:
			best = i
		}
	}
	return best
}

// back follows the cascade that ended with reports[i] to its begin.
func back(reports []*Oops, i int) int {
	if reports[i].Kind == SysRq {
		return i // asked for: what went before may be why, but it is not the crash
	}
	cause := i
	for j := i - 1; j >= 0; j-- {
		if causes(reports[j], reports[cause]) {
			cause = j
		}
	}
	return cause
}

// causes reports whether a is the cause of b, which follows it.
func causes(a, b *Oops) bool {
	switch {
	case a.dieAt != 0:
		return near(a, b, cascadeGap)
	case a.Kind == HungTask && b.Kind == HungTask:
		return a.Boot == b.Boot && near(a, b, detectorGap)
	case detectors[a.Kind] && b.Fatal():
		return near(a, b, detectorGap) && sameTask(a, b)
	}
	return false
}

// near reports whether b came within gap of a. Without time stamps reports of one boot count as near; where only
// one has a stamp, they are not of the same log.
func near(a, b *Oops, gap time.Duration) bool {
	if a.Time == nil || b.Time == nil {
		return a.Time == b.Time
	}
	return *b.Time-*a.Time <= gap
}

// sameTask reports whether both reports are about one task, as far as they tell.
func sameTask(a, b *Oops) bool {
	return a.PID == nil || b.PID == nil || *a.PID == *b.PID
}
