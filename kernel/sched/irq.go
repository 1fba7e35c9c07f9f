package sched

import (
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
	Chained  bool     // it only leads on to other interrupts
	Hidden   bool     // not in /proc/interrupts
	Affinity []int    // CPUs that may serve it, nil if not known
	Counts   []uint64 // of each of Kernel.OnlineCPUs
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
	for _, cpu := range r.k.OnlineCPUs() {
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
	bits, ids := r.k.PtrSize()*8, 1+slices.Max(append([]int{-1}, r.k.OnlineCPUs()...))
	for i := 0; i*bits < ids; i++ {
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
		for b := range min(bits, ids-i*bits) {
			if v>>b&1 != 0 {
				cpus = append(cpus, i*bits+b)
			}
		}
	}
	return cpus
}
