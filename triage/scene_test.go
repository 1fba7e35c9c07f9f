package triage

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/lock"
	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/symbols"
)

// stackIn is a stack of functions; a module stands behind a colon.
func stackIn(functions string) (st kernel.Stack) {
	for i, name := range strings.Fields(functions) {
		f := kernel.Frame{Kind: kernel.FrameCall, SP: uint64(i) * 64}
		f.Symbol.Name, f.Symbol.Module, _ = strings.Cut(name, ":")
		st.Frames = append(st.Frames, f)
	}
	return st
}

func taskAt(pid int, comm string, state kernel.TaskState) (t kernel.Task) {
	t.PID, t.TGID, t.Comm, t.State, t.Addr = pid, pid, comm, state, uint64(pid)<<12
	return t
}

// TestStuckElsewhere: what a CPU that noticed a lockup prints of itself is not what is to
// blame.
func TestStuckElsewhere(t *testing.T) {
	stuck := cpuScene{cpu: 1, task: taskAt(7, "drvd", 0), stack: stackIn("drv_poll:drv drv_loop:drv kthread ret_from_fork")}
	stuck.stack.Frames[0].Kind = kernel.FrameInterrupted
	s := &scene{crash: 0, cpus: []cpuScene{
		{cpu: 0, stack: stackIn("__crash_kexec panic watchdog_hardlockup_check do_idle cpu_startup_entry")}, stuck,
	}}
	zero := 0
	log := &oops.Log{Oopses: []*oops.Oops{{
		Kind: oops.HardLockup, Title: "watchdog: Watchdog detected hard LOCKUP on cpu 1", StuckCPUs: []int{1},
		State: oops.State{CPU: &zero, PID: &zero, Comm: "swapper/0", Trace: []oops.Frame{{Symbol: "panic"}, {Symbol: "do_idle"}}},
	}}}
	r := judgedWithoutState(log, s)
	if v := r.Verdict; v.Culprit == nil || v.Culprit.Function != "drv_poll" || v.Culprit.Module != "drv" || *v.CPU != 1 || v.Task.Comm != "drvd" {
		t.Errorf("%+v, culprit %+v", v, v.Culprit)
	}
}

// TestDied: what a CPU does behind its panic is not how it came to it.
func TestDied(t *testing.T) {
	waiting := stackIn("delay_loop panic drv_give_up:drv drv_write:drv vfs_write")
	waiting.Frames[0].Kind = kernel.FrameInterrupted
	guessed := stackIn("do_idle panic cpu_startup_entry")
	guessed.Frames[1].Kind = kernel.FrameGuess
	for _, c := range []struct {
		st   kernel.Stack
		want string
	}{
		{waiting, "panic"},
		{stackIn("timer_interrupt delay_tsc vpanic panic drv_give_up:drv"), "vpanic"},
		{stackIn("__crash_kexec panic drv_give_up:drv"), "__crash_kexec"},
		{guessed, "do_idle"},
		{stackIn("drv_poll:drv kthread"), "drv_poll"},
	} {
		if got := died(c.st).Frames[0].Symbol.Name; got != c.want {
			t.Errorf("%s: begins with %s, not %s", c.st.Frames[0].Symbol.Name, got, c.want)
		}
	}
	if got := died(kernel.Stack{}); got.Frames != nil {
		t.Errorf("an empty stack: %+v", got)
	}
	// The machine had one CPU switched off: CPU 2 is the second of the list.
	s := &scene{crash: 2, cpus: []cpuScene{{cpu: 0, stack: stackIn("do_idle")}, {cpu: 2, stack: died(waiting), task: taskAt(9, "writer", 0)}}}
	two := 2
	log := &oops.Log{Oopses: []*oops.Oops{{
		Kind: oops.Panic, Title: "Kernel panic - not syncing: no way out",
		State: oops.State{CPU: &two, Trace: []oops.Frame{{Symbol: "panic"}, {Symbol: "drv_give_up"}, {Symbol: "drv_write"}, {Symbol: "vfs_write"}}},
	}}}
	r := judgedWithoutState(log, s)
	if v := r.Verdict; v.Culprit == nil || v.Culprit.Function != "drv_give_up" || *v.CPU != 2 || v.Task == nil || v.Task.Comm != "writer" {
		t.Errorf("%+v, culprit %+v", v, v.Culprit)
	}
}

