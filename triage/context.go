package triage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/oops"
)

// Context says what the CPU was doing when it crashed.
type Context string

// The contexts.
const (
	Process   Context = "process" // a system call, or an exception of a process
	KThread   Context = "kthread"
	Workqueue Context = "workqueue"
	Timer     Context = "timer"
	SoftIRQ   Context = "softirq"
	IRQ       Context = "irq"
	IPI       Context = "ipi" // a function call from another CPU
	InNMI     Context = "nmi"
	Idle      Context = "idle"
)

// callers are the functions that call what others queued, and so tell the context of what they call.
var callers = map[string]Context{
	"call_timer_fn": Timer, "expire_timers": Timer, "__run_timers": Timer, "run_timer_softirq": Timer,
	"__hrtimer_run_queues": Timer, "hrtimer_interrupt": Timer, "__run_hrtimer": Timer,
	"__flush_smp_call_function_queue": IPI, "flush_smp_call_function_queue": IPI,
	"generic_smp_call_function_single_interrupt": IPI, "generic_smp_call_function_interrupt": IPI,
	"tasklet_action_common": SoftIRQ, "tasklet_action": SoftIRQ, "net_rx_action": SoftIRQ, "rcu_do_batch": SoftIRQ,
	"blk_done_softirq": SoftIRQ, "blk_complete_reqs": SoftIRQ, "handle_softirqs": SoftIRQ, "__do_softirq": SoftIRQ,
	"__handle_irq_event_percpu": IRQ, "handle_irq_event": IRQ, "handle_irq_event_percpu": IRQ,
	"irq_work_run_list": IRQ, "irq_work_single": IRQ,
	"process_one_work": Workqueue, "process_scheduled_works": Workqueue,
}

// What the task on the CPU had to do with a crash that is not its own.
const (
	bystander = "was only interrupted"
	servant   = "only runs what others queued"
)

// servants are the threads that run softirqs and timers: the last two with PREEMPT_RT.
var servants = []string{"ksoftirqd/", "ktimers/", "rcuc/"}

// contextOf tells the context of o, and why the task on the CPU is not to blame; empty when
// it may be.
func contextOf(o *oops.Oops) (c Context, blameless string) {
	c, found := calledFrom(candidates(o))
	if found && c != Workqueue {
		if (c == SoftIRQ || c == Timer) && serves(o) {
			return c, servant
		}
		return c, bystander
	}
	switch {
	case !noticed[o.Kind] && len(o.Trace) > 0 && o.Trace[0].Context == oops.InNMI:
		return InNMI, bystander
	case !noticed[o.Kind] && len(o.Trace) > 0 && o.Trace[0].Context == oops.InIRQ:
		return IRQ, bystander
	case o.Workqueue != nil || c == Workqueue:
		return Workqueue, ""
	}
	return taskContext(o), ""
}

// serves tells whether the task is a servant that no interrupt interrupted.
func serves(o *oops.Oops) bool {
	is := func(prefix string) bool { return strings.HasPrefix(o.Comm, prefix) }
	return slices.ContainsFunc(servants, is) &&
		!slices.ContainsFunc(o.Trace, func(f oops.Frame) bool { return f.Context == oops.InIRQ })
}

// calledFrom finds the innermost of callers.
func calledFrom(cs []candidate) (Context, bool) {
	for _, c := range cs {
		if context, ok := callers[Function(c.Symbol)]; ok && !c.Unsure {
			return context, true
		}
	}
	return "", false
}

// taskContext tells processes from kernel threads, by how their stacks begin.
func taskContext(o *oops.Oops) Context {
	if o.PID != nil && *o.PID == 0 {
		return Idle
	}
	reliable := slices.ContainsFunc(o.Trace, func(f oops.Frame) bool { return !f.Unsure })
	for _, f := range slices.Backward(o.Trace) {
		switch name := Function(f.Symbol); {
		case f.Unsure && reliable:
			continue
		case name == "kthread", name == "kernel_thread_helper", name == "child_rip":
			return KThread
		case f.Context == oops.InUser, roleOf(name) == roleEntry && !strings.HasPrefix(name, "ret_from_fork"):
			return Process
		}
	}
	return ""
}

// where is the context as the end of a headline: "timer on CPU 1", "process collect on CPU 0".
func where(o *oops.Oops, c Context) string {
	var s string
	switch c {
	case Process:
		s = "process " + o.Comm
	case KThread:
		s = "kernel thread " + o.Comm
	case Workqueue:
		s = "work item"
		if o.Workqueue != nil {
			s += " of " + o.Workqueue.Queue
		}
	case Timer:
		s = "timer"
	case SoftIRQ:
		s = "softirq"
	case IRQ:
		s = "interrupt"
	case IPI:
		s = "call from another CPU"
	case InNMI:
		s = "NMI"
	case Idle:
		s = "idle task"
	default:
		s = o.Comm
	}
	if o.CPU != nil {
		s = strings.TrimSpace(fmt.Sprintf("%s on CPU %d", s, *o.CPU))
	}
	return s
}
