package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// FrameKind says what a frame of a stack is.
type FrameKind string

// The kinds of frames. Frame.Addr of a call and of an entry is a return address: the code
// is that of the call before it. That of interrupted code is exact.
const (
	FrameCall        FrameKind = "call"
	FrameException   FrameKind = "exception"   // entry of a fault or trap; Regs is what it interrupted
	FrameIRQ         FrameKind = "irq"         // entry of an interrupt
	FrameNMI         FrameKind = "nmi"         // entry of a non-maskable interrupt
	FrameSyscall     FrameKind = "syscall"     // entry of a system call
	FrameInterrupted FrameKind = "interrupted" // where the entry came in, or the registers were taken
	FrameGuess       FrameKind = "guess"       // a word on the stack that looks like a return address
)

// Method says how a frame was found.
type Method string

// The methods, the best first.
const (
	ByRegisters    Method = "registers"     // where the walk began, or a struct pt_regs on the stack
	ByORC          Method = "ORC"           // the kernel's own unwind tables
	ByCFI          Method = "CFI"           // call frame information of vmlinux or a module
	ByFrameRecord  Method = "frame record"  // of an ABI in which every function keeps one
	ByLinkRegister Method = "link register" // of code that has not saved it
	ByCallSite     Method = "call site"     // the call before it goes to the function of the frame below
	ByFramePointer Method = "frame pointer" // of code without tables, which may have used none
	ByScan         Method = "scan"          // a look at every word
)

// Frame is one function on a stack.
type Frame struct {
	Kind   FrameKind
	By     Method
	Addr   uint64         // of the code
	SP     uint64         // stack pointer at Addr; on x86_64 the return address stood in the word below
	Symbol symbols.Symbol // without a name where no symbol covers Addr
	Offset uint64         // of Addr from Symbol
	Regs   *PtRegs        // of an entry: the registers of what it interrupted, else nil
}

// String spells the frame as the kernel does: "ksys_write+0x5f/0xe0", "ck_run+0x37/0x70
// [crashkit]".
func (f Frame) String() string {
	if f.Symbol.Name == "" {
		return fmt.Sprintf("%#x", f.Addr)
	}
	s := fmt.Sprintf("%s+%#x/%#x", f.Symbol.Name, f.Offset, f.Symbol.Size)
	if f.Symbol.Module != "" {
		s += " [" + f.Symbol.Module + "]"
	}
	return s
}

// Stack is the way of a task or a processor to where it was, the innermost frame first.
type Stack struct {
	Frames []Frame
	How    string // the methods that found the frames: "ORC", "ORC, frame pointer"
	// Complete: the walk came to the entry from user mode, or to where the kernel
	// begins a thread, and no frame is a guess. Else Why has the reason.
	Complete bool
	Why      error
	// Start are the registers of the processor where the walk began, nil for a task that
	// did not run.
	Start *vmcore.Registers

	states []state // of the frames, in their order: what else is known of the processor there
}

// User is the registers with which the task entered the kernel, ok is false for kernel
// threads and where the walk did not get so far.
func (s Stack) User() (r *PtRegs, ok bool) {
	if n := len(s.Frames); n > 0 && s.Frames[n-1].Regs != nil && s.Frames[n-1].Regs.User() {
		return s.Frames[n-1].Regs, true
	}
	return nil, false
}

// ErrStack: a stack does not go on as the kernel's stacks do.
var ErrStack = errors.New("broken stack")

// state is what is known of the processor in one frame.
type state struct {
	pc, sp, fp uint64
	exact      bool      // pc is the next instruction, not where a call returns to
	by         Method    // how it was found
	regs       registers // all of them in interrupted code, those that were kept in its callers, or nil
}

type registers interface {
	Get(name string) (v uint64, ok bool)
}

// at is an address inside of the instruction that s is in: a call can be the last one of
// its function, and the address behind it that of another.
func (s state) at() uint64 {
	if s.exact {
		return s.pc
	}
	return s.pc - 1
}