// TestUnnoticedDeadlock: of a machine that merely hangs the deadlock is told as well.
func TestUnnoticedDeadlock(t *testing.T) {
	a, b := taskAt(10, "writer", 2), taskAt(11, "flusher", 2)
	s := &scene{crash: -1, waits: []lock.Wait{
		{Task: a, Kind: lock.Mutex, Lock: 0x1000, Name: "one", Owners: []lock.Owner{{Task: b}}},
		{Task: b, Kind: lock.Mutex, Lock: 0x2000, Name: "two", Owners: []lock.Owner{{Task: a}}},
	}}
	s.graph = lock.NewGraph(s.waits)
	r := &Report{Verdict: Verdict{Kind: oops.None, Detail: "no report"}}
	s.addDeadlocks(r)
	if len(r.Findings) != 1 || r.Findings[0].ID != "deadlock" || !strings.HasPrefix(r.Verdict.Detail, "no report; deadlock of ") {
		t.Errorf("%q, %+v", r.Verdict.Detail, r.Findings)
	}
	s.graph = lock.NewGraph(s.waits[:1])
	r = &Report{Verdict: Verdict{Kind: oops.None, Detail: "no report"}}
	if s.addDeadlocks(r); len(r.Findings) != 0 || r.Verdict.Detail != "no report" {
		t.Errorf("no deadlock: %q, %+v", r.Verdict.Detail, r.Findings)
	}
}

// TestLastCalls: behind a call that does not return the next function begins.
func TestLastCalls(t *testing.T) {
	s := &scene{table: symbols.New([]symbols.Symbol{
		{Name: "drv_give_up", Addr: 0xffffffff81000000, Type: 't'},
		{Name: "drv_param_set", Addr: 0xffffffff81000020, Type: 't'},
		{Name: "kretprobe_trampoline", Addr: 0xffffffff81000040, Type: 't'},
		{Name: "end", Addr: 0xffffffff81000060, Type: 't'},
	})}
	trace := []oops.Frame{
		{Symbol: "drv_param_set"},
		{Symbol: "drv_param_set", Size: 0x20},
		{Symbol: "kretprobe_trampoline"},
		{Symbol: "drv_param_set", Unsure: true},
		{Symbol: "drv_param_set", Offset: 8},
		{Symbol: "gone"},
	}
	want := slices.Clone(trace)
	want[1] = oops.Frame{Symbol: "drv_give_up", Offset: 0x20, Size: 0x20}
	s.lastCalls(trace)
	if !reflect.DeepEqual(trace, want) {
		t.Errorf("%+v, want %+v", trace, want)
	}
}

// judgedWithoutState judges by a scene that has no kernel.
func judgedWithoutState(log *oops.Log, s *scene) *Report {
	o := gathered(log)
	s.amend(o)
	v, _ := judge(o, s)
	return &Report{Verdict: v, Signature: signatureOf(o, &v)}
}

// TestHeldUp: of tasks that wait for each other in a row the last owner is to blame, and
// those behind it are not.
func TestHeldUp(t *testing.T) {
	const blocked = 2
	tasks := []kernel.Task{taskAt(10, "writer", blocked), taskAt(11, "flusher", blocked), taskAt(12, "drvd", 1)}
	s := &scene{crash: -1, tasks: tasks, stacks: []kernel.Stack{
		stackIn("__schedule schedule rwsem_down_write_slowpath down_write vfs_unlink do_unlinkat"),
		stackIn("__schedule schedule __mutex_lock drv_flush:drv kthread"),
		stackIn("__schedule schedule_timeout drv_wait_device:drv drv_thread:drv kthread"),
	}}
	s.waits = []lock.Wait{
		{Task: tasks[0], Kind: lock.RWSem, Lock: 0x1000, Mode: "write", Owners: []lock.Owner{{Task: tasks[1]}}},
		{Task: tasks[1], Kind: lock.Mutex, Lock: 0x2000, Name: "drv_mutex [drv]", Owners: []lock.Owner{{Task: tasks[2]}}},
	}
	s.graph = lock.NewGraph(s.waits)
	pid := 10
	log := &oops.Log{Oopses: []*oops.Oops{{
		Kind: oops.HungTask, Title: "INFO: task writer:10 blocked for more than 120 seconds.",
		Tasks: []oops.Task{{Comm: "writer", PID: &pid, Seconds: 120}},
	}}}
	r := judgedWithoutState(log, s)
	v := r.Verdict
	if v.Culprit == nil || v.Culprit.Function != "drv_wait_device" || v.Culprit.Module != "drv" || v.Confidence != Likely {
		t.Errorf("%+v, culprit %+v", v, v.Culprit)
	}
	if want := "flusher (11) waits for mutex drv_mutex [drv] held by drvd (12)"; v.Detail != want {
		t.Errorf("%q, want %q", v.Detail, want)
	}
}

