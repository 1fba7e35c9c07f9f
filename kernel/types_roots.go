package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// roots are the variables that questions to a kernel begin with, and their types. BTF has
// types of per-CPU variables only, and none at all before pahole 1.17 (Debian's 5.10). A
// variable that a kernel does not have is not asked for. "[]" is an array that has as many
// elements as another variable or the configuration says.
var roots = map[string]string{
	// Tasks: init/init_task.c, kernel/pid.c, kernel/sched/core.c.
	"init_task":       "struct task_struct",
	"init_pid_ns":     "struct pid_namespace",
	"runqueues":       "struct rq", // per-CPU
	"root_task_group": "struct task_group",
	"init_cred":       "struct cred",
	"init_files":      "struct files_struct",
	"init_fs":         "struct fs_struct",

	// Name spaces: include/linux/nsproxy.h.
	"init_nsproxy":   "struct nsproxy",
	"init_uts_ns":    "struct uts_namespace",
	"init_ipc_ns":    "struct ipc_namespace",
	"init_user_ns":   "struct user_namespace",
	"init_cgroup_ns": "struct cgroup_namespace",
	"init_net":       "struct net",

	// CPUs: kernel/cpu.c; before 4.5 the bits alone (cpu_online_bits).
	"__cpu_possible_mask":      "struct cpumask",
	"__cpu_present_mask":       "struct cpumask",
	"__cpu_online_mask":        "struct cpumask",
	"__cpu_active_mask":        "struct cpumask",
	"__num_online_cpus":        "atomic_t",
	"nr_cpu_ids":               "unsigned int",
	"__per_cpu_offset":         "unsigned long[]",
	"tick_cpu_sched":           "struct tick_sched",
	"irq_stat":                 "irq_cpustat_t",
	"kernel_cpustat":           "struct kernel_cpustat",
	"vm_event_states":          "struct vm_event_state",
	"pcpu_hot":                 "struct pcpu_hot", // x86, 6.2 to 6.14
	"panic_cpu":                "atomic_t",
	"linux_banner":             "char[]",
	"saved_command_line":       "char *",
	"system_state":             "enum system_states",
	"nr_threads":               "int",
	"total_forks":              "unsigned long",
	"panic_timeout":            "int",
	"panic_on_oops":            "int",
	"crash_notes":              "void *", // a per-CPU pointer
	"tainted_mask":             "unsigned long",
	"kexec_crash_image":        "struct kimage *",
	"oops_in_progress":         "int",
	"hwerr_data":               "struct hwerr_info", // 6.19 on
	"modules":                  "struct list_head",
	"btf_modules":              "struct list_head",
	"unloaded_tainted_modules": "struct list_head",

	// Memory: mm/page_alloc.c, mm/vmstat.c, mm/vmalloc.c, mm/swapfile.c, mm/slab_common.c.
	"contig_page_data": "struct pglist_data",
	"max_pfn":          "unsigned long",
	"vmemmap_base":     "unsigned long",
	"page_offset_base": "unsigned long",
	"vmalloc_base":     "unsigned long",
	"vm_node_stat":     "atomic_long_t[]", // 4.8 on
	"vm_zone_stat":     "atomic_long_t[]", // 4.8 on
	"vm_stat":          "atomic_long_t[]", // before
	"vm_numa_event":    "atomic_long_t[]", // 5.14 on
	"_totalram_pages":  "atomic_long_t",   // 5.0 on
	"totalram_pages":   "unsigned long",   // before
	"nr_swapfiles":     "unsigned int",
	"nr_swap_pages":    "atomic_long_t",
	"total_swap_pages": "long",
	"mem_section":      "struct mem_section *[]",
	"node_data":        "struct pglist_data *[]",
	"swap_info":        "struct swap_info_struct *[]",
	"slab_caches":      "struct list_head",
	"vmap_area_list":   "struct list_head",   // … 6.8
	"nr_vmap_nodes":    "int",                // 6.9 on
	"vmap_nodes":       "struct vmap_node *", // likewise
	"hstates":          "struct hstate[]",
	"vm_committed_as":  "struct percpu_counter",
	"init_mm":          "struct mm_struct",
	"swapper_spaces":   "struct address_space *[]", // … 6.17

	// Interrupts and time: kernel/irq/irqdesc.c, kernel/time.
	"sparse_irqs":       "struct maple_tree",       // 6.5 on
	"irq_desc_tree":     "struct xarray",           // … 6.4
	"irq_desc":          "struct irq_desc[]",       // without SPARSE_IRQ
	"nr_irqs":           "int",                     // … 7.1
	"total_nr_irqs":     "unsigned int",            // 7.2 on
	"timer_bases":       "struct timer_base[]",     // per-CPU
	"hrtimer_bases":     "struct hrtimer_cpu_base", // per-CPU
	"tk_core":           "struct tk_data",          // 6.13 to 6.16; of a struct without a name before
	"timekeeper_data":   "struct tk_data[]",        // 6.17 on
	"shadow_timekeeper": "struct timekeeper",       // … 6.12
	"jiffies":           "unsigned long",
	"jiffies_64":        "u64",
	"avenrun":           "unsigned long[]",

	// Work and RCU: kernel/workqueue.c, kernel/rcu/tree.c.
	"workqueues":       "struct list_head",
	"worker_pool_idr":  "struct idr",
	"cpu_worker_pools": "struct worker_pool[]", // per-CPU
	"rcu_state":        "struct rcu_state",     // 4.20 on
	"rcu_sched_state":  "struct rcu_state",     // before
	"rcu_data":         "struct rcu_data",      // per-CPU

	// Files, network, devices.
	"super_blocks":       "struct list_head",
	"file_systems":       "struct file_system_type *",
	"net_namespace_list": "struct list_head",
	"tcp_hashinfo":       "struct inet_hashinfo",
	"udp_table":          "struct udp_table",
	"block_class":        "struct class",
	"cgrp_dfl_root":      "struct cgroup_root",
	"init_css_set":       "struct css_set",
}

