package lock

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
)

// stage is the small guest with locks and waiters that a test puts into its memory: locks
// into the unused low end of init's stack, waiters into that of the tasks that wait.
type stage struct {
	t       *testing.T
	m       guesttest.Memory
	tasks   []kernel.Task // the first owns what the others wait for
	kthread kernel.Task
	locks   uint64
}

// atStage makes a kernel whose memory a test has set, and its tasks.
func atStage(t *testing.T, set func(s *stage)) (*Finder, []kernel.Task) {
	t.Helper()
	if testing.Short() && !slices.Contains([]string{"TestDeadlock", "TestMutexWaiter/7.1_on"}, t.Name()) {
		t.Skip("writes a whole dump")
	}
	var s *stage
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		all := guesttest.Tasks(t, k)
		s = &stage{t: t, m: m}
		for _, pid := range guesttest.Sorted(all) {
			switch task := all[pid]; {
			case task.KernelThread:
				s.kthread = task
			case task.State.Letter() == "S":
				s.tasks = append(s.tasks, task)
			}
		}
		s.locks = s.stack(s.tasks[len(s.tasks)-1])
		set(s)
	})
	var all []kernel.Task
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, task)
	}
	f, err := New(t.Context(), k, all)
	if err != nil {
		t.Fatal(err)
	}
	return f, s.tasks
}

// stack is the unused end of a task's stack, above the mark at its end.
func (s *stage) stack(task kernel.Task) uint64 {
	s.t.Helper()
	at, err := task.Pointer("stack")
	if err != nil {
		s.t.Fatal(err)
	}
	return at + 512
}

// words writes words to memory.
func (s *stage) words(at uint64, words ...uint64) {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	s.m.Put(at, b)
}

// ring links list heads to a circle.
func (s *stage) ring(els ...uint64) {
	for i, el := range els {
		s.words(el, els[(i+1)%len(els)], els[(i+len(els)-1)%len(els)])
	}
}

// sleeping is the stack of a task that sleeps in a function whose locals are at sp.
func sleeping(function string, sp uint64) kernel.Stack {
	st := kernel.Stack{}
	for i, name := range []string{"__schedule", "schedule", function, "drv_work", "kthread", "ret_from_fork"} {
		f := kernel.Frame{Kind: kernel.FrameCall, SP: sp + uint64(i)*64}
		if i < 3 {
			f.SP = sp
		}
		f.Symbol.Name = name
		st.Frames = append(st.Frames, f)
	}
	return st
}

// reshape makes members be where those of another kernel are; a negative offset takes one
// away.
func (f *Finder) reshape(pointer bool, members map[string]int) {
	for key, off := range members {
		f.places[key] = place{uint64(max(0, off)), 8, pointer && off >= 0, off >= 0}
	}
}

const listAt, taskAt = 0, 16 // of struct mutex_waiter and its like

// TestMutexWaiter: two tasks wait for a mutex, in every shape that kernels had.
func TestMutexWaiter(t *testing.T) {
	for name, c := range map[string]struct {
		shape   map[string]int
		pointer bool // the member is one
		headed  bool // the list has a head
		owner   uint64
		how     How
	}{
		"4.10 to 7.0": {headed: true, owner: 1, how: ByWaiter},
		"until 4.9": {
			shape: map[string]int{"struct mutex.owner.counter": -1, "struct mutex.owner": 0}, pointer: true,
			headed: true, how: ByWaiter,
		},
		"7.1 on": {
			shape:   map[string]int{"struct mutex.wait_list": -1, "struct mutex.first_waiter": 16},
			pointer: true, owner: 3, how: ByPointer,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var at [2]uint64
			f, tasks := atStage(t, func(s *stage) {
				els := []uint64{}
				if c.headed {
					els = append(els, s.locks+16)
				}
				s.words(s.locks, s.tasks[0].Addr|c.owner, 0, 0, 0)
				for i := range at {
					at[i] = s.stack(s.tasks[i+1])
					els = append(els, at[i]+32+listAt)
					s.words(at[i], s.locks, 0, 0, 0)
					s.words(at[i]+32+taskAt, s.tasks[i+1].Addr)
				}
				s.ring(els...)
				if !c.headed {
					s.words(s.locks+16, at[0]+32)
				}
			})
			f.reshape(c.pointer, c.shape)
			for i := range at {
				w, ok := f.Wait(tasks[i+1], sleeping("__mutex_lock.constprop.0", at[i]))
				if !ok || w.Kind != Mutex || w.How != c.how || len(w.Owners) != 1 || w.Owners[0].Task.Addr != tasks[0].Addr || len(w.Waiters) != 2 {
					t.Errorf("waiter %d: %v, %s by %s, owners %v, %d waiters", i, ok, w, w.How, w.Owners, len(w.Waiters))
				}
			}
		})
	}
}

