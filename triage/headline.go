package triage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/oops"
)

// phrases name the kinds in a headline, in the kernel's words where it has some.
var phrases = map[oops.Kind]string{
	oops.SysRq:             "crash asked for through SysRq",
	oops.NullDereference:   "NULL pointer dereference",
	oops.PagingFault:       "page fault at a bad address",
	oops.GeneralProtection: "general protection fault",
	oops.BadJump:           "jump to a bad address",
	oops.DivideError:       "divide error",
	oops.InvalidOpcode:     "invalid opcode",
	oops.Bug:               "BUG",
	oops.Panic:             "panic",
	oops.Warn:              "warning",
	oops.SoftLockup:        "soft lockup",
	oops.HardLockup:        "hard lockup",
	oops.HungTask:          "hung task",
	oops.RCUStall:          "RCU stall",
	oops.OutOfMemory:       "out of memory",
	oops.NMI:               "NMI from outside",
	oops.MachineCheck:      "machine check",
	oops.StackOverflow:     "kernel stack overflow",
	oops.DoubleFault:       "double fault",
	oops.ListCorruption:    "list corruption",
	oops.UseAfterFree:      "use after free",
	oops.DoubleFree:        "double free",
	oops.Refcount:          "reference count error",
	oops.Fortify:           "buffer overflow",
	oops.KASAN:             "memory error",
	oops.UBSAN:             "undefined behaviour",
	oops.AtomicSleep:       "sleep in atomic context",
	oops.Lockdep:           "locking error",
	oops.InitKilled:        "init ended",
	oops.NoRoot:            "no root file system",
	oops.NoInit:            "no init program",
	oops.Watchdog:          "watchdog",
	oops.BusError:          "bus error",
	oops.None:              "no crash",
	oops.Unknown:           "a crash of unknown kind",
}

// headline is the sentence: what, where in the code, in which context, on which CPU.
func headline(o *oops.Oops, v *Verdict) string {
	what := phrases[v.Kind]
	switch v.Kind {
	case oops.HungTask:
		return hungHeadline(o)
	case oops.InitKilled:
		return what + ": " + who(o) + initEnd(o.Panic)
	case oops.SysRq:
		return joined(what, "by", who(o)) + onCPU(o)
	case oops.NMI:
		return what + onCPU(o)
	case oops.Panic:
		what = "panic: " + o.Panic
	case oops.KASAN:
		_, what, _ = strings.Cut(o.Title, "BUG: ")
		what, _, _ = strings.Cut(what, " in ")
	case oops.OutOfMemory:
		if o.OOM != nil && o.OOM.Invoker != "" {
			what += ", " + o.OOM.Invoker + " allocating"
		}
	}
	if v.Culprit != nil {
		what = joined(what, "in", place(v.Culprit))
	}
	return joined(what, ",", where(o, v.Context))
}

// joined puts a word between two parts, if there is a second.
func joined(a, word, b string) string {
	switch {
	case b == "":
		return a
	case word == ",":
		return a + ", " + b
	}
	return a + " " + word + " " + b
}

func place(c *Culprit) string {
	if c.Module == "" {
		return c.Function
	}
	return strings.TrimSpace(c.Function + " [" + c.Module + "]")
}

// who is the task as "collect (186)".
func who(o *oops.Oops) string {
	if o.Comm == "" || o.PID == nil {
		return o.Comm
	}
	return fmt.Sprintf("%s (%d)", o.Comm, *o.PID)
}

func onCPU(o *oops.Oops) string {
	if o.CPU == nil {
		return ""
	}
	return fmt.Sprintf(" on CPU %d", *o.CPU)
}

// hungHeadline says who has been waiting, and where if that is one place.
func hungHeadline(o *oops.Oops) string {
	if len(o.Tasks) == 0 {
		return phrases[oops.HungTask]
	}
	var names []string
	for _, t := range o.Tasks {
		names = append(names, t.Comm)
	}
	s := fmt.Sprintf("%s blocked", strings.Join(names[:min(len(names), 3)], ", "))
	if n := len(names) - 3; n > 0 {
		s = fmt.Sprintf("%s and %d more tasks blocked", strings.Join(names[:3], ", "), n)
	}
	if o.Tasks[0].Seconds > 0 {
		s += fmt.Sprintf(" for more than %d seconds", o.Tasks[0].Seconds)
	}
	if c, _ := hungCulprit(o.Tasks); c != nil {
		s = joined(s, "in", place(c))
	}
	return s
}

// initEnd reads the exit code of init as wait(2) does.
func initEnd(panicText string) string {
	_, text, found := strings.Cut(panicText, "exitcode=0x")
	code, err := strconv.ParseUint(strings.TrimSpace(text), 16, 32)
	switch {
	case !found || err != nil:
		return ""
	case code&0x7f != 0:
		return fmt.Sprintf(" was killed by signal %d", code&0x7f)
	}
	return fmt.Sprintf(" exited with status %d", code>>8&0xff)
}

// detail is what else a reader should know at once: the access, the poison, who is not to blame, and what memory
// tells: the object that was freed, who waits for whom.
func detail(o *oops.Oops, p *poisoned, blameless string, memory ...string) string {
	var parts []string
	if s := access(o); s != "" {
		parts = append(parts, s)
	}
	if p != nil {
		parts = append(parts, p.says)
	}
	if o.Message != "" {
		parts = append(parts, o.Message)
	}
	if blameless != "" && o.Comm != "" {
		parts = append(parts, o.Comm+" "+blameless+" and is not to blame")
	}
	parts = append(parts, memory...)
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// access says what the processor was asked to do: "a store to address 0".
func access(o *oops.Oops) string {
	f := o.Fault
	if f == nil || f.Address == nil {
		return ""
	}
	verb := map[string]string{"read": "a load from", "write": "a store to", "execute": "a jump to"}[f.Access]
	if verb == "" {
		verb = "an access to"
	}
	if *f.Address == 0 {
		return verb + " address 0"
	}
	return fmt.Sprintf("%s address %s", verb, *f.Address)
}
