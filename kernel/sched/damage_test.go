package sched_test

import (
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/sched"
	"github.com/kautopsy/kautopsy/phys"
)

// pid finds a task of a kernel by its PID.
func pid(t *testing.T, k *kernel.Kernel, n int) kernel.Task {
	t.Helper()
	task, ok := guesttest.Tasks(t, k)[n]
	if !ok {
		t.Fatalf("no task %d", n)
	}
	return task
}

// queueOf is the run queue of CPU 0.
func queueOf(t *testing.T, k *kernel.Kernel) kernel.Object {
	t.Helper()
	rq, err := k.RunQueue(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return rq
}

// member is a part of an object that is there.
func member(t *testing.T, o kernel.Object, path string) kernel.Object {
	t.Helper()
	m, err := o.Member(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// follow is what a pointer leads to.
func follow(t *testing.T, o kernel.Object, path string) kernel.Object {
	t.Helper()
	m, err := o.Follow(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOfflineCPU: what there is of each CPU is of those that were online.
func TestOfflineCPU(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		for _, name := range []string{"__cpu_online_mask", "__cpu_active_mask"} {
			s, err := k.Symbol(name)
			if err != nil {
				t.Fatal(err)
			}
			m.Put(s.Addr, []byte{0b10})
		}
	})
	queues, err := sched.RunQueues(t.Context(), k)
	if err != nil || len(queues) != 1 || queues[0].CPU != 1 || queues[0].Curr.Comm != "w-busy" {
		t.Errorf("run queues: %+v, %v", queues, err)
	}
	bases, _, err := sched.Timers(t.Context(), k)
	for _, b := range bases {
		if b.CPU != 1 {
			t.Errorf("timers of CPU %d", b.CPU)
		}
	}
	if err != nil || len(bases) == 0 {
		t.Errorf("%d timer bases, %v", len(bases), err)
	}
	irqs, err := sched.IRQs(t.Context(), k)
	if err != nil || len(irqs) == 0 || len(irqs[0].Counts) != 1 {
		t.Errorf("interrupts: %v, %v", irqs, err)
	}
}

// TestQueuedRealtime: a task on a realtime list is told with its priority.
func TestQueuedRealtime(t *testing.T) {
	const prio = 57
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		fifo := pid(t, k, 119)
		head := member(t, queueOf(t, k), "rt.active.queue[57]")
		node := member(t, fifo.Object, "rt.run_list")
		for _, link := range []kernel.Object{head, node} {
			other := node.Addr
			if link.Addr == node.Addr {
				other = head.Addr
			}
			m.PutUint(link, "next", other)
			m.PutUint(link, "prev", other)
		}
	})
	queues, err := sched.RunQueues(t.Context(), k)
	if err != nil || len(queues[0].RT) != 1 || queues[0].RT[0].Comm != "w-fifo" || queues[0].RT[0].Priority != prio {
		t.Errorf("%+v: %v", queues[0].RT, err)
	}
}

// TestLoops: lists and trees that lead back are told as damage, and everything ends.
func TestLoops(t *testing.T) {
	var root uint64
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		tree := member(t, queueOf(t, k), "cfs.tasks_timeline.rb_root")
		top := follow(t, tree, "rb_node")
		root = top.Addr
		m.PutUint(top, "rb_left", top.Addr)
		actions := sharedIRQ(t, k)
		m.PutUint(actions[1].Object, "next", actions[0].Addr)
		task := pid(t, k, 117)
		signal := follow(t, task.Object, "signal")
		queue := follow(t, signal, "shared_pending.list.next")
		m.PutUint(queue, "next", queue.Addr)
	})
	queues, err := sched.RunQueues(t.Context(), k)
	if err != nil || !kernel.Damaged(queues[0].Missing) || root == 0 {
		t.Errorf("a tree in itself: %v, missing %v", err, queues[0].Missing)
	}
	if got := sharedIRQ(t, k); len(got) != 2 {
		t.Errorf("%d handlers in a ring of 2", len(got))
	}
	s := sched.SignalsOf(t.Context(), k, pid(t, k, 117))
	if !kernel.Damaged(s.Missing) || len(s.Shared.Queue) != 1 || s.Private.Set.String() != "SIGUSR2" {
		t.Errorf("queued signals in a ring: %d, missing %v", len(s.Shared.Queue), s.Missing)
	}
}

// TestSharedList: lists that many heads lead to are walked once.
func TestSharedList(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		bases, _, err := sched.Timers(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bases {
			if b.CPU != 0 || len(b.Timers) == 0 {
				continue
			}
			for _, bucket := range []string{"vectors[100].first", "vectors[200].first"} {
				m.PutUint(b.Object, bucket, b.Timers[0].Addr)
			}
		}
	})
	bases, _, err := sched.Timers(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bases {
		seen := map[uint64]bool{}
		for _, x := range b.Timers {
			if seen[x.Addr] {
				t.Errorf("CPU %d %s: timer %#x twice", b.CPU, b.Name, x.Addr)
			}
			seen[x.Addr] = true
		}
		if b.CPU == 0 && len(b.Timers) > 0 && !kernel.Damaged(b.Missing) {
			t.Errorf("%s: nothing told", b.Name)
		}
	}
}

