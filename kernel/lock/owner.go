package lock

import (
	"cmp"

	"github.com/kautopsy/kautopsy/kernel"
)

// The low bits of owner words. A task_struct is aligned to 64 bytes, so none is part of its
// address.
const (
	mutexFlags    = 7 // MUTEX_FLAGS: waiters, handoff, pickup (4.10 on, 3ca0ff571b09; 3 bits since 4.11)
	rwsemFlags    = 7 // RWSEM_READER_OWNED, RWSEM_NONSPINNABLE (one or two bits)
	rwsemReader   = 1
	rtMutexFlags  = 1 // RT_MUTEX_HAS_WAITERS
	rwsemWriter   = 1 // of count, since 5.3 (64489e78004c)
	rwsemReaders  = 8 // where the number of readers begins in count
	rwsemReadFail = 1 << 63
)

// owners tells who holds the lock of a wait.
func (f *Finder) owners(w *Wait) {
	var word uint64
	var ok bool
	switch w.Kind {
	case Mutex:
		// With PREEMPT_RT a mutex is an rt_mutex.
		word, _, ok = f.value(w.Lock, "struct mutex", "owner.counter", "owner", "rtmutex.owner")
		word &^= mutexFlags
	case RWSem:
		word, ok = f.rwsemOwner(w)
	case Semaphore:
		word, _, ok = f.value(w.Lock, "struct semaphore", "last_holder") // 6.16 on, DETECT_HUNG_TASK_BLOCKER
		f.own(w, word, ok, true)
		return
	case RTMutex:
		word, _, ok = f.value(w.Lock, "struct rt_mutex_base", "owner")
		if !ok {
			word, _, ok = f.value(w.Lock, "struct rt_mutex", "owner")
		}
		word &^= rtMutexFlags
	case PercpuRWSem:
		word, _, ok = f.value(w.Lock, "struct percpu_rw_semaphore", "writer.task")
	default:
		return
	}
	likely := w.Kind == RWSem && word&rwsemReader != 0
	f.own(w, word&^rwsemFlags, ok, likely)
}

// rwsemOwner reads the owner word of an rwsem. When readers hold it, the word is the one
// that came last, perhaps gone already, and the mode of who waits is to write.
func (f *Finder) rwsemOwner(w *Wait) (word uint64, ok bool) {
	word, p, ok := f.value(w.Lock, "struct rw_semaphore", "owner.counter", "owner", "rwbase.rtmutex.owner")
	if !ok || p.pointer {
		return word, ok // before 5.3; NULL and the reader's bit where readers hold it
	}
	count, _, read := f.value(w.Lock, "struct rw_semaphore", "count.counter", "count")
	if read && count&rwsemWriter == 0 && count&^rwsemReadFail>>rwsemReaders == 0 {
		return 0, false // nobody: it is being handed over
	}
	return word, ok
}

// own adds an owner, if it is a task.
func (f *Finder) own(w *Wait, task uint64, ok, likely bool) {
	if t, known := f.tasks[task]; ok && known {
		w.Owners = append(w.Owners, Owner{Task: t, Likely: likely})
	}
}

// Wait tells what a sleeping task waits for, by its stack and its memory. ok is false for a
// task that does not sleep, or whose stack does not tell.
func (f *Finder) Wait(t kernel.Task, s kernel.Stack) (w Wait, ok bool) {
	kind, at, ok := sleep(s.Frames)
	if !ok || t.OnCPU {
		return Wait{}, false
	}
	w = Wait{Task: t, Kind: kind, How: ByStack, Purpose: purpose(s.Frames, at)}
	stack := f.window(s.Frames, at)
	switch kind {
	case Mutex, RWSem, Semaphore, Completion:
		f.atLock(&w, stack)
	case RTMutex:
		f.atRTMutex(&w)
	case Page, Bit, Event, IO, PercpuRWSem, FileLock:
		f.atQueue(&w, stack)
	}
	if w.Lock != 0 {
		w.Name = f.name(w.Lock)
		f.owners(&w)
	}
	f.behind(&w)
	return w, true
}