// TestRWSemWaiter: readers and writers, as the words of both generations have them.
func TestRWSemWaiter(t *testing.T) {
	for name, c := range map[string]struct {
		shape          map[string]int
		count, owner   uint64 // owner is or'ed with the task's address
		kind           uint64 // of the waiter
		mode           string
		owners, likely int
	}{
		"a writer holds it":           {count: 1 | 2, kind: 1, mode: "read", owners: 1},
		"readers hold it":             {count: 3<<8 | 2, owner: 1, kind: 0, mode: "write", owners: 1, likely: 1},
		"nobody holds it any more":    {count: 2, owner: 1, kind: 0, mode: "write"},
		"before 5.3, a writer":        {shape: old("struct rw_semaphore"), count: 0xffffffff00000001, kind: 0, mode: "write", owners: 1},
		"before 5.3, readers unnamed": {shape: old("struct rw_semaphore"), count: 2, owner: ^uint64(0), kind: 0, mode: "write"},
	} {
		t.Run(name, func(t *testing.T) {
			var sp uint64
			f, tasks := atStage(t, func(s *stage) {
				sp = s.stack(s.tasks[1])
				owner := s.tasks[0].Addr | c.owner
				if c.owner == ^uint64(0) {
					owner = 1 // RWSEM_READER_OWNED
				}
				s.words(s.locks, c.count, owner, 0, 0, 0)
				s.words(sp+24+taskAt, s.tasks[1].Addr, c.kind)
				s.ring(s.locks+24, sp+24)
			})
			f.reshape(true, c.shape)
			w, ok := f.Wait(tasks[1], sleeping("rwsem_down_write_slowpath", sp))
			likely := 0
			for _, o := range w.Owners {
				if o.Likely {
					likely++
				}
			}
			if !ok || w.Kind != RWSem || w.Lock == 0 || w.Mode != c.mode || len(w.Owners) != c.owners || likely != c.likely {
				t.Errorf("%v %s, owners %+v", ok, w, w.Owners)
			}
		})
	}
}

func old(lock string) map[string]int {
	return map[string]int{lock + ".owner.counter": -1, lock + ".owner": 8}
}

// TestCompletionWaiter: a completion before 5.7 has a wait queue, under two names.
func TestCompletionWaiter(t *testing.T) {
	for name, shape := range map[string]map[string]int{
		"4.13 to 5.6": {"struct swait_queue.task": -1, "struct completion.wait.head": 16},
		"until 4.12": {
			"struct swait_queue.task": -1, "struct wait_queue_entry.private": -1, "struct completion.wait.task_list": 16,
			"struct __wait_queue.private": 8, "struct __wait_queue.task_list": 24,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sp, done uint64
			f, tasks := atStage(t, func(s *stage) {
				sp, done = s.stack(s.tasks[1]), s.locks
				s.words(done, 0, 0, 0, 0)
				s.words(sp+32, 1, s.tasks[1].Addr)
				s.ring(done+16, sp+32+24)
			})
			f.reshape(false, shape)
			w, ok := f.Wait(tasks[1], sleeping("wait_for_completion", sp))
			if !ok || w.Kind != Completion || w.Lock != done || w.How != ByWaiter {
				t.Errorf("%v %s by %s, want %#x", ok, w, w.How, done)
			}
		})
	}
}

// TestDeadlock: three tasks in a circle, and one that waits for them.
func TestDeadlock(t *testing.T) {
	var sp [5]uint64
	f, tasks := atStage(t, func(s *stage) {
		for i := 1; i < len(sp); i++ { // task i waits for lock i, which task i+1 owns; task 4 for lock 1
			sp[i] = s.stack(s.tasks[i])
			s.words(sp[i]+16+taskAt, s.tasks[i].Addr)
		}
		for i := 1; i <= 3; i++ {
			lock := s.locks + uint64(i)*64
			s.words(lock, s.tasks[i%3+1].Addr|1, 0)
			els := []uint64{lock + 16, sp[i] + 16}
			if i == 1 {
				els = append(els, sp[4]+16)
			}
			s.ring(els...)
		}
	})
	var all []Wait
	for i := 1; i < len(sp); i++ {
		w, ok := f.Wait(tasks[i], sleeping("__mutex_lock", sp[i]))
		if !ok {
			t.Fatal(i)
		}
		all = append(all, w)
	}
	g := NewGraph(all)
	cycles := g.Deadlocks()
	if len(cycles) != 1 || len(cycles[0]) != 3 || cycles[0][0].Task.PID != tasks[1].PID || cycles[0][1].Task.PID != tasks[2].PID {
		t.Fatalf("%d cycles, %v", len(cycles), cycles)
	}
	if chain, cycle := g.Chain(&all[3]); !cycle || len(chain) != 4 {
		t.Errorf("a chain of %d, cycle %v", len(chain), cycle)
	}
}

// TestBroken: lists that do not close, lead away or are lost give no lock and do not hang.
func TestBroken(t *testing.T) {
	for name, set := range map[string]func(s *stage, sp uint64){
		"the neighbours know nothing of it": func(s *stage, _ uint64) { s.ring(s.locks + 16) },
		"not a pointer":                     func(s *stage, sp uint64) { s.words(sp+16, 0x4141414141414141, 0x4141414141414141) },
		"another's waiter":                  func(s *stage, sp uint64) { s.words(sp+16+taskAt, s.tasks[2].Addr) },
		"the lock is lost":                  func(s *stage, _ uint64) { s.m.Lose(s.locks) },
		"a circle that passes by": func(s *stage, sp uint64) {
			s.ring(s.locks+16, sp+16)
			s.words(s.locks+16, s.locks+64)
			s.ring(s.locks+64, s.locks+128)
			s.words(s.locks+16, s.locks+64, sp+16)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sp uint64
			f, tasks := atStage(t, func(s *stage) {
				sp = s.stack(s.tasks[1])
				s.words(s.locks, s.tasks[0].Addr|1, 0)
				s.words(sp+16+taskAt, s.tasks[1].Addr)
				s.ring(s.locks+16, sp+16)
				set(s, sp)
			})
			w, ok := f.Wait(tasks[1], sleeping("__mutex_lock", sp))
			if !ok || w.Kind != Mutex || w.Lock != 0 || len(w.Owners) != 0 {
				t.Errorf("%v %s by %s, owners %v", ok, w, w.How, w.Owners)
			}
		})
	}
}
