package sched

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// SignalSet is a sigset_t: bit n-1 is signal n.
type SignalSet uint64

// Has tells whether a signal is in the set.
func (s SignalSet) Has(n int) bool { return n >= 1 && n <= signals && s>>(n-1)&1 != 0 }

// String lists the signals by name: "SIGUSR2 SIGRTMIN+5".
func (s SignalSet) String() string {
	var names []string
	for n := 1; n <= signals; n++ {
		if s.Has(n) {
			names = append(names, SignalName(n))
		}
	}
	return strings.Join(names, " ")
}

// signals is how many there are on all processors but MIPS.
const signals = 64

// signalNames are the first 31 (include/uapi/asm-generic/signal.h); MIPS, SPARC, Alpha and
// PA-RISC number some of them otherwise.
var signalNames = strings.Fields("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT " +
	"CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS")

// The realtime signals as the kernel has them; the C library keeps the first two or three.
const (
	sigRTMin = 32
	sigRTMid = 48 // crash and kill -l count from the other end behind it
)

// SignalName is the name of a signal: SIGUSR2, SIGRTMIN+5, SIGRTMAX.
func SignalName(n int) string {
	switch {
	case n >= 1 && n <= len(signalNames):
		return "SIG" + signalNames[n-1]
	case n == sigRTMin:
		return "SIGRTMIN"
	case n > sigRTMin && n <= sigRTMid:
		return fmt.Sprintf("SIGRTMIN+%d", n-sigRTMin)
	case n == signals:
		return "SIGRTMAX"
	case n > sigRTMid && n < signals:
		return fmt.Sprintf("SIGRTMAX-%d", signals-n)
	}
	return fmt.Sprintf("signal %d", n)
}

// QueuedSignal is a struct sigqueue with what its sender gave.
type QueuedSignal struct {
	kernel.Object
	Signal, Errno, Code int
	PID, UID            int    // of the sender, where Code says that it has one
	Value               uint64 // sigval_t, of a realtime signal and of sigqueue(3)
}

// Pending is a struct sigpending: signals that were sent and not yet taken.
type Pending struct {
	Set   SignalSet
	Queue []QueuedSignal // those that are more than a bit
}

// SignalAction is what happens on a signal.
type SignalAction struct {
	kernel.Object
	Signal  int
	Handler uint64 // in user space; 0 SIG_DFL, 1 SIG_IGN
	Flags   uint64 // SA_…
	Mask    SignalSet
}

// The handlers that are none.
const (
	SigDfl = 0
	SigIgn = 1
)

// Signals is what is known of a task's signals.
type Signals struct {
	Struct          uint64 // struct signal_struct, 0 for a task that has let go of it
	Threads         int
	Blocked         SignalSet
	Saved           SignalSet // real_blocked: what a call like sigtimedwait waits for is taken out of Blocked meanwhile
	Private, Shared Pending   // of the task, and of its process
	Ignored, Caught SignalSet
	Actions         []SignalAction // from signal 1 on; nil for a task that has ended
	Missing         []kernel.Missing
}

// SignalsOf reads the signals of a task.
func SignalsOf(ctx context.Context, k *kernel.Kernel, t kernel.Task) Signals {
	w := &signalReader{ctx: ctx, k: k}
	var s Signals
	s.Blocked, s.Saved = w.set(t.Object, "blocked"), w.set(t.Object, "real_blocked")
	s.Private = w.pending(t.Object, "pending")
	if signal, err := t.Follow("signal"); err == nil {
		s.Struct = signal.Addr
		n, err := signal.Int("nr_threads")
		w.add("signals", err)
		s.Threads = int(n)
		s.Shared = w.pending(signal, "shared_pending")
	}
	at, err := t.Pointer("sighand")
	w.add("handlers", err)
	if at != 0 {
		s.Actions = w.actions(t)
	}
	for _, a := range s.Actions {
		switch a.Handler {
		case SigDfl:
		case SigIgn:
			s.Ignored |= 1 << (a.Signal - 1)
		default:
			s.Caught |= 1 << (a.Signal - 1)
		}
	}
	s.Missing = w.list
	return s
}

type signalReader struct {
	missing
	ctx context.Context
	k   *kernel.Kernel
}

// set reads a sigset_t, an array of longs.
func (w *signalReader) set(o kernel.Object, member string) (s SignalSet) {
	words, err := o.Member(member + ".sig")
	if err != nil {
		w.add("signals", err)
		return 0
	}
	bits := w.k.PtrSize() * 8
	for i := range signals / bits {
		word, err := words.Index(uint64(i))
		if err != nil {
			w.add("signals", err)
			return s
		}
		v, err := word.Uint()
		w.add("signals", err)
		s |= SignalSet(v) << (i * bits)
	}
	return s
}

// pending reads a struct sigpending.
func (w *signalReader) pending(o kernel.Object, member string) (p Pending) {
	p.Set = w.set(o, member+".signal")
	head, err := o.Member(member + ".list")
	if err != nil {
		w.add("signals", err)
		return p
	}
	queue, err := w.k.Cast(0, "struct sigqueue", "list", "info")
	if err != nil {
		w.add("signals", err)
		return p
	}
	for q, err := range w.k.List(w.ctx, head.Addr, queue.Type, "list") {
		if err != nil {
			w.add("queued signals", err)
			break
		}
		p.Queue = append(p.Queue, w.queued(q))
	}
	return p
}

// queued reads a struct sigqueue. Who sent it stands at the same place for all signals that
// have a sender (union __sifields).
func (w *signalReader) queued(o kernel.Object) QueuedSignal {
	f := o.Fields()
	q := QueuedSignal{Object: o, Signal: int(f.Int("info.si_signo")), Errno: int(f.Int("info.si_errno")), Code: int(f.Int("info.si_code"))}
	q.PID, q.UID = int(f.Int("info._sifields._rt._pid")), int(f.Int("info._sifields._rt._uid"))
	q.Value = f.Uint("info._sifields._rt._sigval.sival_ptr")
	if err := f.Err(); err != nil && !errors.Is(err, symbols.ErrNoMember) {
		w.add("queued signals", err)
	}
	return q
}

// actions reads sighand_struct.action.
func (w *signalReader) actions(t kernel.Task) (actions []SignalAction) {
	hand, err := t.Follow("sighand")
	if err != nil {
		w.add("handlers", err)
		return nil
	}
	array, err := hand.Member("action")
	if err != nil {
		w.add("handlers", err)
		return nil
	}
	for i := range min(signals, array.Type.Underlying().Count) {
		o, err := array.Index(i)
		if err != nil {
			w.add("handlers", err)
			return actions
		}
		f := o.Fields()
		a := SignalAction{Object: o, Signal: int(i) + 1, Handler: f.Uint("sa.sa_handler"), Flags: f.Uint("sa.sa_flags")}
		if err := f.Err(); err != nil {
			w.add("handlers", err)
			return actions
		}
		a.Mask = w.set(o, "sa.sa_mask")
		actions = append(actions, a)
	}
	return actions
}
