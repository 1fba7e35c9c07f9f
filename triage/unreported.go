package triage

import (
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
)

// ways are the functions by which a kernel comes to its end, and the kind of a crash that
// has one of them on its stack; the first row that fits counts.
var ways = []struct {
	kind      oops.Kind
	functions []string
}{
	{oops.SysRq, []string{"sysrq_handle_crash"}},
	{oops.SoftLockup, []string{"watchdog_timer_fn", "softlockup_fn"}},
	{oops.HardLockup, []string{"watchdog_overflow_callback", "watchdog_hardlockup_check"}},
	{oops.RCUStall, []string{"panic_on_rcu_stall", "check_cpu_stall", "print_cpu_stall", "print_other_cpu_stall"}},
	{oops.OutOfMemory, []string{"out_of_memory", "dump_header"}},
	{oops.StackOverflow, []string{"handle_stack_overflow"}},
	{oops.MachineCheck, []string{"do_machine_check", "mce_panic", "ghes_panic", "__ghes_panic"}},
	{oops.NMI, []string{"unknown_nmi_error", "nmi_panic"}},
	{oops.DoubleFault, []string{"exc_double_fault", "do_double_fault"}},
	{oops.DivideError, []string{"exc_divide_error", "do_divide_error"}},
	{oops.GeneralProtection, []string{"exc_general_protection", "do_general_protection"}},
	{oops.PagingFault, []string{"page_fault_oops", "no_context", "exc_page_fault", "do_page_fault", "die_kernel_fault"}},
	{oops.Warn, []string{"__warn", "check_panic_on_warn"}},
	{oops.HungTask, []string{"check_hung_uninterruptible_tasks", "check_hung_task", "hung_task_panic"}},
	{oops.NoRoot, []string{"mount_block_root", "mount_root_generic", "mount_root", "prepare_namespace"}},
	{oops.Panic, []string{"panic", "vpanic"}},
}

// unreported makes a report of what the stack of the CPU that crashed shows, for a dump
// whose log has none: it is lost, or printing came too late. It is nil if no CPU was in the
// crash path.
func (s *scene) unreported() *oops.Oops {
	c := s.cpu(s.crash)
	if c == nil || len(c.stack.Frames) == 0 {
		return nil
	}
	o := &oops.Oops{Kind: s.way(c)}
	o.CPU = &c.cpu
	if c.task.Addr != 0 {
		pid := c.task.PID
		o.PID, o.Comm = &pid, c.task.Comm
	}
	return o
}

// silence tells that a verdict is the stack's, because the log has no report.
func silence(r *Report, log error) {
	title := "the log has no report of the crash: the stack tells what happened"
	if log != nil {
		title = "the log cannot be read: the stack tells what happened"
	}
	r.Findings = append(r.Findings, Finding{
		ID: "no-report", Title: title, Severity: Note,
		Confidence: Sure, Evidence: []Evidence{},
	})
}

// way is the kind of a crash by its stack: the functions that it came through, or what
// stopped it where it stood.
func (s *scene) way(c *cpuScene) oops.Kind {
	on := map[string]bool{}
	for _, f := range c.stack.Frames {
		if f.Kind != kernel.FrameGuess {
			on[Function(f.Symbol.Name)] = true
		}
	}
	if c.task.PID == 1 && on["do_exit"] && on["panic"] {
		return oops.InitKilled
	}
	if c.task.Comm == "khungtaskd" && on["panic"] {
		return oops.HungTask
	}
	for _, w := range ways {
		for _, name := range w.functions {
			if on[name] {
				return w.kind
			}
		}
	}
	if f, regs, ok := c.fault(); ok {
		return s.stoppedBy(f, regs)
	}
	return oops.Unknown
}