// atLock finds the lock of a waiter: by what the task says of itself, by the list of the
// waiter on its stack, by a pointer there.
func (f *Finder) atLock(w *Wait, stack window) {
	hit, ok := f.waiter(w.Kind, w.Task, stack)
	if ok {
		w.Waiters = hit.waiters
		w.Mode = f.mode(hit)
	}
	if at, tagged := f.blocker(w.Kind, w.Task); tagged {
		w.Lock, w.How = at, ByTask
		return
	}
	if !ok {
		return
	}
	w.How = ByWaiter
	if w.Lock = hit.lock; w.Lock == 0 {
		if w.Lock = f.lockOf(hit.form, hit.ring, stack); w.Lock != 0 {
			w.How = ByPointer
		}
	}
}

// mode is whether the waiter of an rwsem wants to read or to write (enum
// rwsem_waiter_type: 0 to write; before 3.10 flags, bit 0 to read).
func (f *Finder) mode(hit found) string {
	v, _, ok := f.value(hit.waiter, hit.form.waiter, "type", "flags")
	if !ok || hit.form.lock != "struct rw_semaphore" {
		return ""
	}
	if v&1 == 0 {
		return "write"
	}
	return "read"
}

// blockerBits are the low bits of task_struct.blocker that tell the type of the lock:
// mutex, semaphore, rwsem to read, rwsem to write (include/linux/hung_task.h, 6.16 on).
const blockerBits = 3

// blocker is the lock that the task itself says it waits for.
func (f *Finder) blocker(kind Kind, t kernel.Task) (lock uint64, ok bool) {
	word, _, ok := f.value(t.Addr, "struct task_struct", "blocker")
	if fm := forms[kind]; ok && word != 0 && fm != nil {
		if tag := word & blockerBits; tag == fm[0].blockerTag || kind == RWSem && tag == blockerBits {
			return word &^ blockerBits, kind != Completion
		}
	}
	// A mutex_waiter with DEBUG_MUTEXES until 6.16, the mutex since.
	word, p, ok := f.value(t.Addr, "struct task_struct", "blocked_on")
	if kind == Mutex && ok && word != 0 && p.pointer && f.pointsTo("struct task_struct", "blocked_on") == "mutex" {
		return word, true
	}
	return 0, false
}

// atRTMutex follows task_struct.pi_blocked_on to the rt_mutex.
func (f *Finder) atRTMutex(w *Wait) {
	waiter, _, ok := f.value(w.Task.Addr, "struct task_struct", "pi_blocked_on")
	if !ok || waiter == 0 {
		return
	}
	at, _, ok := f.value(waiter, "struct rt_mutex_waiter", "lock")
	if ok && at != 0 {
		w.Lock, w.How = at, ByTask
		w.Waiters = []uint64{w.Task.Addr}
	}
}

// atQueue finds the wait queue that a task sleeps in.
func (f *Finder) atQueue(w *Wait, stack window) {
	hit, ok := f.waiter(Queue, w.Task, stack)
	if !ok {
		return
	}
	w.Waiters, w.Lock, w.How = hit.waiters, hit.lock, ByWaiter
	switch w.Kind {
	case Page:
		wait := f.place("struct wait_page_queue", "wait")
		folio, _, read := f.value(hit.waiter-wait.off, "struct wait_page_queue", "folio", "page")
		if wait.ok && read {
			w.Lock = folio
		}
	case Bit:
		entry := f.place("struct wait_bit_queue_entry", "wq_entry")
		word, _, read := f.value(hit.waiter-entry.off, "struct wait_bit_queue_entry", "key.flags")
		if entry.ok && read {
			w.Lock = word
		}
	case PercpuRWSem:
		queue := f.place("struct percpu_rw_semaphore", "waiters")
		w.Lock = cmp.Or(hit.lock, queue.off) - queue.off
	case IO:
		if w.Purpose == "" {
			w.Purpose = "I/O"
		}
	case Event:
		w.Kind = Queue
	}
}
