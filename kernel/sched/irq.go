package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// Action is a struct irqaction: who handles an interrupt.
type Action struct {
	kernel.Object
	Name            string // "" where the driver gave none
	Handler, Thread Function
	Flags           uint64      // IRQF_…
	Task            kernel.Task // the thread of a threaded handler, without an address where there is none
}

// IRQ is a struct irq_desc.
type IRQ struct {
	kernel.Object
	Number   int
	HWIRQ    uint64
	Mapped   bool     // HWIRQ is of a domain
	Chip     string   // "IO-APIC", "PCI-MSI", "GICv2"
	Flow     string   // "edge", "fasteoi": as desc.name has it; "" where the kernel keeps none
	Trigger  string   // "Level" or "Edge", on processors on which /proc/interrupts says so instead of Flow
	Handle   Function // the flow handler, like handle_edge_irq
	Actions  []Action
	Chained  bool  // it only leads on to other interrupts
	Hidden   bool  // not in /proc/interrupts
	Affinity []int // CPUs that may serve it, nil if not known
	Counts   []uint64
	Missing  []kernel.Missing
}

// Total is how often the interrupt came.
func (q IRQ) Total() (n uint64) {
	for _, c := range q.Counts {
		n += c
	}
	return n
}

// showTrigger are the machines whose kernels are made with CONFIG_GENERIC_IRQ_SHOW_LEVEL.
var showTrigger = []string{"aarch64", "arm", "ppc64", "ppc64le"}

// Listed tells whether /proc/interrupts has the interrupt: it came, or somebody handles it.
func (q IRQ) Listed() bool { return !q.Hidden && (q.Total() > 0 || len(q.Actions) > 0 && !q.Chained) }

// Line is what /proc/interrupts says of an interrupt behind the counts: chip, number at the
// chip and flow, and the names of the handlers.
func (q IRQ) Line() string {
	chip := q.Chip
	if chip == "" {
		chip = "-"
	}
	line := fmt.Sprintf("%8s", chip)
	hwirq := ""
	if q.Mapped {
		hwirq = fmt.Sprint(q.HWIRQ)
	}
	line += fmt.Sprintf(" %3s", hwirq)
	if q.Trigger != "" {
		line += fmt.Sprintf(" %-8s", q.Trigger)
	}
	if q.Flow != "" {
		line += fmt.Sprintf("-%-8s", q.Flow)
	}
	var names []string
	for _, a := range q.Actions {
		names = append(names, a.Name)
	}
	return strings.TrimRight(line+"  "+strings.Join(names, ", "), " ")
}

// Bits of irq_data.common.state_use_accessors and irq_desc.status_use_accessors
// (include/linux/irq.h).
const (
	irqLevel  = 1 << 13
	irqHidden = 1 << 20
)

// IRQs reads the interrupts by number (kernel/irq/irqdesc.c): sparse_irqs, a maple tree since
// 6.5 (721255b9826b), irq_desc_tree before, or the array irq_desc.
func IRQs(ctx context.Context, k *kernel.Kernel) ([]IRQ, error) {
	r, err := newReader(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("interrupts: %w", err)
	}
	t, err := symbols.Find(r.ts, "struct irq_desc", "irq_data")
	if err != nil {
		return nil, fmt.Errorf("interrupts: %w", err)
	}
	var irqs []IRQ
	for e, err := range r.irqDescs(ctx, t) {
		if err != nil {
			if len(irqs) == 0 {
				return nil, fmt.Errorf("interrupts: %w", err)
			}
			irqs[len(irqs)-1].Missing = append(irqs[len(irqs)-1].Missing, kernel.NewMissing("interrupts", err, "those behind it"))
			continue
		}
		irqs = append(irqs, r.irq(e))
	}
	r.nameGICs(irqs)
	return irqs, ctx.Err()
}

// irqDescs yields the struct irq_desc by number.
func (r *reader) irqDescs(ctx context.Context, t *symbols.Type) func(func(kernel.Entry, error) bool) {
	if o, err := r.k.Global(r.ts, "sparse_irqs"); err == nil {
		return r.k.MapleTree(ctx, o, t)
	}
	if o, err := r.k.Global(r.ts, "irq_desc_tree"); err == nil {
		return r.k.XArray(ctx, o, t)
	}
	if _, err := r.k.Symbol("irq_desc"); errors.Is(err, symbols.ErrNoSymbol) { // it does not name its data
		if o, err := r.findSparseIRQs(ctx, t); err == nil {
			return r.k.MapleTree(ctx, o, t)
		}
		if o, err := r.findIRQDescTree(ctx, t); err == nil {
			return r.k.XArray(ctx, o, t)
		}
	}
	return func(yield func(kernel.Entry, error) bool) {
		array, err := r.k.Global(r.ts, "irq_desc")
		if err != nil {
			yield(kernel.Entry{}, fmt.Errorf("neither sparse_irqs nor irq_desc_tree: %w", err))
			return
		}
		s, err := r.k.Symbol("irq_desc")
		if err != nil {
			yield(kernel.Entry{}, err)
			return
		}
		const most = 1 << 16
		for i := uint64(0); i < min(s.Size/max(1, t.Size()), most); i++ {
			o, err := array.Index(i)
			if !yield(kernel.Entry{First: i, Last: i, Object: o}, err) || err != nil {
				return
			}
		}
	}
}