// Global is a variable of the kernel with its type: the memory does not tell the types of
// variables, a table of the roots that are needed does. A variable of each CPU is asked for
// with PerCPU. The error wraps symbols.ErrNoSymbol, ErrNoType, or the reason of package phys.
func (k *Kernel) Global(ts symbols.Types, name string) (Object, error) {
	return k.root(ts, name)
}

// PerCPU is the variable of one CPU: its symbol, and the offset of that CPU's area, modulo
// the width of a pointer (include/asm-generic/percpu.h).
func (k *Kernel) PerCPU(ts symbols.Types, name string, cpu int) (Object, error) {
	o, err := k.root(ts, name)
	if err != nil {
		return Object{}, err
	}
	o.Addr, err = k.PerCPUAddr(o.Addr, cpu)
	return o, err
}

// perCPU tells whether each CPU has a variable of its own.
func (k *Kernel) perCPU(s symbols.Symbol) bool {
	start, err1 := k.Symbol("__per_cpu_start")
	end, err2 := k.Symbol("__per_cpu_end")
	return err1 == nil && err2 == nil && s.Addr >= start.Addr && s.Addr < end.Addr
}

func (k *Kernel) root(ts symbols.Types, name string) (Object, error) {
	s, err := k.Symbol(name)
	if err != nil {
		return Object{}, err
	}
	t, err := k.rootType(k.ctx, ts, s)
	if err != nil {
		return Object{}, fmt.Errorf("variable %s: %w", name, err)
	}
	return k.Object(t, s.Addr), nil
}

// rootType is the type of a variable: of the per-CPU ones BTF knows it since pahole 1.17,
// of others the table does, and of all debug information, if there is any.
func (k *Kernel) rootType(ctx context.Context, ts symbols.Types, s symbols.Symbol) (*symbols.Type, error) {
	if _, debug := ts.(*dwarf.Types); !debug {
		if found, err := ts.ByName(s.Name, symbols.KindVar); err == nil {
			return found[0].Elem(), nil
		} else if !errors.Is(err, symbols.ErrNoType) {
			return nil, err
		}
	}
	t, err := k.tableType(ts, s.Name)
	if errors.Is(err, symbols.ErrNoType) {
		return k.debugVariable(ctx, s)
	}
	return t, err
}

// tableType is the type of a variable by the table.
func (k *Kernel) tableType(ts symbols.Types, name string) (*symbols.Type, error) {
	spelled, ok := roots[name]
	if !ok {
		return nil, symbols.ErrNoType
	}
	spelled, array := strings.CutSuffix(spelled, "[]")
	base := strings.TrimRight(spelled, "* ")
	t, err := symbols.Find(ts, base)
	if err != nil {
		return nil, err
	}
	for range strings.Count(spelled, "*") {
		t = t.PointerTo(k.ptrSize())
	}
	if array {
		t = t.ArrayOf(0)
	}
	return t, nil
}

// debugVariable is the type that debug information has of a variable of the kernel or of a
// module. Per-CPU variables are not moved as others are (see KASLR): their address is tried
// as it is, too.
func (k *Kernel) debugVariable(ctx context.Context, s symbols.Symbol) (*symbols.Type, error) {
	ts, err := k.debugTypes(ctx, s.Module)
	if err != nil {
		if errors.Is(err, dwarf.ErrNoDebug) {
			err = symbols.ErrNoType
		}
		return nil, err
	}
	d, err := k.DebugFile(ctx, s.Module)
	if err != nil {
		return nil, err
	}
	addrs := []uint64{s.Addr}
	if at, ok := d.ToFile(s.Addr); ok {
		addrs = append(addrs, at)
	}
	return ts.Variable(s.Name, addrs...)
}
