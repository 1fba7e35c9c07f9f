package lock

import (
	"slices"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
)

// form is a structure that a sleeping task has on its stack: which task it is, and the list
// that leads to what it waits for.
type form struct {
	waiter     string   // its type
	task       string   // member that points to the task
	list       []string // member by which it hangs in the list
	lock       string   // type of what the list belongs to
	head       []string // member of that with the list's head
	first      string   // or that points to the first waiter: the list then has no head (7.1 on)
	blockerTag uint64   // low bits of task_struct.blocker for this lock (6.16 on)
}

// forms by kind: include/linux/{mutex,rwsem,semaphore,completion,swait,wait}.h and
// kernel/locking. A completion's waiters are swait_queues since 5.7 (a5c6234e1028), wait
// queue entries before; those have had other names until 4.13 (ac6424b981bc, 2055da97389a).
var forms = map[Kind][]form{
	Mutex:     {{"struct mutex_waiter", "task", []string{"list"}, "struct mutex", []string{"wait_list"}, "first_waiter", 0}},
	RWSem:     {{"struct rwsem_waiter", "task", []string{"list"}, "struct rw_semaphore", []string{"wait_list"}, "first_waiter", 2}},
	Semaphore: {{"struct semaphore_waiter", "task", []string{"list"}, "struct semaphore", []string{"wait_list"}, "first_waiter", 1}},
	Completion: {
		{"struct swait_queue", "task", []string{"task_list"}, "struct completion", []string{"wait.task_list"}, "", 0},
		{"struct wait_queue_entry", "private", []string{"entry"}, "struct completion", []string{"wait.head"}, "", 0},
		{"struct __wait_queue", "private", []string{"task_list"}, "struct completion", []string{"wait.task_list"}, "", 0},
	},
	Queue: {
		{"struct wait_queue_entry", "private", []string{"entry"}, "struct wait_queue_head", []string{"head"}, "", 0},
		{"struct __wait_queue", "private", []string{"task_list"}, "struct __wait_queue_head", []string{"task_list"}, "", 0},
	},
}

const (
	maxStack   = 32 << 10 // bytes of a task's stack, with KASAN
	maxWaiters = 1 << 16
)

// found is a waiter on a stack.
type found struct {
	form    *form
	waiter  uint64   // its address
	lock    uint64   // 0 if the list has no head, or not one
	waiters []uint64 // the tasks in the list, in its order
	ring    []uint64 // the waiters themselves
}

// waiter looks for a waiter of the task in a part of its stack.
func (f *Finder) waiter(kind Kind, t kernel.Task, stack window) (found, bool) {
	for i := range forms[kind] {
		fm := &forms[kind][i]
		task, list := f.place(fm.waiter, fm.task), f.place(fm.waiter, fm.list...)
		if !task.ok || !list.ok {
			continue
		}
		for va, word := range stack.words {
			if word != t.Addr {
				continue
			}
			at := stack.at + uint64(va)*stack.size - task.off
			if f.linked(at + list.off) {
				out := f.follow(fm, at, task.off, list.off)
				out.waiter = at
				return out, true
			}
		}
	}
	return found{}, false
}

// window is a part of a stack.
type window struct {
	at    uint64
	size  uint64 // of a word
	words []uint64
}

// window reads the stack from the frame that sleeps to a few of its callers: the locals of
// a frame lie between its stack pointer and its caller's.
func (f *Finder) window(frames []kernel.Frame, at int) window {
	if len(frames) == 0 {
		return window{}
	}
	first, last := frames[0].SP, frames[min(at+3, len(frames)-1)].SP
	if last <= first || last-first > maxStack {
		last = first + 512
	}
	b := make([]byte, last-first)
	n, _ := f.k.ReadVirt(b, first)
	w := window{at: first, size: uint64(f.k.PtrSize())}
	for chunk := range slices.Chunk(b[:n-n%int(w.size)], int(w.size)) {
		w.words = append(w.words, bin.Uint(chunk, f.k.Dump().Header.Order))
	}
	return w
}

// linked tells whether an element's neighbours lead back to it.
func (f *Finder) linked(el uint64) bool {
	word := uint64(f.k.PtrSize())
	next, ok1 := f.pointer(el)
	prev, ok2 := f.pointer(el + word)
	if !ok1 || !ok2 || next == 0 || prev == 0 {
		return false
	}
	back, ok1 := f.pointer(next + word)
	forth, ok2 := f.pointer(prev)
	return ok1 && ok2 && back == el && forth == el
}

// follow walks the list that a waiter hangs in, once for all that are in it. What is no
// waiter in it is its head.
func (f *Finder) follow(fm *form, at, task, list uint64) found {
	if out, walked := f.lists[at+list]; walked && out.form == fm {
		return *out
	}
	out := &found{form: fm}
	var heads []uint64
	seen := map[uint64]bool{}
	for el := at + list; !seen[el] && len(seen) < maxWaiters; {
		seen[el] = true
		f.lists[el] = out
		if who, ok := f.waits(el-list, task); ok {
			out.waiters, out.ring = append(out.waiters, who), append(out.ring, el-list)
		} else if !f.entry(fm, el-list) {
			heads = append(heads, el)
		}
		next, ok := f.pointer(el)
		if !ok {
			return *out // the rest of the list is absent, and the head with it
		}
		el = next
	}
	if head := f.place(fm.lock, fm.head...); len(heads) == 1 && head.ok {
		out.lock = heads[0] - head.off
	}
	return *out
}

// waits tells whether a waiter is at an address: it names a task and lies on its stack.
func (f *Finder) waits(at, task uint64) (who uint64, ok bool) {
	who, ok = f.pointer(at + task)
	if !ok {
		return 0, false
	}
	t, known := f.tasks[who]
	return who, known && f.onStack(t, at)
}

func (f *Finder) onStack(t kernel.Task, va uint64) bool {
	stack, _, ok := f.value(t.Addr, "struct task_struct", "stack")
	return ok && va-stack < maxStack
}

// entry tells whether an element of a wait queue is one without a task on a stack, such as
// epoll's: it has a function to call.
func (f *Finder) entry(fm *form, at uint64) bool {
	call, _, ok := f.value(at, fm.waiter, "func")
	if !ok || f.table == nil {
		return false
	}
	_, off, err := f.table.At(call)
	return err == nil && off == 0
}

// lockOf finds the lock whose first_waiter is one of the ring, among the words of a stack.
func (f *Finder) lockOf(fm *form, ring []uint64, stack window) uint64 {
	first := f.place(fm.lock, fm.first)
	if !first.ok {
		return 0
	}
	for _, word := range stack.words {
		if v, ok := f.pointer(word + first.off); ok && word != 0 && slices.Contains(ring, v) {
			return word
		}
	}
	return 0
}
