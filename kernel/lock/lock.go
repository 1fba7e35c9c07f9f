// Package lock finds what sleeping tasks wait for and who keeps them waiting: mutexes,
// semaphores, completions, file locks, pages, by the tasks' stacks and memory alone.
//
//	lock.go     the answer: Wait, Owner, Finder
//	sleep.go    which function waits for what
//	waiter.go   the waiter on the sleeper's stack, and the lock that its list leads to
//	owner.go    who holds a lock, by the lock's own words
//	behind.go   who is behind a completion or a file lock
//	chain.go    who waits for whom: owners, cycles
//	spin.go     what a processor spins for
//
// A task that sleeps for a lock has put a structure on its own stack (struct mutex_waiter,
// rwsem_waiter, swait_queue, …) that names the task and hangs in the lock's list. It is
// looked for in the frames of the function that sleeps: a word that is the task's own
// address, in a list whose neighbours lead back. The list has one element that is no
// waiter: its head, in the lock.
package lock

import (
	"context"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// Kind is what a task waits for.
type Kind string

// The kinds. Of the first ones somebody is the holder.
const (
	Mutex       Kind = "mutex"
	RWSem       Kind = "rwsem"
	PercpuRWSem Kind = "percpu-rwsem"
	Semaphore   Kind = "semaphore"
	RTMutex     Kind = "rt-mutex"
	FileLock    Kind = "file-lock"

	Completion Kind = "completion"
	Page       Kind = "page" // a page or folio that is locked or written
	Bit        Kind = "bit"  // a bit of a word, such as the state of a buffer or an inode
	Futex      Kind = "futex"
	Child      Kind = "child"
	Timer      Kind = "timer"
	Events     Kind = "events" // poll, select, epoll
	Queue      Kind = "wait-queue"
	Event      Kind = "event" // something that the stack does not tell
	IO         Kind = "io"
)

// Held tells whether somebody holds what is waited for.
func (k Kind) Held() bool {
	switch k {
	case Mutex, RWSem, PercpuRWSem, Semaphore, RTMutex, FileLock:
		return true
	}
	return false
}

// How says what a Wait was concluded from.
type How string

// The evidence, the best first.
const (
	ByTask    How = "task_struct"            // the task says so itself (blocker, blocked_on, pi_blocked_on)
	ByWaiter  How = "waiter on its stack"    // whose list leads to the lock
	ByPointer How = "a pointer on its stack" // to a lock that has this task among its waiters
	ByStack   How = "its stack"              // the functions alone
)

// Wait is what one task waits for.
type Wait struct {
	Task    kernel.Task
	Kind    Kind
	Mode    string // of an rwsem, "read" or "write"; "" where it does not tell
	Lock    uint64 // address of the lock, completion, wait queue or page; 0 if unknown
	Name    string // the symbol at Lock, "" for what was allocated
	Purpose string // what the function that waits waits for, in words; "" if it does not tell
	How     How
	Owners  []Owner
	Waiters []uint64 // the tasks that wait at Lock, this one included
}

// Owner is a task that keeps others waiting.
type Owner struct {
	Task    kernel.Task
	Likely  bool   // the last one that was seen with it: a reader, who may have let go
	Purpose string // what it does for the waiter; "" for the holder of a lock
}

// String is what is waited for, in words: "mutex ck_lock_a [crashkit]", "the child of vfork
// to exec or exit (completion 0xffffc900004e3e58)".
func (w Wait) String() string {
	what := strings.ReplaceAll(string(w.Kind), "-", " ")
	switch {
	case w.Name != "":
		what += " " + w.Name
	case w.Lock != 0:
		what += fmt.Sprintf(" %#x", w.Lock)
	}
	if w.Mode != "" {
		what += " to " + w.Mode
	}
	switch {
	case w.Purpose == "":
		return what
	case w.Kind.Held():
		return what + ": " + w.Purpose
	}
	return w.Purpose + " (" + what + ")"
}

// Finder finds what tasks wait for. It is not safe for several goroutines.
type Finder struct {
	k      *kernel.Kernel
	ts     symbols.Types
	table  *symbols.Table // nil: nothing has a name
	tasks  map[uint64]kernel.Task
	places map[string]place       // of members, as far as they were asked for
	lists  map[uint64]*found      // that were walked, by each of their elements
	vforks map[uint64]kernel.Task // children of vfork by the completion that they will signal; nil: not read yet
}

// New makes ready to ask about these tasks, which should be all of the kernel's: whoever is
// not among them is not known as an owner. The error is that of the kernel's types; symbols
// that cannot be read only leave locks without names.
func New(ctx context.Context, k *kernel.Kernel, tasks []kernel.Task) (*Finder, error) {
	ts, err := k.Types()
	if ts == nil {
		return nil, err
	}
	f := &Finder{k: k, ts: ts, tasks: make(map[uint64]kernel.Task, len(tasks)), places: map[string]place{}, lists: map[uint64]*found{}}
	f.table, _ = k.AllSymbols(ctx)
	for _, t := range tasks {
		f.tasks[t.Addr] = t
	}
	return f, ctx.Err()
}

// place is where a member lies in its type; ok is false for one that the type does not have.
type place struct {
	off, size uint64
	pointer   bool
	ok        bool
}

// place finds the first of the members that a type has.
func (f *Finder) place(spelled string, members ...string) place {
	for _, m := range members {
		if p := f.member(spelled, m); p.ok {
			return p
		}
	}
	return place{}
}

func (f *Finder) member(spelled, path string) place {
	key := spelled + "." + path
	p, known := f.places[key]
	if known {
		return p
	}
	if t, err := symbols.Find(f.ts, spelled, path); err == nil {
		if m, err := t.Member(path); err == nil {
			off, size := m.Bytes()
			p = place{off, size, m.Type().Underlying().Kind == symbols.KindPointer, true}
		}
	}
	f.places[key] = p
	return p
}

// value reads the first of the members that the type has of an object.
func (f *Finder) value(addr uint64, spelled string, members ...string) (v uint64, p place, ok bool) {
	p = f.place(spelled, members...)
	if !p.ok || p.size == 0 || p.size > 8 {
		return 0, p, false
	}
	b := make([]byte, p.size)
	if _, err := f.k.ReadVirt(b, addr+p.off); err != nil {
		return 0, p, false
	}
	return bin.Uint(b, f.k.Dump().Header.Order), p, true
}

// pointer reads a word; ok is false for one that is absent.
func (f *Finder) pointer(va uint64) (v uint64, ok bool) {
	b := make([]byte, f.k.PtrSize())
	if _, err := f.k.ReadVirt(b, va); err != nil {
		return 0, false
	}
	return bin.Uint(b, f.k.Dump().Header.Order), true
}

// name is the symbol at an address: "ck_lock_a [crashkit]", "tty_mutex", "rcu_state+0x40".
func (f *Finder) name(addr uint64) string {
	if f.table == nil || addr == 0 {
		return ""
	}
	s, off, err := f.table.At(addr)
	if err != nil {
		return ""
	}
	name := s.Name
	if off != 0 {
		name += fmt.Sprintf("+%#x", off)
	}
	if s.Module != "" {
		name += " [" + s.Module + "]"
	}
	return name
}
