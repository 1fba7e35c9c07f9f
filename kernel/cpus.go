package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// OnlineCPUs are the numbers of the processors that were at work, ascending. They need not
// be 0 to n-1: some may have been switched off (nosmt, maxcpus=, hotplug). They are those
// of __cpu_online_mask and of __cpu_active_mask (cpu_online_bits and cpu_active_bits before
// 4.5): who is stopped by a panic, or on arm64 by the crash, leaves the first mask and not
// the second. Where the masks cannot be had each set of registers in the notes is a CPU.
func (k *Kernel) OnlineCPUs() []int {
	cpus, _ := k.online()
	return cpus
}

// CPUs is the number of processors that were at work: of OnlineCPUs.
func (k *Kernel) CPUs() int { return len(k.OnlineCPUs()) }

// online are OnlineCPUs, and the error tells why the masks do not say so.
func (k *Kernel) online() ([]int, error) {
	k.onlineOnce.Do(func() {
		k.onlineCPUs, k.onlineErr = k.cpuMask("__cpu_online_mask", "cpu_online_bits")
		active, aerr := k.cpuMask("__cpu_active_mask", "cpu_active_bits")
		k.onlineCPUs = append(k.onlineCPUs, active...)
		slices.Sort(k.onlineCPUs)
		k.onlineCPUs = slices.Compact(k.onlineCPUs)
		notes, _ := k.dump.CPUs()
		if k.onlineErr == nil && len(k.onlineCPUs) == 0 {
			k.onlineErr = fmt.Errorf("no CPU is online: %w", phys.ErrCorrupt)
		}
		if k.onlineErr == nil && (aerr == nil || len(notes) <= len(k.onlineCPUs)) {
			return
		}
		k.onlineCPUs = nil
		for cpu := range notes {
			k.onlineCPUs = append(k.onlineCPUs, cpu)
		}
		if len(notes) == 0 && k.uniprocessor() {
			k.onlineCPUs = []int{0}
		}
	})
	return k.onlineCPUs, k.onlineErr
}

// cpuMask reads a mask of processors under the first of these names that the kernel has:
// an array of longs, as many as nr_cpu_ids says.
func (k *Kernel) cpuMask(names ...string) (cpus []int, err error) {
	ids, err := k.variable("nr_cpu_ids", 4)
	if err == nil && (ids == 0 || ids > maxCPUs) {
		err = fmt.Errorf("nr_cpu_ids is %d: %w", ids, phys.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	var sym symbols.Symbol
	for _, name := range names {
		if sym, err = k.Symbol(name); !errors.Is(err, symbols.ErrNoSymbol) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	long := uint64(k.ptrSize())
	for first := uint64(0); first < ids; first += 8 * long {
		word, err := k.pointer(sym.Addr + first/8)
		if err != nil {
			return nil, err
		}
		for bit := range min(8*long, ids-first) {
			if word>>bit&1 != 0 {
				cpus = append(cpus, int(first+bit))
			}
		}
	}
	return cpus, nil
}

// offline tells that the kernel had switched the processor off.
func (k *Kernel) offline(cpu int) bool {
	cpus, err := k.online()
	return err == nil && !slices.Contains(cpus, cpu)
}

// idleCPUs are the processors whose idle tasks are counted: as in crash those up to the last
// that is online, whether they are or not. A machine that could have hundreds more has idle
// tasks for them as well.
func (k *Kernel) idleCPUs() (cpus []int) {
	online := k.OnlineCPUs()
	for _, cpu := range k.PossibleCPUs() {
		if len(online) > 0 && cpu <= online[len(online)-1] {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// NoteCPUs are the numbers of the processors whose registers the notes hold, in the notes'
// order. The kernel leaves a note of each that was online, QEMU one of each that the machine
// has. Where their number is neither, some did not stop, and the position is all there is.
func (k *Kernel) NoteCPUs() []int {
	notes, _ := k.dump.CPUs()
	if online := k.OnlineCPUs(); len(online) == len(notes) {
		return slices.Clone(online)
	}
	cpus := make([]int, len(notes))
	for i := range cpus {
		cpus[i] = i
	}
	return cpus
}

// ofQEMU tells whether the notes have numbers of CPUs, counted from 1, in the place of
// PIDs. That of the first is not init's.
func ofQEMU(notes []vmcore.CPU) bool {
	for i, c := range notes {
		if int(c.Regs.PID) != i+1 {
			return false
		}
	}
	return true
}

// noteOf is the index of the note that the CPU of a running task left. The kernel writes
// the task's PID into it and skips CPUs that did not stop; QEMU writes the CPU's number and
// skips none.
func (k *Kernel) noteOf(notes []vmcore.CPU, t Task) int {
	at := slices.Index(k.NoteCPUs(), t.CPU)
	if at >= len(notes) {
		at = -1
	}
	if at >= 0 && (int(notes[at].Regs.PID) == t.PID || ofQEMU(notes)) {
		return at
	}
	for i, c := range notes {
		if t.PID != 0 && int(c.Regs.PID) == t.PID {
			return i
		}
	}
	return at
}
