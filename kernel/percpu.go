package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// PossibleCPUs are the numbers of the processors that have a per-CPU area: those that can
// ever be online (__cpu_possible_mask; cpu_possible_bits before 4.5). A kernel that names
// no such mask has those of OnlineCPUs.
func (k *Kernel) PossibleCPUs() []int {
	cpus, err := k.cpuMask("__cpu_possible_mask", "cpu_possible_bits")
	if err != nil || len(cpus) == 0 {
		return slices.Clone(k.OnlineCPUs())
	}
	return cpus
}

// PerCPU is what a per-CPU pointer leads to on one CPU. A NULL pointer is phys.ErrUnmapped.
func (o Object) PerCPU(cpu int, paths ...string) (Object, error) {
	at, err := o.Follow(paths...)
	if err != nil {
		return Object{}, err
	}
	at.Addr, err = o.k.PerCPUAddr(at.Addr, cpu)
	return at, err
}

// PerCPUAddr is where the variable of one CPU lies that a per-CPU pointer leads to: what a
// member marked __percpu holds, or the address of a symbol. A kernel for a single processor
// has its variables where the symbols are.
func (k *Kernel) PerCPUAddr(at uint64, cpu int) (uint64, error) {
	off, err := k.perCPUOffset(cpu)
	if err != nil {
		return 0, err
	}
	return k.clip(at + off), nil
}

// perCPUOffset is an element of __per_cpu_offset.
func (k *Kernel) perCPUOffset(cpu int) (uint64, error) {
	table, err := k.Symbol("__per_cpu_offset")
	if errors.Is(err, symbols.ErrNoSymbol) {
		if k.uniprocessor() {
			return 0, nil
		}
		return k.unnamedPerCPUOffset(cpu, err)
	}
	if err != nil {
		return 0, err
	}
	word := uint64(k.ptrSize())
	if cpu < 0 || table.Size != 0 && uint64(cpu) >= table.Size/word {
		return 0, fmt.Errorf("CPU %d of at most %d: %w", cpu, table.Size/word, phys.ErrLimit)
	}
	off, err := k.pointer(table.Addr + uint64(cpu)*word)
	if err != nil {
		return 0, fmt.Errorf("per-CPU area of CPU %d: %w", cpu, err)
	}
	return off, nil
}

// uniprocessor tells a kernel that was built without SMP: it names its data, and no
// processor masks among it.
func (k *Kernel) uniprocessor() bool {
	if _, err := k.Symbol("init_task"); err != nil {
		return false
	}
	_, err := k.Symbol("setup_per_cpu_areas")
	return errors.Is(err, symbols.ErrNoSymbol)
}