// sharedIRQ are the handlers of the interrupt that has two.
func sharedIRQ(t *testing.T, k *kernel.Kernel) []sched.Action {
	t.Helper()
	irqs, err := sched.IRQs(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range irqs {
		if q.Number == 11 {
			return q.Actions
		}
	}
	t.Fatal("no interrupt 11")
	return nil
}

// TestLost: what lies in a lost page costs what is told of it, and no more.
func TestLost(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		works, err := sched.Works(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range works.Queues {
			if q.Name == "crashkit_wq" {
				m.PutUint(q.Object, "pwqs.next", 0xdead000000000000)
			}
		}
		m.Lose(pid(t, k, 1).Addr)
		m.Lose(follow(t, pid(t, k, 117).Object, "sighand").Addr)
	})
	works, err := sched.Works(t.Context(), k)
	if err != nil || len(works.Queues) < 20 || len(works.Pools) != 11 || len(works.Missing) == 0 {
		t.Errorf("%d queues, %d pools, missing %v: %v", len(works.Queues), len(works.Pools), works.Missing, err)
	}
	for task, terr := range k.Tasks(t.Context()) {
		if terr != nil || task.PID != 117 {
			continue
		}
		s := sched.SignalsOf(t.Context(), k, task)
		if len(s.Missing) != 1 || phys.Reason(s.Missing[0].Err) != phys.ErrLost || s.Blocked.String() != "SIGUSR2 SIGRTMIN+5" {
			t.Errorf("blocked %v, missing %v", s.Blocked, s.Missing)
		}
	}
}

// TestNoTypes: without types each question says so.
func TestNoTypes(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		s, err := k.Symbol("__start_BTF")
		if err != nil {
			t.Fatal(err)
		}
		m.Put(s.Addr, make([]byte, 64))
	})
	ctx := t.Context()
	_, err1 := sched.RunQueues(ctx, k)
	_, _, err2 := sched.Timers(ctx, k)
	_, err3 := sched.HRTimers(ctx, k)
	_, err4 := sched.Works(ctx, k)
	_, err5 := sched.IRQs(ctx, k)
	_, err6 := sched.SoftIRQs(ctx, k)
	for i, err := range []error{err1, err2, err3, err4, err5, err6} {
		if err == nil || !strings.Contains(err.Error(), "BTF") && !strings.Contains(err.Error(), "type") {
			t.Errorf("question %d: %v", i, err)
		}
	}
}

// TestWaitQueue: who waits for children, of a process and of one that does not; an object
// that is no wait queue.
func TestWaitQueue(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		tasks := guesttest.Tasks(t, g.Kernel)
		waiters, err := sched.WaitQueue(t.Context(), g.Kernel, member(t, follow(t, tasks[1].Object, "signal"), "wait_chldexit"))
		if err != nil || len(waiters) != 1 || waiters[0].Task.PID != 1 || waiters[0].Function.Name != "child_wait_callback" {
			t.Errorf("%d wait for children of init: %v", len(waiters), err)
		}
		waiters, err = sched.WaitQueue(t.Context(), g.Kernel, member(t, follow(t, tasks[2].Object, "signal"), "wait_chldexit"))
		if err != nil || len(waiters) != 0 {
			t.Errorf("%d wait for children of kthreadd: %v", len(waiters), err)
		}
		if _, err := sched.WaitQueue(t.Context(), g.Kernel, tasks[1].Object); err == nil {
			t.Error("a task is a wait queue")
		}
		for _, task := range tasks { // the completion of vfork lies on the parent's stack
			if task.Comm != "w-vfork-child" {
				continue
			}
			done := follow(t, task.Object, "vfork_done")
			waiters, err := sched.WaitQueue(t.Context(), g.Kernel, done)
			if err != nil || len(waiters) != 1 || waiters[0].Task.Comm != "w-vfork" {
				t.Errorf("%d wait for the child of vfork: %v", len(waiters), err)
			}
		}
	})
}

// TestSignalNames: the names of crash and of kill -l.
func TestSignalNames(t *testing.T) {
	for n, want := range map[int]string{1: "SIGHUP", 31: "SIGSYS", 32: "SIGRTMIN", 48: "SIGRTMIN+16", 49: "SIGRTMAX-15", 64: "SIGRTMAX", 65: "signal 65"} {
		if got := sched.SignalName(n); got != want {
			t.Errorf("signal %d is %s, want %s", n, got, want)
		}
	}
	if s := sched.SignalSet(1<<63 | 1); !s.Has(64) || !s.Has(1) || s.Has(0) || s.Has(65) || s.Has(2) || s.String() != "SIGHUP SIGRTMAX" {
		t.Errorf("%v", s)
	}
}
