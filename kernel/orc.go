package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// orc walks the stacks of x86_64 by the tables that the kernel has for this (CONFIG_
// UNWINDER_ORC, 4.14+, arch/x86/kernel/unwind_orc.c). They are kept in memory, no vmlinux
// is needed. Code without a table is walked by its frame pointer.
type orc struct {
	*code
	kernel *orcTable
	err    error // why kernel is nil
	frames callFrames

	mu      sync.Mutex
	modules map[string]*orcTable // those looked for; nil: the module has none
}

func newORC(c *code) *orc {
	o := &orc{code: c, modules: map[string]*orcTable{}, frames: callFrames{code: c}}
	if o.kernel, o.err = o.kernelTable(); o.err != nil {
		o.kernel = nil
	}
	return o
}

// kernelTable finds the kernel's own tables by the marks of include/asm-generic/
// vmlinux.lds.h, which are in kallsyms when it has data (CONFIG_KALLSYMS_ALL).
func (o *orc) kernelTable() (*orcTable, error) {
	if o.k.ignoreORC {
		return nil, fmt.Errorf("ORC tables are ignored: %w", phys.ErrUnsupported)
	}
	ips, entries, end := o.symbol("__start_orc_unwind_ip"), o.symbol("__start_orc_unwind"), o.symbol("__stop_orc_unwind")
	if ips == 0 || entries == 0 || end == 0 {
		return nil, errors.Join(fmt.Errorf("no ORC tables: kallsyms does not name them: %w", phys.ErrUnsupported), o.code.err)
	}
	n := (end - entries) / orcEntryBytes
	if end < entries || n == 0 || n > maxORC {
		return nil, fmt.Errorf("ORC tables of %d entries: %w", int64(n), phys.ErrCorrupt)
	}
	t := &orcTable{k: o.k, ips: ips, entries: entries, n: int(n)}
	if from, to := o.k.imageRange(); !t.sorted(16, from, to) {
		return nil, fmt.Errorf("ORC table at %#x: not the addresses of code in order: %w", ips, phys.ErrCorrupt)
	}
	return t, t.learn()
}

// lookup finds the entry for an address: in the kernel's table or in that of its module.
func (o *orc) lookup(addr uint64) (orcEntry, error) {
	if o.kernel == nil {
		return orcEntry{}, o.err
	}
	name := o.module(addr)
	if name == "" {
		if start, end := o.k.spc.ImageRange(); addr < start || addr >= end {
			return orcEntry{}, errNoORC
		}
		return o.kernel.find(addr)
	}
	t := o.moduleTable(name)
	if t == nil {
		return orcEntry{}, fmt.Errorf("module %s: %w", name, errNoORC)
	}
	return t.find(addr)
}

// moduleTable is the table of a module, nil when it has none that can be found.
func (o *orc) moduleTable(name string) *orcTable {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.modules[name]
	if ok {
		return t
	}
	mods, _ := o.k.Modules(context.Background()) // kept since the symbols were read
	for _, m := range mods {
		if m.Name == name {
			t = o.inModule(m)
			break
		}
	}
	o.modules[name] = t
	return t
}

// inModule finds module.arch of a module by its shape: struct mod_arch_specific
// (arch/x86/include/asm/module.h), the same in all kernels.
//
//	0               8               16
//	|num_orcs u32| | orc_unwind_ip | orc_unwind | …
//
// The first is the number of words in the second, all of them addresses of code near the
// module in ascending order: nothing else is like that.
func (o *orc) inModule(m Module) *orcTable {
	b := make([]byte, maxModuleBytes)
	n, _ := o.k.ReadVirt(b, m.Addr)
	word := func(off int) uint64 { return bin.Uint(b[off:off+8], o.k.dump.Header.Order) }
	from, to := m.Addr-moduleReach, m.Addr+moduleReach
	near := func(va uint64) bool { return va >= from && va < to }
	for off := 0; off+24 <= n; off += 8 {
		t := &orcTable{k: o.k, ips: word(off + 8), entries: word(off + 16), n: int(uint32(word(off))), form: o.kernel.form}
		if t.n > 0 && t.n < maxModuleORC && near(t.ips) && near(t.entries) && o.ofCode(t) && t.sorted(t.n, from, to) {
			return t
		}
	}
	return nil
}

const (
	maxModuleBytes = 4096     // of struct module that are looked at; 7.2 has 1,500
	maxModuleORC   = 1 << 20  // entries; large drivers have 200,000
	moduleReach    = 64 << 20 // from struct module to its code
)

// ofCode tells whether a table is about code: its first entry, or where that is of code that
// is freed after the module has started, one in the middle.
func (o *orc) ofCode(t *orcTable) bool {
	for _, i := range []int{0, t.n / 2, t.n - 1} {
		if at, err := t.at(i); err == nil && o.executable(at) {
			return true
		}
	}
	return false
}

func (o *orc) start(regs vmcore.Registers) (s state, user bool) {
	fp, _ := regs.FP()
	cs, _ := regs.Get("cs")
	return state{pc: regs.PC(), sp: regs.SP(), fp: fp, exact: true, regs: regs, by: ByRegisters}, cs&3 == 3
}

