package lock

import (
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
)

// TestOtherKinds: what a task waits for, in the shapes of the locks that are rarer.
func TestOtherKinds(t *testing.T) {
	var sp uint64
	for name, c := range map[string]struct {
		function string
		shape    map[string]int
		set      func(s *stage)
		kind     Kind
		lock     uint64 // behind the stage's lock
		how      How
		owner    int // index of the task, -1: nobody
		purpose  string
	}{
		"semaphore": {
			function: "__down", kind: Semaphore, how: ByWaiter, owner: -1,
			set: func(s *stage) { s.waiter(sp+16, 1); s.ring(s.locks+8, sp+16) },
		},
		"semaphore with its last holder": {
			function: "__down", kind: Semaphore, how: ByWaiter, owner: 2,
			shape: map[string]int{"struct semaphore.last_holder": 64},
			set: func(s *stage) {
				s.waiter(sp+16, 1)
				s.ring(s.locks+8, sp+16)
				s.words(s.locks+64, s.tasks[2].Addr)
			},
		},
		"the task says it, a mutex": {
			function: "__mutex_lock", kind: Mutex, how: ByTask, owner: 2,
			shape: map[string]int{"struct task_struct.blocker": spare},
			set: func(s *stage) {
				s.words(s.tasks[1].Addr+spare, s.locks)
				s.words(s.locks, s.tasks[2].Addr|1)
			},
		},
		"the task says it, an rwsem to write": {
			function: "rwsem_down_write_slowpath", kind: RWSem, how: ByTask, owner: 2,
			shape: map[string]int{"struct task_struct.blocker": spare},
			set: func(s *stage) {
				s.words(s.tasks[1].Addr+spare, s.locks|3)
				s.words(s.locks, 1, s.tasks[2].Addr)
			},
		},
		"the task says it, another lock": {
			function: "__mutex_lock", kind: Mutex, how: ByStack, owner: -1, lock: none,
			shape: map[string]int{"struct task_struct.blocker": spare},
			set:   func(s *stage) { s.words(s.tasks[1].Addr+spare, s.locks|1) },
		},
		"rt_mutex": {
			function: "rt_mutex_slowlock", kind: RTMutex, how: ByTask, owner: 2,
			shape: map[string]int{
				"struct task_struct.pi_blocked_on": spare, "struct rt_mutex_waiter.lock": 24, "struct rt_mutex_base.owner": 24,
			},
			set: func(s *stage) {
				s.words(s.tasks[1].Addr+spare, sp)
				s.words(sp+24, s.locks)
				s.words(s.locks+24, s.tasks[2].Addr|1)
			},
		},
		"percpu_rw_semaphore": {
			function: "percpu_rwsem_wait", kind: PercpuRWSem, how: ByWaiter, owner: 2,
			shape: map[string]int{"struct percpu_rw_semaphore.waiters": 0, "struct percpu_rw_semaphore.writer.task": 48},
			set: func(s *stage) {
				s.words(sp+24, s.tasks[1].Addr)
				s.ring(s.locks+8, sp+40)
				s.words(s.locks+48, s.tasks[2].Addr)
			},
		},
		"a page": {
			function: "folio_wait_bit_common", kind: Page, how: ByWaiter, owner: -1,
			set: func(s *stage) {
				s.words(sp, s.locks) // wait_page_queue.folio
				s.words(sp+24, s.tasks[1].Addr)
				s.ring(s.locks+128, sp+40)
			},
		},
		"a bit": {
			function: "__wait_on_bit", kind: Bit, how: ByWaiter, owner: -1,
			set: func(s *stage) {
				s.words(sp, s.locks) // wait_bit_key.flags
				s.words(sp+32, s.tasks[1].Addr)
				s.ring(s.locks+128, sp+48)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, tasks := atStage(t, func(s *stage) {
				sp = s.stack(s.tasks[1])
				s.words(sp, make([]uint64, 24)...)
				s.words(s.locks, make([]uint64, 24)...)
				c.set(s)
			})
			f.reshape(false, c.shape)
			w, ok := f.Wait(tasks[1], sleeping(c.function, sp))
			owner := kernel.Task{}
			if c.owner >= 0 {
				owner = tasks[c.owner]
			}
			if !ok || w.Kind != c.kind || w.How != c.how || (w.Lock == 0) != (c.lock == none) || len(w.Owners) > 1 {
				t.Fatalf("%v %s by %s at %#x, owners %v", ok, w, w.How, w.Lock, w.Owners)
			}
			if len(w.Owners) == 1 && w.Owners[0].Task.Addr != owner.Addr || len(w.Owners) == 0 && c.owner >= 0 {
				t.Errorf("owners %v, want %v", w.Owners, owner)
			}
		})
	}
}

// TestWorker: who waits in flush_work waits for the worker that runs the work item.
func TestWorker(t *testing.T) {
	var sp uint64
	var worker kernel.Task
	f, tasks := atStage(t, func(s *stage) {
		sp, worker = s.stack(s.tasks[1]), s.kthread
		barrier, done := sp+64, sp+64+32
		s.words(done, 0, 0, done+16, done+16)
		s.words(sp+16, s.tasks[1].Addr)                 // struct swait_queue
		s.ring(done+16, sp+24)                          // completion.wait.task_list
		s.ring(barrier+8, s.locks+64)                   // work.entry, worker.scheduled
		s.words(s.locks+80, s.kthread.Addr, 0, 0, 0, 0) // worker.task
		s.words(s.locks+16, 0, 0)                       // worker.current_func
	})
	f.reshape(false, map[string]int{"struct worker.scheduled": 64, "struct worker.task": 80, "struct worker.current_func": 24})
	w, ok := f.Wait(tasks[1], sleeping("wait_for_completion", sp))
	if !ok || w.Kind != Completion || len(w.Owners) != 1 || w.Owners[0].Task.Addr != worker.Addr || w.Owners[0].Purpose != "runs the work item" {
		t.Errorf("%v %s by %s, owners %v", ok, w, w.How, w.Owners)
	}
}

// none is the address of no lock.
const none = ^uint64(0)

// spare is an offset in task_struct whose word a test may take: something that nobody asks
// for here.
const spare = 1024

// waiter writes a waiter of a task.
func (s *stage) waiter(at uint64, task int) { s.words(at+taskAt, s.tasks[task].Addr) }
