package kernel_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// statFields are the fields of /proc/PID/task/TID/stat behind the name, by TID: 0 is the
// state.
func statFields(text string) map[int][]string {
	out := make(map[int][]string)
	for line := range strings.Lines(text) {
		var tid int
		open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
		if open < 0 || end < open {
			continue
		}
		words := strings.Fields(line[:open])
		fmt.Sscan(words[len(words)-1], &tid)
		out[tid] = strings.Fields(line[end+1:])
	}
	return out
}

// Fields of stat by their place behind the name.
const (
	statUtime = 11
	statStime = 12
	statStart = 19
)

// tick is a clock tick of /proc: 1/100 s on all machines (USER_HZ).
const tick = 10 * time.Millisecond

// TestTaskTimes: when each task began equals /proc to the tick, what it used until then is no
// more than at the crash, and it last ran before that.
func TestTaskTimes(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		stat := statFields(g.Truth(t, "stat.txt"))
		compared, used, up := 0, 0, g.System(t.Context()).Uptime
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			f := stat[pid]
			if f == nil {
				continue
			}
			var utime, stime, start int64
			fmt.Sscan(f[statUtime]+" "+f[statStime]+" "+f[statStart], &utime, &stime, &start)
			at, err := task.Times()
			if err != nil {
				t.Fatal(err)
			}
			if int64(at.Boot/tick) != start {
				t.Errorf("task %d %s began at %v, was %d ticks", pid, task.Comm, at.Boot, start)
			}
			// /proc divides the exact run time by the ratio of the ticks.
			if now := time.Duration(utime+stime) * tick; now > max(at.Run, at.User+at.System)+2*tick || at.Run > now+5*time.Second {
				t.Errorf("task %d %s used %v, and %v before the crash", pid, task.Comm, at, now)
			} else if now > 0 {
				used++
			}
			if at.Arrival > up+time.Minute || at.Boot > up || task.Start > up {
				t.Errorf("task %d %s began at %v and came to a CPU at %v, up for %v", pid, task.Comm, at.Boot, at.Arrival, up)
			}
			compared++
		}
		t.Logf("%d starts equal, %d used CPU", compared, used)
		if compared < 100 || used < 5 {
			t.Errorf("%d tasks compared, of which %d used CPU", compared, used)
		}
	})
}

// procStrings reads lines of "PID text" with NUL as \0.
func procStrings(text string) map[int][]string {
	out := make(map[int][]string)
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var pid int
		fmt.Sscan(word, &pid)
		if rest != "" {
			out[pid] = strings.Split(strings.TrimSuffix(rest, `\0`), `\0`)
		}
	}
	return out
}

// TestArguments: command line and environment equal those of /proc where the pages are in
// the dump, and where not the reason says so.
func TestArguments(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		lines, envs := procStrings(g.Truth(t, "cmdlines.txt")), procStrings(g.Truth(t, "environ.txt"))
		equal, left := 0, 0
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			args, env, err := task.Arguments()
			switch {
			case phys.Reason(err) == phys.ErrExcluded:
				left++
			case errors.Is(err, kernel.ErrNoUser):
				if lines[pid] != nil && pid != g.Recorder(t) {
					t.Errorf("task %d %s has no user memory", pid, task.Comm)
				}
			case err != nil:
				t.Errorf("task %d %s: %v", pid, task.Comm, err)
			case pid != task.TGID: // /proc was asked for processes
			case !slices.Equal(args, lines[pid]) || !slices.Equal(env, envs[pid]):
				t.Errorf("task %d %s: %q %q, were %q %q", pid, task.Comm, args, env, lines[pid], envs[pid])
			default:
				equal++
			}
		}
		t.Logf("%d of %d command lines equal, %d left out of the dump", equal, len(lines), left)
		if g.Name == "arm64" && (equal < len(lines) || len(lines) < 40) || g.Name != "arm64" && left+equal < 50 {
			t.Errorf("%d of %d command lines equal, %d left out", equal, len(lines), left)
		}
	})
}

// TestParents: what leads to the parent has the parent's PID.
func TestParents(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		byAddr := map[uint64]kernel.Task{}
		for task, err := range g.Tasks(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			byAddr[task.Addr] = task
		}
		for _, task := range byAddr {
			if up, ok := byAddr[task.Parent]; !ok || up.TGID != task.PPID {
				t.Errorf("task %d: parent %#x is %d, PPID %d", task.PID, task.Parent, up.PID, task.PPID)
			}
		}
	})
}

// TestRunQueue: the queue of each CPU knows its CPU, and what ran there; also in a kernel
// that does not name it.
func TestRunQueue(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		for cpu := range g.CPUs() {
			rq, err := g.RunQueue(t.Context(), cpu)
			if err != nil {
				t.Fatal(err)
			}
			curr, err := rq.Follow("curr")
			if err != nil {
				t.Fatal(err)
			}
			n, err1 := rq.Int("cpu")
			on, err2 := curr.Uint("on_cpu")
			comm, err3 := curr.Text("comm")
			if err := errors.Join(err1, err2, err3); err != nil || int(n) != cpu || on != 1 || cpu == 1 && comm != "w-busy" {
				t.Errorf("CPU %d: queue of CPU %d, %s ran (%d): %v", cpu, n, comm, on, err)
			}
		}
		if _, err := g.RunQueue(t.Context(), 1<<20); err == nil {
			t.Error("CPU 1048576 has a run queue")
		}
	})
}

// unlink takes a task out of the list of its process and out of that of all processes.
func unlink(t *testing.T, m guesttest.Memory, k *kernel.Kernel, task kernel.Task) {
	for _, list := range []string{"tasks", "thread_node"} {
		next, err1 := task.Pointer(list + ".next")
		prev, err2 := task.Pointer(list + ".prev")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		for at, v := range map[uint64]uint64{prev: next, next + 8: prev} {
			b := make([]byte, 8)
			for i := range b {
				b[i] = byte(v >> (8 * i))
			}
			m.Put(at, b)
		}
	}
}

// TestHiddenTasks: a task that somebody took out of the lists is found, and told.
func TestHiddenTasks(t *testing.T) {
	for _, name := range []string{"w-busy", "w-epoll"} { // by the run queue, by the PID
		var hidden kernel.Task
		k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
			for _, task := range guesttest.Tasks(t, k) {
				if task.Comm == name {
					hidden = task
				}
			}
			unlink(t, m, k, hidden)
		})
		var told []error
		found := false
		for task, err := range k.Tasks(t.Context()) {
			if err != nil {
				told = append(told, err)
			}
			found = found || task.Addr == hidden.Addr && task.Comm == name
		}
		if !found || len(told) != 1 || phys.Reason(told[0]) != phys.ErrCorrupt || !strings.Contains(told[0].Error(), "not in the task list") {
			t.Errorf("%s found: %t, told %v", name, found, told)
		}
	}
}

// TestBrokenTaskList: what the list no longer leads to, the PIDs do.
func TestBrokenTaskList(t *testing.T) {
	all := guesttest.Tasks(t, guesttest.Tiny(t).Kernel)
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		m.PutUint(all[2].Object, "tasks.next", 0x1000)
	})
	found, broken := 0, 0
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			broken++
		}
		if task.Addr != 0 && !task.Idle {
			found++
		}
	}
	if found != len(all) || broken != 1 {
		t.Errorf("%d of %d tasks found, %d errors", found, len(all), broken)
	}
}