// hop is the way from a frame to its caller.
type hop struct {
	next  state
	entry *PtRegs // the frame is an entry into the kernel that saved these
	end   bool    // nothing called it
}

// done tells whether the stack ends with the frame.
func (h hop) done() bool { return h.end || h.entry != nil && h.entry.User() }

// stepper finds the callers of frames on one processor. A value is safe for many
// goroutines.
type stepper interface {
	// start takes the registers of a processor; user tells that it ran a process.
	start(regs vmcore.Registers) (s state, user bool)
	// sleeping reads what a task that does not run left at thread.sp.
	sleeping(sp uint64) (state, error)
	// step finds the caller of s.
	step(s state) (hop, error)
	// called tells whether the instruction before addr may be a call.
	called(addr uint64) bool
	// caller completes the return address g when it certainly is that of the call to
	// the function of s.
	caller(s, g state) (state, bool)
}

// Unwinder walks stacks by what is in the dump alone. It is safe for many goroutines.
type Unwinder struct {
	k      *Kernel
	code   *code
	frames *callFrames
	stepper
}

// Unwinder makes ready to walk stacks: it reads the symbols and looks at the unwind tables.
// It fails for processors whose stacks are not understood, phys.ErrUnsupported, and without
// an address space. Symbols and tables that cannot be read are no error here: stacks are
// then incomplete and say why.
func (k *Kernel) Unwinder(ctx context.Context) (*Unwinder, error) {
	if k.spc == nil {
		return nil, fmt.Errorf("stacks: %w", k.spaceErr)
	}
	c := k.newCode(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	form, ok := steppers[k.Machine()]
	if !ok {
		return nil, fmt.Errorf("stacks of %s: %w", k.Machine(), phys.ErrUnsupported)
	}
	return &Unwinder{k, c, &callFrames{code: c}, form(c)}, nil
}

// steppers are the processors, as uname -m names them, whose stacks can be walked.
var steppers = map[string]func(*code) stepper{
	"x86_64":  func(c *code) stepper { return newORC(c) },
	"aarch64": func(c *code) stepper { return &recordChain{c} },
}

// Unwind walks the stack of a processor from its registers. See Unwinder.CPU.
func (k *Kernel) Unwind(ctx context.Context, regs vmcore.Registers) (Stack, error) {
	u, err := k.Unwinder(ctx)
	if err != nil {
		return Stack{}, err
	}
	return u.CPU(ctx, regs), nil
}

// UnwindFrom walks the stack of code that is about to return to pc. See Unwinder.From.
func (k *Kernel) UnwindFrom(ctx context.Context, pc, sp, fp uint64) (Stack, error) {
	u, err := k.Unwinder(ctx)
	if err != nil {
		return Stack{}, err
	}
	return u.From(ctx, pc, sp, fp), nil
}

// CPU walks the stack of a processor from its registers. That of one that ran a process
// has no frames and is complete.
func (u *Unwinder) CPU(ctx context.Context, regs vmcore.Registers) Stack {
	s, user := u.start(regs)
	if user {
		return Stack{How: string(ByRegisters), Complete: true, Start: &regs}
	}
	stack := u.walk(ctx, s)
	stack.Start = &regs
	return stack
}

// From walks a stack from a return address, the stack pointer after the return, and the
// frame pointer: of a task that sleeps, on arm64 as task_struct.thread.cpu_context has them.
func (u *Unwinder) From(ctx context.Context, pc, sp, fp uint64) Stack {
	return u.from(ctx, state{pc: pc, sp: sp, fp: fp})
}

// from walks a stack from where a task that does not run goes on.
func (u *Unwinder) from(ctx context.Context, s state) Stack {
	s.by = ByRegisters
	if s.exact = u.code.newborn(s.pc); s.exact {
		s.regs = nil // those of no function: it has not begun
	}
	return u.walk(ctx, s)
}

// Sleeping walks the stack of a task that does not run from task_struct.thread.sp, at which
// x86_64 keeps its registers.
func (u *Unwinder) Sleeping(ctx context.Context, sp uint64) Stack {
	s, err := u.sleeping(sp)
	if err != nil {
		return Stack{Why: err}
	}
	return u.from(ctx, s)
}

const (
	// maxFrames is more than fit a stack: 16 KiB of return addresses, and what an
	// interrupt adds.
	maxFrames = 4096
	// stackBytes is the size and the alignment of a task's stack and of an interrupt
	// stack since 3.15 (6538b8ea886e); some are smaller, with KASAN they are twice that.
	stackBytes = 16 << 10
	// maxSwitches bounds the changes to a lower stack: task, softirq, irq, #DB, #MC, NMI
	// and the entry trampoline.
	maxSwitches = 8
	maxScans    = 4
)

// stackWalk is one walk.
type stackWalk struct {
	u        *Unwinder
	stack    Stack
	switches int
	scans    int
	done     bool
}

func (u *Unwinder) walk(ctx context.Context, s state) Stack {
	w := stackWalk{u: u}
	for !w.done {
		switch {
		case ctx.Err() != nil:
			w.fail(ctx.Err())
		case len(w.stack.Frames) >= maxFrames:
			w.fail(fmt.Errorf("%w: more than %d frames: %w", ErrStack, maxFrames, phys.ErrLimit))
		default:
			s = w.frame(s)
			continue
		}
		break
	}
	w.stack.Complete = w.stack.Why == nil
	w.stack.How = methods(w.stack.Frames)
	return w.stack
}

// fail ends the walk.
func (w *stackWalk) fail(err error) {
	w.because(err)
	w.done = true
}

// because keeps the first reason why the stack is not certain.
func (w *stackWalk) because(err error) {
	if w.stack.Why == nil {
		w.stack.Why = err
	}
}

// frame adds the frame of s and gives its caller.
func (w *stackWalk) frame(s state) state {
	h, err := w.u.step(s)
	if err == nil {
		err = w.progress(s, h)
	}
	f := w.u.code.frame(s)
	if err == nil && h.entry != nil {
		f.Regs = h.entry
		f.Kind = entryKind(f.Symbol.Name, h.entry)
	}
	w.stack.Frames = append(w.stack.Frames, f)
	w.stack.states = append(w.stack.states, s)
	if err != nil {
		return w.scan(s, err)
	}
	if h.next.by == ByFramePointer && !h.done() {
		w.because(fmt.Errorf("%#x: its frame pointer was followed: %w", s.pc, errNoORC))
	}
	w.done = h.done()
	return h.next
}

// progress tells whether the caller's frame lies where it can: above, or on another stack.
// Code that has not moved the stack pointer has its caller at the same place.
func (w *stackWalk) progress(s state, h hop) error {
	switch n := h.next; {
	case h.done(), n.sp > s.sp && n.sp-s.sp < stackBytes, n.sp == s.sp && s.exact && !n.exact:
		return nil
	case n.sp/stackBytes == s.sp/stackBytes:
		return fmt.Errorf("%w: the caller of %#x lies at %#x, not above %#x: %w", ErrStack, s.pc, n.sp, s.sp, phys.ErrCorrupt)
	}
	if w.switches++; w.switches > maxSwitches {
		return fmt.Errorf("%w: more than %d changes of the stack: %w", ErrStack, maxSwitches, phys.ErrLimit)
	}
	return nil
}

// methods lists how frames were found, the best first.
func methods(frames []Frame) string {
	var used []string
	for _, m := range []Method{ByORC, ByCFI, ByFrameRecord, ByLinkRegister, ByCallSite, ByFramePointer, ByScan} {
		if slices.ContainsFunc(frames, func(f Frame) bool { return f.By == m }) {
			used = append(used, string(m))
		}
	}
	if used == nil && len(frames) > 0 {
		return string(ByRegisters)
	}
	return strings.Join(used, ", ")
}