// TestInterrupts reads the flags of both processors.
func TestInterrupts(t *testing.T) {
	for _, c := range []struct {
		reg string
		v   uint64
		on  bool
	}{{"eflags", 0x202, true}, {"eflags", 0x46, false}, {"pstate", 0x60400005, true}, {"pstate", 0x604000c5, false}} {
		r := fakeRegisters{c.reg: c.v}
		if on, text, ok := interrupts(r); !ok || on != c.on || !strings.HasSuffix(text, fmt.Sprintf("%#x", c.v)) {
			t.Errorf("%v: %v %q %v", r, on, text, ok)
		}
	}
	if _, _, ok := interrupts(fakeRegisters{"psw": 1}); ok {
		t.Error("flags of a processor that is not known")
	}
}

type fakeRegisters map[string]uint64

func (r fakeRegisters) Get(name string) (uint64, bool) { v, ok := r[name]; return v, ok }

func (r fakeRegisters) All() iter.Seq2[string, uint64] { return maps.All(r) }

// TestObjectMember: a lock in a slab object is named by the object's type and its member.
func TestObjectMember(t *testing.T) {
	k := guesttest.Tiny(t).Kernel
	s := look(t.Context(), k)
	task := guesttest.Tasks(t, k)[1]
	inode, err := task.Through("fs", "pwd.dentry", "d_inode")
	if err != nil {
		t.Fatal(err)
	}
	sem, err := inode.Member("i_rwsem")
	if err != nil {
		t.Fatal(err)
	}
	files, err := task.Follow("signal")
	if err != nil {
		t.Fatal(err)
	}
	mutex, err := files.Member("cred_guard_mutex")
	if err != nil {
		t.Fatal(err)
	}
	s.waits = []lock.Wait{
		{Task: task, Kind: lock.RWSem, Lock: sem.Addr},
		{Task: task, Kind: lock.Mutex, Lock: mutex.Addr},
		{Task: task, Kind: lock.Mutex, Lock: inode.Addr + 1},
	}
	s.nameLocks(t.Context())
	for i, want := range []string{"_inode_info.vfs_inode.i_rwsem", "signal_struct.cred_guard_mutex", "_inode_cache+0x"} {
		if got := s.waits[i].Name; !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestLogTrace: a stack that is the log's, because that in memory is not in the dump, is told
// to be so.
func TestLogTrace(t *testing.T) {
	finding := func(k *kernel.Kernel) *Finding {
		rep, err := Run(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(rep.Findings, func(f Finding) bool { return f.ID == "log-trace" }); i >= 0 {
			return &rep.Findings[i]
		}
		return nil
	}
	if f := finding(guesttest.Tiny(t).Kernel); f != nil {
		t.Errorf("of a whole dump: %+v", f)
	}
	f := finding(guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		cpus, err := k.Dump().CPUs()
		if err != nil {
			t.Fatal(err)
		}
		m.Lose(cpus[0].Regs.SP())
	}))
	if f == nil || len(f.Evidence) != 1 || !strings.Contains(f.Evidence[0].Text, "lost from the dump") {
		t.Errorf("without the stack: %+v", f)
	}
}