// findIRQDescTree finds irq_desc_tree in a kernel that does not name its data: the first
// node of an xarray leads back to it, and what is below are interrupts by their number.
func (r *reader) findIRQDescTree(ctx context.Context, t *symbols.Type) (kernel.Object, error) {
	tree, err := symbols.Find(r.ts, "struct xarray", "xa_head")
	if err != nil {
		return kernel.Object{}, err
	}
	node, err := r.k.Cast(0, "struct xa_node", "array", "parent")
	if err != nil {
		return kernel.Object{}, err
	}
	return r.k.Find(tree, "xa_head", func(v uint64) bool { return v&3 == 2 && v >= 1<<63 }, func(o kernel.Object) bool {
		at, err := o.Pointer("xa_head")
		if err != nil {
			return false
		}
		top := r.k.Object(node.Type, at-2)
		back, err := top.Pointer("array")
		if err != nil || back != o.Addr {
			return false
		}
		return ofIRQs(r.k.XArray(ctx, o, t))
	})
}

// findSparseIRQs finds sparse_irqs likewise: the first node of a maple tree has the tree for
// its parent (lib/maple_tree.c, ma_set_root).
func (r *reader) findSparseIRQs(ctx context.Context, t *symbols.Type) (kernel.Object, error) {
	tree, err := symbols.Find(r.ts, "struct maple_tree", "ma_root")
	if err != nil {
		return kernel.Object{}, err
	}
	node, err := r.k.Cast(0, "struct maple_node", "parent")
	if err != nil {
		return kernel.Object{}, err
	}
	const nodeBits = 0xff
	return r.k.Find(tree, "ma_root", func(v uint64) bool { return v&3 == 2 && v&nodeBits != 2 && v >= 1<<63 }, func(o kernel.Object) bool {
		at, err := o.Pointer("ma_root")
		if err != nil {
			return false
		}
		back, err := r.k.Object(node.Type, at&^nodeBits).Pointer("parent")
		return err == nil && back == o.Addr|1 && ofIRQs(r.k.MapleTree(ctx, o, t))
	})
}

// ofIRQs tells whether a container has interrupts by their number.
func ofIRQs(entries func(func(kernel.Entry, error) bool)) bool {
	const enough = 3
	n := 0
	for e, err := range entries {
		if err != nil || e.Number {
			return false
		}
		no, err := e.Uint("irq_data.irq")
		if err != nil || no != e.First {
			return false
		}
		if n++; n == enough {
			return true
		}
	}
	return false
}

// irq reads a struct irq_desc.
func (r *reader) irq(e kernel.Entry) IRQ {
	var miss missing
	q := IRQ{Object: e.Object, Number: int(e.First)}
	f := q.Fields()
	q.HWIRQ, q.Handle = f.Uint("irq_data.hwirq"), r.function(f.Uint("handle_irq"))
	q.Hidden = f.Uint("status_use_accessors")&irqHidden != 0
	q.Flow = f.Text("name")
	domain := f.Pointer("irq_data.domain")
	miss.add("interrupt", f.Err())
	q.Mapped = domain != 0
	if slices.Contains(showTrigger, r.k.Machine()) {
		state, err := q.Uint("irq_common_data.state_use_accessors", "irq_data.state_use_accessors")
		miss.add("interrupt", err)
		if q.Trigger = "Edge"; state&irqLevel != 0 {
			q.Trigger = "Level"
		}
	}
	if chip, err := q.Follow("irq_data.chip"); err == nil {
		q.Chip, err = chip.Text("name")
		miss.add("interrupt", err)
	}
	q.Actions = r.actions(q.Object, &miss)
	for _, a := range q.Actions {
		q.Chained = q.Chained || a.Handler.Name == "bad_chained_irq" // of chained_action (4.10 on)
	}
	q.Counts = r.counts(q.Object, &miss)
	q.Affinity = r.affinity(q.Object, &miss)
	q.Missing = miss.list
	return q
}

