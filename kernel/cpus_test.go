package kernel_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
)

// firstOff is a machine whose first CPU was switched off: the notes are of the second alone.
func firstOff(t *testing.T, masks ...string) *kernel.Kernel {
	t.Helper()
	return guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		for _, name := range masks {
			s, err := k.Symbol(name)
			if err != nil {
				t.Fatal(err)
			}
			m.Put(s.Addr, binary.LittleEndian.AppendUint64(nil, 0b10))
		}
		m.LoseRegisters(0)
	})
}

// TestOfflineCPU: numbers of CPUs are told by the kernel's masks, not counted.
func TestOfflineCPU(t *testing.T) {
	k := firstOff(t, "__cpu_online_mask", "__cpu_active_mask")
	if got := k.OnlineCPUs(); !slices.Equal(got, []int{1}) || k.CPUs() != 1 {
		t.Fatalf("online: %d, %d CPUs", got, k.CPUs())
	}
	if got := k.PossibleCPUs(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("possible: %d", got)
	}
	if got, err := k.ParseCPUs("a"); err != nil || !slices.Equal(got, []int{1}) {
		t.Errorf("all: %d, %v", got, err)
	}
	if got, err := k.ParseCPUs("0-1"); err != nil || !slices.Equal(got, []int{0, 1}) {
		t.Errorf("0-1: %d, %v", got, err)
	}
	notes, err := k.Dump().CPUs()
	if err != nil || len(notes) != 1 || !slices.Equal(k.NoteCPUs(), []int{1}) {
		t.Fatalf("%d notes, of CPUs %d: %v", len(notes), k.NoteCPUs(), err)
	}
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case task.OnCPU && task.CPU == 1:
			regs, err := k.Registers(task)
			if err != nil || regs.PC() != notes[0].Regs.PC() {
				t.Errorf("registers of CPU 1: %#x, %v", regs.PC(), err)
			}
		case task.OnCPU:
			t.Errorf("%s ran on CPU %d, which was off", task.Comm, task.CPU)
		case task.Idle && task.CPU == 0:
			if st, err := u.Stack(t.Context(), task); err != nil || !errors.Is(st.Why, kernel.ErrOffline) {
				t.Errorf("idle task of CPU 0: %d frames, %v, %v", len(st.Frames), st.Why, err)
			}
		}
	}
}

// TestStoppedCPU: a CPU that the panic stopped has left one mask, and was at work.
func TestStoppedCPU(t *testing.T) {
	k := firstOff(t, "__cpu_online_mask")
	if got := k.OnlineCPUs(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("online: %d", got)
	}
}

// TestNumberedNotes: the 1 that QEMU writes into the note of the first CPU is not init.
func TestNumberedNotes(t *testing.T) {
	k := guesttest.Altered(t, func(_ *kernel.Kernel, m guesttest.Memory) { m.NumberRegisters() })
	notes, err := k.Dump().CPUs()
	if err != nil || len(notes) != 2 || notes[0].Regs.PID != 1 || notes[1].Regs.PID != 2 {
		t.Fatalf("notes: %+v, %v", notes, err)
	}
	for cpu := range notes {
		for pid := range 4 {
			regs, err := k.Registers(kernel.Task{PID: pid, CPU: cpu})
			if err != nil || regs.PC() != notes[cpu].Regs.PC() {
				t.Errorf("PID %d on CPU %d: %#x, %v", pid, cpu, regs.PC(), err)
			}
		}
	}
}
