package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// ArchCounts are interrupts without a number, as /proc/interrupts has them behind the others.
type ArchCounts struct {
	Label, What string
	Counts      []uint64 // of each of Kernel.OnlineCPUs, or one alone that is of all
}

// x86Counts are the lines of arch/x86/kernel/irq.c: a member of irq_stat, or since 7.1 the
// element of irq_stat.counts that the enumerator behind IRQ_COUNT_ tells, or a variable. A
// kernel has those that its configuration needs.
var x86Counts = [][4]string{
	{"NMI", "__nmi_count", "NMI", "Non-maskable interrupts"},
	{"LOC", "apic_timer_irqs", "APIC_TIMER", "Local timer interrupts"},
	{"SPU", "irq_spurious_count", "SPURIOUS", "Spurious interrupts"},
	{"PMI", "apic_perf_irqs", "APIC_PERF", "Performance monitoring interrupts"},
	{"IWI", "apic_irq_work_irqs", "IRQ_WORK", "IRQ work interrupts"},
	{"RTR", "icr_read_retry_count", "ICR_READ_RETRY", "APIC ICR read retries"},
	{"PLT", "x86_platform_ipis", "X86_PLATFORM_IPI", "Platform interrupts"},
	{"RES", "irq_resched_count", "RESCHEDULE", "Rescheduling interrupts"},
	{"CAL", "irq_call_count", "CALL_FUNCTION", "Function call interrupts"},
	{"TLB", "irq_tlb_count", "TLB", "TLB shootdowns"},
	{"TRM", "irq_thermal_count", "THERMAL_APIC", "Thermal event interrupts"},
	{"THR", "irq_threshold_count", "THRESHOLD_APIC", "Threshold APIC interrupts"},
	{"DFR", "irq_deferred_error_count", "DEFERRED_ERROR", "Deferred Error APIC interrupts"},
	{"MCE", "mce_exception_count", "MCE_EXCEPTION", "Machine check exceptions"},
	{"MCP", "mce_poll_count", "MCE_POLL", "Machine check polls"},
	{"HYP", "irq_hv_callback_count", "HYPERVISOR_CALLBACK", "Hypervisor callback interrupts"},
	{"PIN", "kvm_posted_intr_ipis", "POSTED_INTR", "Posted-interrupt notification event"},
	{"NPI", "kvm_posted_intr_nested_ipis", "POSTED_INTR_NESTED", "Nested posted-interrupt event"},
	{"PIW", "kvm_posted_intr_wakeup_ipis", "POSTED_INTR_WAKEUP", "Posted-interrupt wakeup event"},
}

// ArchInterrupts reads the counts of interrupts that have no number: on x86 by the per-CPU
// structure irq_stat. Other processors have their own ways, and none is told.
func ArchInterrupts(ctx context.Context, k *kernel.Kernel) ([]ArchCounts, error) {
	r, err := newReader(ctx, k)
	if err != nil || !strings.HasPrefix(k.Machine(), "x86") {
		return nil, err
	}
	elements := r.countElements()
	var out []ArchCounts
	for _, form := range x86Counts {
		c := ArchCounts{Label: form[0], What: form[3]}
		for _, cpu := range k.OnlineCPUs() {
			n, err := r.archCount(cpu, form[1], elements[form[2]])
			if errors.Is(err, symbols.ErrNoMember) || errors.Is(err, symbols.ErrNoSymbol) {
				break
			}
			if err != nil {
				return out, fmt.Errorf("interrupts without a number: %w", err)
			}
			c.Counts = append(c.Counts, n)
		}
		if len(c.Counts) == k.CPUs() {
			out = append(out, c)
		}
	}
	return out, nil
}

// countElements are the places in irq_stat.counts by name.
func (r *reader) countElements() map[string]string {
	const most = 256
	out := make(map[string]string)
	t, err := symbols.Find(r.ts, "enum irq_stat_counts")
	if err != nil {
		return out
	}
	for v := range int64(most) {
		if name, ok := t.Enumerator(v); ok {
			out[strings.TrimPrefix(name, "IRQ_COUNT_")] = fmt.Sprintf("counts[%d]", v)
		}
	}
	return out
}

// archCount reads one count of a CPU.
func (r *reader) archCount(cpu int, name, element string) (uint64, error) {
	stat, err := r.k.PerCPU(r.ts, "irq_stat", cpu)
	if err != nil {
		return 0, err
	}
	if n, err := stat.Uint(name, cmp.Or(element, name)); !errors.Is(err, symbols.ErrNoMember) {
		return n, err
	}
	v, err := r.k.PerCPU(r.ts, name, cpu)
	if errors.Is(err, symbols.ErrNoType) {
		err = symbols.ErrNoSymbol
	}
	if err != nil {
		return 0, err
	}
	return v.Uint()
}
