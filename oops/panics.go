package oops

import "strings"

// ending is what a panic text tells: the kind, when no report came before it, and the kinds of reports that
// such a panic ends. The text is that of the "Kernel panic - not syncing:" line.
type ending struct {
	text   string
	kind   Kind
	ends   []Kind // reports that this panic is the last word of
	oopses bool   // it also ends any report that went through die()
}

// endings is searched from the top for a text that is contained in the panic's.
var endings = []ending{
	{"sysrq triggered crash", SysRq, []Kind{SysRq}, false},
	{"Fatal exception", Panic, nil, true},
	{"Oopsed too often", Panic, nil, true},
	{"Aiee, killing interrupt handler", Panic, nil, true},
	{"Attempted to kill the idle task", Panic, nil, true},
	{"Attempted to kill init", InitKilled, nil, true},
	{"softlockup: hung tasks", SoftLockup, []Kind{SoftLockup}, false},
	{"LOCKUP", HardLockup, []Kind{HardLockup}, false},
	{"hung_task: blocked tasks", HungTask, []Kind{HungTask}, false},
	{"RCU Stall", RCUStall, []Kind{RCUStall}, false},
	{"ut of memory", OutOfMemory, []Kind{OutOfMemory}, false},
	{"System is deadlocked on memory", OutOfMemory, []Kind{OutOfMemory}, false},
	{"Fatal local machine check", MachineCheck, []Kind{MachineCheck}, false},
	{"Fatal machine check", MachineCheck, []Kind{MachineCheck}, false},
	{"achine check", MachineCheck, []Kind{MachineCheck}, true},
	{"Not all CPUs entered broadcast exception handler", MachineCheck, []Kind{MachineCheck}, false},
	{"Fatal hardware error", MachineCheck, []Kind{MachineCheck}, false},
	{"NMI: Not continuing", NMI, []Kind{NMI}, false},
	{"NMI IOCK error", NMI, []Kind{NMI}, false},
	{"An NMI occurred", NMI, []Kind{NMI}, false}, // hpwdt
	{"NMI: PCI system error", NMI, []Kind{NMI}, false},
	{"stack guard hit", StackOverflow, []Kind{StackOverflow}, true},
	{"kernel stack overflow", StackOverflow, []Kind{StackOverflow}, false},
	{"corrupted stack end detected", StackOverflow, []Kind{StackOverflow}, false},
	{"stack-protector:", StackOverflow, nil, false},
	{"VFS: Unable to mount root fs", NoRoot, nil, false},
	{"No working init found", NoInit, nil, false},
	{"No init found", NoInit, nil, false},
	{"Requested init ", NoInit, nil, false},
	{"panic_on_warn set", Warn, warnings, false},
	{"kasan.fault=panic", KASAN, []Kind{KASAN}, false},
	{"scheduling while atomic", AtomicSleep, []Kind{AtomicSleep}, false},
	{"SError Interrupt", BusError, []Kind{BusError}, false},
	{"watchdog pretimeout event", Watchdog, nil, false},
	{"double fault", DoubleFault, []Kind{DoubleFault}, false},
}

// warnings are the kinds that panic_on_warn turns into a panic.
var warnings = []Kind{
	Warn, KASAN, UBSAN, Lockdep, Refcount, ListCorruption, Fortify, AtomicSleep, UseAfterFree, DoubleFree, Bug,
	SoftLockup,
}

// endingOf finds what the panic text tells. An unknown text is a panic of its own kind that ends no report.
func endingOf(text string) ending {
	for _, e := range endings {
		if strings.Contains(text, e.text) {
			return e
		}
	}
	return ending{text: text, kind: Panic}
}

// closes reports whether a panic of this ending can be the last word of o.
func (e ending) closes(o *Oops) bool {
	if e.oopses && (o.dieAt != 0 || o.class == classFault) {
		return true
	}
	for _, k := range e.ends {
		if o.Kind == k {
			return true
		}
	}
	return false
}
