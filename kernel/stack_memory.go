package kernel

import (
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
)

// StackMemory is the memory of a task's own stack, 8 bytes a word; not that of the stacks
// which interrupts and exceptions have.
type StackMemory struct {
	Addr  uint64   // of the first word, the far end of the stack
	SP    uint64   // where the task was: what lies below is left from before; Addr if it was elsewhere
	Words []uint64 // up to the stack's begin, or to the first that is absent
}

// Word is the word at an address; ok is false outside of the stack.
func (s StackMemory) Word(at uint64) (v uint64, ok bool) {
	i := (at - s.Addr) / 8
	if at < s.Addr || i >= uint64(len(s.Words)) {
		return 0, false
	}
	return s.Words[i], true
}

// Used are the words from the stack pointer on.
func (s StackMemory) Used() []uint64 {
	return s.Words[min(uint64(len(s.Words)), (s.SP-s.Addr)/8):]
}

// Memory reads a task's stack. Where a part is absent what lies before it is there, and the
// error has the reason.
func (u *Unwinder) Memory(t Task) (StackMemory, error) {
	base, err := t.Pointer("stack")
	if err != nil {
		return StackMemory{}, err
	}
	if base == 0 {
		return StackMemory{}, errEnded
	}
	p := make([]byte, u.k.stackSize())
	n, err := u.k.ReadVirt(p, base)
	s := StackMemory{Addr: base, SP: base, Words: make([]uint64, 0, n/8)}
	for i := 0; i+8 <= n; i += 8 {
		s.Words = append(s.Words, bin.Uint(p[i:i+8], u.k.dump.Header.Order))
	}
	sp, serr := t.SP()
	if t.OnCPU {
		cpus, _ := u.k.dump.CPUs()
		if i := u.k.noteOf(cpus, t); i >= 0 {
			sp, serr = cpus[i].Regs.SP(), nil
		}
	}
	if sp &^= 7; serr == nil && sp > base && sp-base < uint64(len(p)) {
		s.SP = sp
	}
	if err != nil {
		err = fmt.Errorf("stack of task %d: %w", t.PID, err)
	}
	return s, err
}

// stackSize is THREAD_SIZE: union thread_union is a whole stack.
func (k *Kernel) stackSize() uint64 {
	const most = 1 << 20
	t, err := k.Cast(0, "union thread_union")
	if err != nil || t.Type.Size() == 0 || t.Type.Size() > most || t.Type.Size()%8 != 0 {
		return stackBytes
	}
	return t.Type.Size()
}

// Text gives the words of a stack from sp on that look like return addresses. They are no
// way through the stack: most are left from calls that returned long ago. Kind is
// FrameGuess.
func (u *Unwinder) Text(s StackMemory, sp uint64) (frames []Frame) {
	for at := max(sp, s.Addr); ; at += 8 {
		v, ok := s.Word(at)
		if !ok {
			return frames
		}
		if pc := u.k.spc.Strip(v); u.code.executable(pc-1) && u.called(pc) {
			frames = append(frames, u.code.frame(state{pc: pc, sp: at + 8, by: ByScan}))
		}
	}
}

// Entries gives what looks like a struct pt_regs on a stack from sp on: what interrupts,
// exceptions and system calls saved. Those above the stack pointer may be left from before.
func (u *Unwinder) Entries(s StackMemory, sp uint64) (found []*PtRegs) {
	form, ok := entryForms[u.k.Machine()]
	if !ok {
		return nil
	}
	size := uint64(8 * len(form.names))
	whole, end := u.k.ptRegsSize(size), s.Addr+8*uint64(len(s.Words))
	for at := max(sp, s.Addr); ; at += 8 {
		if _, ok := s.Word(at + size - 8); !ok {
			return found
		}
		i := (at - s.Addr) / 8
		r := &PtRegs{Addr: at, form: form, values: s.Words[i : i+uint64(len(form.names))]}
		// What a process was doing is saved at the very begin of its stack, below 16 bytes
		// of FRED's on x86_64; what interrupted the kernel lies further in.
		room := end - at
		if first := room == whole || room == whole+16; u.plausible(r) && (r.User() && first || !r.User() && room >= whole+size) {
			found = append(found, r)
			at += size - 8
		}
	}
}

// ptRegsSize is what struct pt_regs takes, at least the part that is known.
func (k *Kernel) ptRegsSize(known uint64) uint64 {
	t, err := k.Cast(0, "struct pt_regs")
	if err != nil {
		return known
	}
	return max(known, t.Type.Size())
}

// entryForms are the struct pt_regs by machine.
var entryForms = map[string]*ptForm{"x86_64": &x86Regs, "aarch64": &arm64Regs}

// plausible tells whether the registers that decide where code goes on fit together.
func (u *Unwinder) plausible(r *PtRegs) bool {
	if r.form == &x86Regs {
		cs, _ := r.Get("cs")
		ss, _ := r.Get("ss")
		flags, _ := r.Get("eflags")
		// Bit 1 of the flags is always set, 3, 5, 15 and 22 up never (Intel SDM 3.4.3).
		if flags&^uint64(0x3f7fd7) != 0 || flags&2 == 0 {
			return false
		}
		switch cs {
		case 0x10: // __KERNEL_CS; ss is 0 where the processor entered by itself
			return (ss == 0x18 || ss == 0) && r.SP() >= 1<<63 && u.code.executable(r.PC())
		case 0x33, 0x23: // __USER_CS, __USER32_CS
			return ss == 0x2b && userAddress(r.PC()) && userAddress(r.SP())
		}
		return false
	}
	pstate, _ := r.Get("pstate")
	switch {
	case pstate&^0xf3f03fcf != 0 || r.PC()%4 != 0 || r.PC() == 0: // SPSR_EL1 (Arm ARM C5.2.19): the others are 0
		return false
	case r.User():
		return userAddress(r.PC()) && userAddress(r.SP()) && r.SP()%16 == 0
	}
	mode := pstate & 0xf
	return (mode == 4 || mode == 5 || mode == 8 || mode == 9) && r.SP() >= 1<<63 && u.code.executable(u.k.spc.Strip(r.PC()))
}

// userAddress tells whether a process can have something there: above what it may not map
// (vm.mmap_min_addr) and below the kernel's half.
func userAddress(va uint64) bool { return va >= 1<<12 && va < 1<<56 }
