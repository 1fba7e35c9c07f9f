package kernel

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
)

// PtRegs is a struct pt_regs, or a part of one, that an entry into the kernel left on a
// stack: the registers of what it interrupted.
type PtRegs struct {
	Addr uint64 // of the first register that is there

	form   *ptForm
	values []uint64
}

// ptForm declares the registers of a struct pt_regs, each 8 bytes, in memory's order.
type ptForm struct {
	names []string
	pc    string
	sp    string
	user  func(r *PtRegs) bool // were they of a process
}

// x86Regs is struct pt_regs of x86_64 (arch/x86/include/asm/ptrace.h), the same since
// 2.6.32. orig_ax holds the number of a system call, or what an exception pushed.
//
//	0                    80                  120       128   136  144     152   160   168
//	| r15 r14 r13 r12 bp bx | r11 … ax | cx dx si di | orig_ax | ip | cs | flags | sp | ss |
var x86Regs = ptForm{
	names: strings.Fields("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss"),
	pc:    "rip",
	sp:    "rsp",
	user:  x86User,
}

// x86Frame is the part that the processor itself pushes.
var x86Frame = ptForm{names: x86Regs.names[16:], pc: "rip", sp: "rsp", user: x86User}

// x86User reads the privilege level; FRED has put other bits above the selector since 6.9.
func x86User(r *PtRegs) bool { cs, _ := r.Get("cs"); return cs&3 == 3 }

// arm64Regs is struct user_pt_regs, the begin of struct pt_regs on arm64
// (arch/arm64/include/asm/ptrace.h), and the two words behind it that all kernels have.
//
//	0        248  256  264      272       280                284
//	| x0…x30 | sp | pc | pstate | orig_x0 | syscallno (s32)  | …
var arm64Regs = ptForm{
	names: strings.Fields("x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14 x15 x16 x17 x18 x19 x20 x21 x22 x23 x24 " +
		"x25 x26 x27 x28 x29 x30 sp pc pstate orig_x0 syscallno"),
	pc:   "pc",
	sp:   "sp",
	user: func(r *PtRegs) bool { v, _ := r.Get("pstate"); return v&0xf == 0 }, // PSR_MODE_EL0t, AArch32 too
}

// readPtRegs reads the registers of a form at va.
func (k *Kernel) readPtRegs(form *ptForm, va uint64) (*PtRegs, error) {
	b := make([]byte, 8*len(form.names))
	if _, err := k.ReadVirt(b, va); err != nil {
		return nil, fmt.Errorf("struct pt_regs: %w", err)
	}
	r := &PtRegs{Addr: va, form: form}
	for w := range slices.Chunk(b, 8) {
		r.values = append(r.values, bin.Uint(w, k.dump.Header.Order))
	}
	return r, nil
}

// Get is the value of a register by name; ok is false for one that was not saved.
func (r *PtRegs) Get(name string) (v uint64, ok bool) {
	i := slices.Index(r.form.names, name)
	if i < 0 {
		return 0, false
	}
	return r.values[i], true
}

// All gives the registers in memory's order.
func (r *PtRegs) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i, name := range r.form.names {
			if !yield(name, r.values[i]) {
				return
			}
		}
	}
}

// PC is the instruction that was interrupted.
func (r *PtRegs) PC() uint64 { v, _ := r.Get(r.form.pc); return v }

// SP is the stack pointer at that instruction.
func (r *PtRegs) SP() uint64 { v, _ := r.Get(r.form.sp); return v }

// User tells whether the entry came from a process.
func (r *PtRegs) User() bool { return r.form.user(r) }

// entryNames tells what an entry into the kernel is for by the name of its code, the first
// line that fits: arch/x86/entry/entry_64.S and idtentry.h (asm_… since 5.8, bare names
// before), arch/arm64/kernel/entry.S (el1h_64_… since 5.13, el1_… before).
var entryNames = []struct {
	part string
	kind FrameKind
}{
	{"nmi", FrameNMI}, // asm_exc_nmi, end_repeat_nmi
	{"asm_exc_", FrameException},
	{"SYSCALL", FrameSyscall},
	{"SYSENTER", FrameSyscall},
	{"int80", FrameSyscall},
	{"INT80", FrameSyscall},
	{"_svc", FrameSyscall},
	{"ret_from_fork", FrameSyscall}, // of a process that has not run yet
	{"interrupt", FrameIRQ},
	{"sysvec", FrameIRQ},
	{"irq", FrameIRQ},
	{"fiq", FrameIRQ},
	{"retint", FrameIRQ},
	{"ret_from_intr", FrameIRQ},
}

// entryKind tells what the entry of that name was for, and FrameException where no name
// says more.
func entryKind(name string, r *PtRegs) FrameKind {
	if strings.Contains(name, "_fred_entrypoint_") {
		return fredKind(r)
	}
	// One vector for all that is synchronous: a system call has a number.
	if no, ok := r.Get("syscallno"); ok && strings.HasPrefix(name, "el0") && strings.Contains(name, "sync") && int32(no) >= 0 {
		return FrameSyscall
	}
	for _, e := range entryNames {
		if strings.Contains(name, e.part) {
			return e.kind
		}
	}
	return FrameException
}

// fredKind reads the event type that FRED pushes with ss (6.9+, struct fred_ss of
// arch/x86/include/asm/ptrace.h): one entry serves all events.
//
//	63  51   48    39     32      18  17      16    15  0
//	| … | type | … | vector | … |nmi|swevent|sti | ss   |
func fredKind(r *PtRegs) FrameKind {
	ss, _ := r.Get("ss")
	switch ss >> 48 & 0xf {
	case 0: // EVENT_TYPE_EXTINT
		return FrameIRQ
	case 2: // EVENT_TYPE_NMI
		return FrameNMI
	case 4, 7: // EVENT_TYPE_SWINT (int $0x80), EVENT_TYPE_OTHER (SYSCALL, SYSENTER)
		return FrameSyscall
	}
	return FrameException
}