// sleeping reads struct inactive_task_frame (arch/x86/include/asm/switch_to.h) since 4.9.
// Some releases from 5.1 on have the flags before it (6690e86be83a).
//
//	0    8    16   24   32   40   48         56
//	| r15| r14| r13| r12| bx | bp | ret_addr |
func (o *orc) sleeping(sp uint64) (state, error) {
	var w [8]uint64
	for i := range w {
		v, err := o.k.pointer(sp + uint64(8*i))
		if err != nil {
			return state{}, fmt.Errorf("struct inactive_task_frame: %w", err)
		}
		w[i] = v
	}
	for ret := uint64(6); ret <= 7; ret++ {
		if o.newborn(w[ret]) || o.executable(w[ret]-1) && o.called(w[ret]) {
			kept := &PtRegs{Addr: sp, form: &inactiveRegs, values: w[ret-6 : ret-1 : ret-1]}
			return state{pc: w[ret], fp: w[ret-1], sp: sp + 8*ret + 8, regs: kept}, nil
		}
	}
	return state{}, fmt.Errorf("%w: no struct inactive_task_frame at %#x: %w", ErrStack, sp, phys.ErrCorrupt)
}

// inactiveRegs are the registers that struct inactive_task_frame begins with, in front of the
// frame pointer.
var inactiveRegs = ptForm{names: []string{"r15", "r14", "r13", "r12", "rbx"}}

// step follows unwind_next_frame.
func (o *orc) step(s state) (hop, error) {
	if err := o.rewritten(s.pc); err != nil {
		return hop{}, err
	}
	if s.exact && !o.executable(s.pc) {
		return o.jumped(s)
	}
	e, err := o.lookup(s.at())
	if err != nil {
		return o.withoutORC(s, err)
	}
	switch e.kind {
	case orcEnd:
		return hop{end: true}, nil
	case orcUndefined, orcCorrupt:
		return hop{}, fmt.Errorf("%w: the ORC table knows no caller of %#x: %w", ErrStack, s.pc, phys.ErrUnsupported)
	}
	cfa, err := o.cfa(s, e)
	if err != nil {
		return hop{}, err
	}
	if e.kind == orcCall {
		return o.call(s, e, cfa)
	}
	return o.entry(s, e, cfa)
}

// withoutORC goes by call frame information where a whole kernel, or a module, has no table:
// in what has none in other kernels there is none of that either.
func (o *orc) withoutORC(s state, why error) (hop, error) {
	if o.kernel == nil || o.module(s.at()) != "" {
		return o.byCallFrame(s, why)
	}
	return o.byFramePointer(s, why)
}

// cfa is the address that the entry counts from (canonical frame address): behind the
// return address, or of the registers.
func (o *orc) cfa(s state, e orcEntry) (uint64, error) {
	switch e.spReg {
	case orcSP:
		return s.sp + e.spOff, nil
	case orcBP:
		return s.fp + e.spOff, nil
	case orcBPInd:
		return o.k.pointer(s.fp + e.spOff)
	case orcSPInd:
		// In calls, since 5.12 (87ccc826bf1c): *sp + offset. Before, only registers were
		// so, and at *(sp + offset).
		if e.kind != orcCall {
			return o.k.pointer(s.sp + e.spOff)
		}
		v, err := o.k.pointer(s.sp)
		return v + e.spOff, err
	}
	name, ok := orcNames[e.spReg]
	if ok && s.regs != nil {
		if v, ok := s.regs.Get(name); ok {
			return v + e.spOff, nil
		}
	}
	return 0, fmt.Errorf("%w: the frame of %#x counts from %s, which is not known: %w", ErrStack, s.pc, name, phys.ErrUnsupported)
}

// orcNames are the registers that only interrupted code has.
var orcNames = map[orcReg]string{orcAX: "rax", orcDX: "rdx", orcDI: "rdi", orcR10: "r10", orcR13: "r13"}

// call is a frame that a call made: the return address stands below cfa.
func (o *orc) call(s state, e orcEntry, cfa uint64) (hop, error) {
	pc, err := o.k.pointer(cfa - 8)
	if err != nil {
		return hop{}, err
	}
	if !o.executable(pc - 1) {
		return hop{}, o.noCode(pc, cfa-8)
	}
	fp := s.fp
	switch e.bpReg {
	case orcPrevSP:
		fp, err = o.k.pointer(cfa + e.bpOff)
	case orcBP:
		fp, err = o.k.pointer(s.fp + e.bpOff)
	}
	return hop{next: state{pc: pc, sp: cfa, fp: fp, exact: e.signal || o.rewritten(pc) != nil, by: ByORC}}, err
}

func (o *orc) noCode(pc, at uint64) error {
	return fmt.Errorf("%w: %#x at %#x is no return address: %w", ErrStack, pc, at, phys.ErrCorrupt)
}

// entry is a frame that begins with the registers of what it interrupted.
func (o *orc) entry(s state, e orcEntry, cfa uint64) (hop, error) {
	form := &x86Regs
	if e.kind == orcPartial {
		form = &x86Frame
	}
	r, err := o.k.readPtRegs(form, cfa)
	if err != nil {
		return hop{}, err
	}
	fp := s.fp
	if v, ok := r.Get("rbp"); ok {
		fp = v
	}
	return hop{next: state{pc: r.PC(), sp: r.SP(), fp: fp, exact: e.signal, regs: r, by: ByRegisters}, entry: r}, nil
}

// jumped is code that called an address where no code is: the call pushed where to go on.
func (o *orc) jumped(s state) (hop, error) {
	pc, err := o.k.pointer(s.sp)
	if err != nil {
		return hop{}, err
	}
	if !o.executable(pc-1) || !o.called(pc) {
		return hop{}, o.noCode(pc, s.sp)
	}
	return hop{next: state{pc: pc, sp: s.sp + 8, fp: s.fp, by: ByORC}}, nil
}
