package lock

import (
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// waits are what all sleeping tasks of a kernel wait for, by comm.
func waits(t *testing.T, k *kernel.Kernel) map[string]Wait {
	t.Helper()
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var tasks []kernel.Task
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	f, err := New(t.Context(), k, tasks)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Wait{}
	for _, task := range tasks {
		s, _ := u.Stack(t.Context(), task)
		if w, ok := f.Wait(task, s); ok {
			out[task.Comm] = w
		}
	}
	return out
}

// TestGuests: every process of the guest is called after what it waits for.
func TestGuests(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		all := waits(t, g.Kernel)
		for comm, want := range map[string]struct {
			kind    Kind
			owner   string
			purpose string
		}{
			"w-vfork":      {Completion, "w-vfork-child", "the child of vfork to exec or exit"},
			"w-flock-wait": {FileLock, "w-flock-hold", ""},
			"w-posix-wait": {FileLock, "w-posix-hold", ""},
			"w-futex":      {Futex, "", ""},
			"thr-01":       {Futex, "", ""},
			"w-wait4":      {Child, "", ""},
			"w-nanosleep":  {Timer, "", ""},
			"w-poll":       {Events, "", ""},
			"w-select":     {Events, "", ""},
			"w-epoll":      {Events, "", ""},
			"w-pipe":       {Queue, "", ""},
		} {
			w, ok := all[comm]
			owner := ""
			if len(w.Owners) == 1 {
				owner = w.Owners[0].Task.Comm
			}
			if !ok || w.Kind != want.kind || owner != want.owner || w.Purpose != want.purpose {
				t.Errorf("%s: %v %+v, owner %q", comm, ok, w, owner)
			}
			if want.owner != "" && (w.How != ByWaiter || w.Lock == 0 || len(w.Waiters) != 1 || w.Waiters[0] != w.Task.Addr) {
				t.Errorf("%s: lock %#x by %s, %d waiters", comm, w.Lock, w.How, len(w.Waiters))
			}
		}
		for comm, w := range all {
			if w.Kind.Held() && w.Kind != FileLock {
				t.Errorf("%s waits for a %s: nobody in the guest does", comm, w)
			}
		}
		if w := all["kauditd"]; w.Task.Addr != 0 && w.Name != "kauditd_wait" && g.Name != "arm64" { // that names no data
			t.Errorf("kauditd waits for %s", w)
		}
	})
}

func TestSleep(t *testing.T) {
	frames := func(names ...string) (out []kernel.Frame) {
		for _, n := range names {
			f := kernel.Frame{Kind: kernel.FrameCall}
			f.Symbol.Name = n
			out = append(out, f)
		}
		return out
	}
	for _, c := range []struct {
		stack   string
		kind    Kind
		purpose string
	}{
		{"__schedule schedule schedule_preempt_disabled __mutex_lock.constprop.0 drv_read", Mutex, ""},
		{"__schedule schedule schedule_preempt_disabled __ww_mutex_lock.constprop.0 drv_read", Mutex, ""},
		{"__schedule schedule schedule_preempt_disabled rwsem_down_write_slowpath down_write do_exit", RWSem, ""},
		{"__schedule schedule rwsem_down_failed_common rwsem_down_read_failed call_rwsem_down_read_failed down_read", RWSem, ""},
		{"__schedule schedule schedule_timeout ___down_common __down down drv_open", Semaphore, ""},
		{"__schedule schedule schedule_timeout __wait_for_common wait_for_completion __flush_work drv_stop", Completion, "a work item to end"},
		{"__schedule schedule schedule_timeout __wait_for_common __wait_rcu_gp synchronize_rcu drv_exit", Completion, "an RCU grace period"},
		{"__schedule schedule io_schedule folio_wait_bit_common filemap_get_pages filemap_read", Page, "a page of a file"},
		{"__schedule schedule io_schedule bit_wait_io __wait_on_bit out_of_line_wait_on_bit __wait_on_buffer ext4_bread", Bit, "a block of a device"},
		{"__schedule schedule io_schedule drv_wait", IO, ""},
		{"__schedule schedule jbd2_log_wait_commit ext4_fsync_journal", Event, "a journal commit (jbd2)"},
		{"__schedule schedule rt_mutex_slowlock_block rt_mutex_lock drv", RTMutex, ""},
		{"__schedule schedule percpu_rwsem_wait __percpu_down_read cgroup_fork", PercpuRWSem, ""},
		{"__schedule schedule drv_thread kthread", Event, ""},
	} {
		fs := frames(strings.Fields(c.stack)...)
		kind, at, ok := sleep(fs)
		if got := purpose(fs, at); !ok || kind != c.kind || got != c.purpose {
			t.Errorf("%s: %s, %q, %v", c.stack, kind, got, ok)
		}
	}
	if kind, _, ok := sleep(frames("native_safe_halt", "default_idle")); ok {
		t.Error("a CPU that idles waits for", kind)
	}
}

func TestString(t *testing.T) {
	for want, w := range map[string]Wait{
		"mutex ck_lock_a [crashkit]":                 {Kind: Mutex, Lock: 1, Name: "ck_lock_a [crashkit]"},
		"rwsem 0x1000 to write":                      {Kind: RWSem, Lock: 0x1000, Mode: "write"},
		"an RCU grace period (completion 0x1000)":    {Kind: Completion, Lock: 0x1000, Purpose: "an RCU grace period"},
		"percpu rwsem: a super block that is frozen": {Kind: PercpuRWSem, Purpose: "a super block that is frozen"},
		"event": {Kind: Event},
	} {
		if w.String() != want {
			t.Errorf("%s, want %s", w, want)
		}
	}
}
