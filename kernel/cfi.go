package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// callFrames walks the stacks of x86_64 by the call frame information of vmlinux and of
// modules, where the kernel has no ORC tables (before 4.14, and CONFIG_UNWINDER_GUESS) or
// they are lost. Functions in C have it. Those in assembly have it until 4.1 (7209a75d2009);
// since then they are told by the struct pt_regs that they leave where C returns to them.
type callFrames struct {
	*code
	mu     sync.Mutex
	tables map[string]frameAnswer // by module
}

type frameAnswer struct {
	debug *DebugFile
	table *dwarf.FrameTable
	err   error
}

// x86Numbers are the names of registers by their DWARF numbers (System V ABI for x86-64,
// figure 3.36); 16 is the return address.
var x86Numbers = strings.Fields("rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip")

const (
	x86BP = 6
	x86SP = 7
	x86IP = 16
)

// x86Kept are the registers that a function leaves as they were, beside rbp.
var x86Kept = []int{3, 12, 13, 14, 15}

// Register makes a state what call frame information counts from.
func (s state) Register(n int) (v uint64, ok bool) {
	switch n {
	case x86BP:
		return s.fp, true
	case x86SP:
		return s.sp, true
	}
	if s.regs == nil || n < 0 || n >= len(x86Numbers) {
		return 0, false
	}
	return s.regs.Get(x86Numbers[n])
}

// keptRegs are the registers that callers have kept.
type keptRegs map[string]uint64

// Get gives one of them.
func (r keptRegs) Get(name string) (v uint64, ok bool) {
	v, ok = r[name]
	return v, ok
}

// table gives the table of a module, or of the kernel.
func (c *callFrames) table(module string) frameAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.tables[module]
	if ok {
		return a
	}
	if a.debug, a.err = c.k.DebugFile(context.Background(), module); a.err == nil {
		a.table, a.err = a.debug.Frames()
	}
	if c.tables == nil {
		c.tables = map[string]frameAnswer{}
	}
	c.tables[module] = a
	return a
}

// at gives the rules for an address. The error wraps dwarf.ErrNoFrame for code that has none,
// and dwarf.ErrNoDebug without debug information.
func (c *callFrames) at(addr uint64) (*dwarf.Frame, error) {
	a := c.table(c.module(addr))
	if a.err != nil {
		return nil, a.err
	}
	pc, ok := a.debug.ToFile(addr)
	if !ok {
		return nil, fmt.Errorf("address %#x: %w", addr, dwarf.ErrNoFrame)
	}
	return a.table.At(pc)
}

// byCallFrame finds the caller of s; why is the reason when nothing says where it is.
func (o *orc) byCallFrame(s state, why error) (hop, error) {
	f, err := o.frames.at(s.at())
	switch {
	case errors.Is(err, dwarf.ErrNoFrame):
		return o.assembly(s, why)
	case errors.Is(err, dwarf.ErrNoDebug):
		return o.byFramePointer(s, why)
	case err != nil:
		return o.byFramePointer(s, errors.Join(why, err))
	}
	cfa, err := f.CFA(s, o.k)
	if err != nil {
		return hop{}, err
	}
	if at := f.Rule(f.Return); f.Signal && at.Kind == dwarf.RuleOffset {
		return o.entered(cfa + uint64(at.Offset) - x86IP*8)
	}
	pc, ok, err := f.Register(f.Return, cfa, s, o.k)
	if err != nil {
		return hop{}, err
	}
	if !ok || !o.executable(pc-1) {
		return hop{}, o.noCode(pc, cfa-8)
	}
	next := state{pc: pc, sp: cfa, exact: f.Signal || o.rewritten(pc) != nil, by: ByCFI}
	if next.fp, _, err = f.Register(x86BP, cfa, s, o.k); err != nil {
		return hop{}, err
	}
	kept := keptRegs{}
	for _, n := range x86Kept {
		if v, ok, err := f.Register(n, cfa, s, o.k); ok && err == nil {
			kept[x86Numbers[n]] = v
		}
	}
	next.regs = kept
	return hop{next: next}, nil
}

// lastFunctions are those in assembly that call C and were not called themselves.
var lastFunctions = append(slices.Clone(births), "secondary_startup_64", "secondary_startup_64_no_verify", "start_cpu0", "kernel_thread_helper", "child_rip")

// assembly finds the caller of a function without call frame information.
func (o *orc) assembly(s state, why error) (hop, error) {
	if sym, _, err := o.find(s.at()); err == nil && slices.Contains(lastFunctions, sym.Name) {
		if r, err := o.k.readPtRegs(&x86Regs, s.sp); err == nil && userSegments(r) {
			return hop{entry: r}, nil
		}
		return hop{end: true}, nil
	}
	if h, err := o.entered(s.sp); err == nil {
		return h, nil
	}
	if s.exact { // most of them have no frame
		if h, err := o.jumped(s); err == nil {
			return h, nil
		}
	}
	return o.byFramePointer(s, why)
}

// entered goes on with what an entry into the kernel has interrupted, if there is a struct
// pt_regs at va.
func (o *orc) entered(va uint64) (hop, error) {
	r, err := o.k.readPtRegs(&x86Regs, va)
	if err != nil {
		return hop{}, err
	}
	const kernelCS = 0x10
	cs, _ := r.Get("cs")
	if !userSegments(r) && (cs&0xffff != kernelCS || r.SP() < 1<<63 || !o.executable(r.PC())) {
		return hop{}, fmt.Errorf("%w: no struct pt_regs at %#x", ErrStack, va)
	}
	fp, _ := r.Get("rbp")
	return hop{next: state{pc: r.PC(), sp: r.SP(), fp: fp, exact: true, regs: r, by: ByRegisters}, entry: r}, nil
}

// userSegments tells whether registers are of a process: the selectors of user code, 32-bit
// and 64-bit, and of user data (arch/x86/include/asm/segment.h).
func userSegments(r *PtRegs) bool {
	const userCS, userCS32, userSS = 0x33, 0x23, 0x2b
	cs, _ := r.Get("cs")
	ss, _ := r.Get("ss")
	return (cs&0xffff == userCS || cs&0xffff == userCS32) && ss&0xffff == userSS
}
