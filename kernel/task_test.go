package kernel_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// statTasks are the tasks of the guest's /proc/PID/task/TID/stat, by TID, as "comm ppid".
// A kworker's name has its last work behind it, and kernel threads can have long names;
// in memory both are cut.
func statTasks(text string) map[int]string {
	out := make(map[int]string)
	for line := range strings.Lines(text) {
		var pid int
		open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
		if open < 0 || end < open {
			continue
		}
		words := strings.Fields(line[:open])
		rest := strings.Fields(line[end+1:])
		if len(words) == 0 || len(rest) < 2 {
			continue
		}
		fmt.Sscan(words[len(words)-1], &pid)
		out[pid] = taskName(line[open+1:end]) + " " + rest[1]
	}
	return out
}

// taskName is a name as far as both sides can agree on it.
func taskName(comm string) string {
	if strings.HasPrefix(comm, "kworker") {
		return "kworker"
	}
	return comm[:min(len(comm), 15)]
}

// gone are the threads of the recorder's file system, which it unmounts before the crash;
// kworkers come and go.
func gone(name string) bool {
	return strings.HasPrefix(name, "kworker") || strings.HasPrefix(name, "jbd2/vda") || strings.HasPrefix(name, "ext4")
}

// compareTasks holds every task against the guest's own list.
func compareTasks(t *testing.T, k *kernel.Kernel, stat string) {
	t.Helper()
	want, got := statTasks(stat), make(map[int]string)
	running := 0
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Errorf("task %d: %v", task.PID, err)
		}
		if task.OnCPU {
			running++
		}
		if task.PID != 0 {
			got[task.PID] = taskName(task.Comm) + " " + fmt.Sprint(task.PPID)
		}
	}
	for _, pid := range slices.Sorted(maps.Keys(want)) {
		if got[pid] != want[pid] && (got[pid] != "" || !gone(want[pid])) {
			t.Errorf("task %d is %q, was %q", pid, got[pid], want[pid])
		}
	}
	for pid, name := range got {
		if want[pid] == "" && !gone(name) {
			t.Errorf("task %d %q is not in /proc", pid, name)
		}
	}
	if len(got) < 100 || running != k.CPUs() {
		t.Errorf("%d tasks, %d of them running on %d CPUs", len(got), running, k.CPUs())
	}
}

// TestTasks: pid, comm and ppid of the committed dump equal the guest's /proc.
func TestTasks(t *testing.T) {
	tr := truth{t, tiny + "/truth"}
	compareTasks(t, openKernel(t, tiny+"/vmcore.zlib"), tr.text("stat.txt"))
}

// TestTaskMemory: what processes use equals /proc/PID/status of the guest.
func TestTaskMemory(t *testing.T) {
	k, tr := openKernel(t, tiny+"/vmcore.zlib"), truth{t, tiny + "/truth"}
	want := residentSets(tr.text("status.txt"))
	equal := 0
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if kib, ok := want[task.PID]; ok && kib*1024 == task.RSS {
			equal++
		}
	}
	if equal*10 < len(want)*9 { // some ran on until the crash
		t.Errorf("RSS of %d of %d processes is that of /proc", equal, len(want))
	}
}

// residentSets reads Pid and VmRSS of /proc/PID/status texts, one behind the other.
func residentSets(text string) map[int]uint64 {
	out := make(map[int]uint64)
	pid := 0
	for line := range strings.Lines(text) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "Pid: %d", &pid); n == 1 {
			continue
		}
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			out[pid] = kib
		}
	}
	return out
}

// TestLostTask: what could not be read of a task is told to be unknown, and is no task 0 that
// runs on CPU 0.
func TestLostTask(t *testing.T) {
	lost := guesttest.Tasks(t, guesttest.Tiny(t).Kernel)[1].Addr
	k := guesttest.Altered(t, func(_ *kernel.Kernel, m guesttest.Memory) { m.Lose(lost) })
	found := false
	for task, err := range k.Tasks(t.Context()) {
		if task.Addr != lost {
			continue
		}
		found = true
		if !errors.Is(err, phys.ErrLost) || task.PID != -1 || task.TGID != -1 || task.PPID != -1 || task.CPU != -1 || task.OnCPU ||
			task.State != kernel.StateUnknown || task.State.String() != "??" || task.Comm != "" || !errors.Is(task.MemoryErr, phys.ErrLost) {
			t.Errorf("%+v, %v", task, err)
		}
	}
	if !found {
		t.Error("the task is not there")
	}
	if slices.Contains(kernel.TaskStates(), "??") {
		t.Error("a state that can be asked for")
	}
}

// TestTaskStates: the letters are those of /proc, the words those of crash.
func TestTaskStates(t *testing.T) {
	for state, want := range map[kernel.TaskState]string{
		0: "R RU", 1: "S IN", 0x2001: "S IN", 2: "D UN", 0x102: "D UN", 0x2102: "D UN", 0x402: "I ID",
		4: "T ST", 8: "t TR", 0x20: "Z ZO", 0x21: "Z ZO", 0x10: "X DE", 0x40: "P PA",
	} {
		if got := state.Letter() + " " + state.String(); got != want {
			t.Errorf("%#x is %s, want %s", uint64(state), got, want)
		}
	}
	if !kernel.TaskState(2).Blocked() || kernel.TaskState(0x402).Blocked() || kernel.TaskState(1).Blocked() {
		t.Error("Blocked")
	}
}