// nameGICs names the chips of ARM's GICv2, which have no name but a number: their place in
// the array gic_data, whose first element is the one that the processors are at
// (drivers/irqchip/irq-gic.c, gic_irq_print_chip).
func (r *reader) nameGICs(irqs []IRQ) {
	data, err := r.k.Cast(0, "struct gic_chip_data")
	if err != nil || data.Type.Size() == 0 {
		return
	}
	first, chips := ^uint64(0), make(map[int]uint64)
	for i, q := range irqs {
		chip, err := q.Follow("irq_data.chip")
		if err != nil || q.Chip != "" {
			continue
		}
		printer, err := chip.Uint("irq_print_chip")
		if err != nil || r.function(printer).Name != "gic_irq_print_chip" {
			continue
		}
		if at, err := q.Pointer("irq_data.chip_data"); err == nil {
			chips[i], first = at, min(first, at)
		}
	}
	for i, at := range chips {
		irqs[i].Chip = fmt.Sprintf("GIC-%d", (at-first)/data.Type.Size())
	}
}

// actions follows the chain of handlers.
func (r *reader) actions(o kernel.Object, miss *missing) (actions []Action) {
	const most = 1024
	at, err := o.Pointer("action")
	for miss.add("handlers", err); at != 0 && len(actions) < most; {
		a, err := r.k.Cast(at, "struct irqaction", "handler", "next")
		if err != nil || slices.ContainsFunc(actions, func(b Action) bool { return b.Addr == a.Addr }) {
			miss.add("handlers", err)
			break
		}
		f := a.Fields()
		action := Action{
			Object: a, Name: f.Text("name"), Handler: r.function(f.Uint("handler")),
			Thread: r.function(f.Uint("thread_fn")), Flags: f.Uint("flags"),
		}
		at = f.Pointer("next")
		thread := f.Pointer("thread")
		if err := f.Err(); err != nil {
			miss.add("handlers", err)
			break
		}
		if thread != 0 {
			action.Task, err = r.k.TaskAt(thread)
			miss.add("handlers", err)
		}
		actions = append(actions, action)
	}
	return actions
}

// counts reads how often each CPU served the interrupt: a per-CPU pointer to an unsigned int,
// or since 6.10 (86d2a2f51fba) to struct irqstat.
func (r *reader) counts(o kernel.Object, miss *missing) []uint64 {
	at, err := o.Pointer("kstat_irqs")
	if err != nil || at == 0 {
		miss.add("counts", err)
		return nil
	}
	stat, err := o.Follow("kstat_irqs")
	if err != nil {
		miss.add("counts", err)
		return nil
	}
	var counts []uint64
	for cpu := range r.k.CPUs() {
		if stat.Addr, err = r.k.PerCPUAddr(at, cpu); err != nil {
			break
		}
		var n uint64
		if n, err = stat.Uint("cnt"); errors.Is(err, symbols.ErrNoMember) || !stat.Type.Aggregate() {
			n, err = stat.Uint()
		}
		if err != nil {
			break
		}
		counts = append(counts, n)
	}
	miss.add("counts", err)
	return counts
}

// affinity reads the CPUs that may serve the interrupt: in irq_common_data since 4.3, a
// pointer to the mask with CONFIG_CPUMASK_OFFSTACK.
func (r *reader) affinity(o kernel.Object, miss *missing) []int {
	mask, err := o.Member("irq_common_data.affinity", "irq_data.affinity")
	if errors.Is(err, symbols.ErrNoMember) {
		return nil // one CPU
	}
	if err == nil && mask.Type.Underlying().Kind == symbols.KindPointer {
		mask, err = mask.Follow()
	} else if err == nil && mask.Type.Underlying().Kind == symbols.KindArray {
		mask, err = mask.Index(0)
	}
	if err == nil {
		mask, err = mask.Member("bits")
	}
	if err != nil {
		miss.add("affinity", err)
		return nil
	}
	var cpus []int
	bits := r.k.PtrSize() * 8
	for i := 0; i*bits < r.k.CPUs(); i++ {
		word, err := mask.Index(uint64(i))
		if err != nil {
			miss.add("affinity", err)
			return cpus
		}
		v, err := word.Uint()
		if err != nil {
			miss.add("affinity", err)
			return cpus
		}
		for b := range min(bits, r.k.CPUs()-i*bits) {
			if v>>b&1 != 0 {
				cpus = append(cpus, i*bits+b)
			}
		}
	}
	return cpus
}

// ArchCounts are interrupts without a number, as /proc/interrupts has them behind the others.
type ArchCounts struct {
	Label, What string
	Counts      []uint64 // by CPU, or one alone that is of all
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
		for cpu := range k.CPUs() {
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
