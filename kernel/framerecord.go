package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// recordChain walks the stacks of arm64 by the frame records that every function keeps
// (Procedure Call Standard for the Arm 64-bit Architecture, 6.4.6; arch/arm64/kernel/
// stacktrace.c). x29 points to the newest.
//
//	0            8         16
//	| caller's fp| lr      |
//
// An entry into the kernel has its record in struct pt_regs itself:
//
//	until 6.13  {fp, pc} of what it interrupted; 5.11+ {0, 0} when that was a process
//	6.14+       frame_record_meta {0, 0, type}: 1 the last, 2 an exception
type recordChain struct{ *code }

// The types of frame_record_meta (arch/arm64/include/asm/stacktrace/frame.h).
const (
	metaFinal = 1
	metaRegs  = 2
)

// stackframeOffs are where struct pt_regs has its member stackframe: since 6.14 behind
// sdei_ttbr1, before behind pmr_save.
var stackframeOffs = []uint64{304, 296}

func (c *recordChain) start(regs vmcore.Registers) (s state, user bool) {
	fp, _ := regs.FP()
	pstate, _ := regs.Get("pstate")
	return state{pc: c.k.spc.Strip(regs.PC()), sp: regs.SP(), fp: fp, exact: true, regs: regs, by: ByRegisters}, pstate&0xf == 0
}

// sleeping: thread.cpu_context has the registers themselves.
func (c *recordChain) sleeping(uint64) (state, error) {
	return state{}, fmt.Errorf("registers at thread.sp: arm64 keeps them in thread.cpu_context: %w", phys.ErrUnsupported)
}

func (c *recordChain) step(s state) (hop, error) {
	if err := c.rewritten(s.pc); err != nil {
		return hop{}, err
	}
	if s.fp == 0 { // until 5.10 the chain just ends
		return hop{end: true}, nil
	}
	if s.fp%8 != 0 {
		return hop{}, fmt.Errorf("%w: frame record at %#x: %w", ErrStack, s.fp, phys.ErrCorrupt)
	}
	fp, err := c.k.pointer(s.fp)
	if err != nil {
		return hop{}, fmt.Errorf("frame record: %w", err)
	}
	lr, err := c.k.pointer(s.fp + 8)
	if err != nil {
		return hop{}, fmt.Errorf("frame record: %w", err)
	}
	if h, ok := c.leaf(s, lr); ok {
		return h, nil
	}
	if fp == 0 && lr == 0 {
		return c.meta(s)
	}
	if r := c.regsAround(s.fp, fp, lr); r != nil {
		return c.interrupted(r), nil
	}
	pc := c.k.spc.Strip(lr)
	if !c.executable(pc - 1) {
		return hop{}, fmt.Errorf("%w: %#x in the frame record at %#x is no return address: %w", ErrStack, lr, s.fp, phys.ErrCorrupt)
	}
	return hop{next: state{pc: pc, sp: s.fp + 16, fp: fp, exact: c.rewritten(pc) != nil, by: ByFrameRecord}}, nil
}

// leaf looks for the caller of interrupted code that has no record of its own: one that
// calls nobody, or has not come so far. Its x30 then leads to another function than itself,
// and is not what the newest record has.
func (c *recordChain) leaf(s state, lr uint64) (hop, bool) {
	if !s.exact || s.regs == nil {
		return hop{}, false
	}
	x30, ok := s.regs.Get("x30")
	pc := c.k.spc.Strip(x30)
	if !ok || pc == c.k.spc.Strip(lr) || !c.executable(pc-1) || !c.called(pc) {
		return hop{}, false
	}
	own, _, err := c.find(s.pc)
	from, _, err2 := c.find(pc - 1)
	if errors.Join(err, err2) != nil || own.Addr == from.Addr {
		return hop{}, false
	}
	return hop{next: state{pc: pc, sp: s.sp, fp: s.fp, by: ByLinkRegister}}, true
}

// interrupted goes on with the code whose registers an entry saved.
func (c *recordChain) interrupted(r *PtRegs) hop {
	fp, _ := r.Get("x29")
	return hop{entry: r, next: state{pc: c.k.spc.Strip(r.PC()), sp: r.SP(), fp: fp, exact: true, regs: r, by: ByRegisters}}
}

// meta reads the record {0, 0}: the last one, or since 6.14 that of an exception.
func (c *recordChain) meta(s state) (hop, error) {
	typ, err := c.k.pointer(s.fp + 16)
	if err == nil && typ == metaRegs {
		for _, off := range stackframeOffs {
			if r, err := c.k.readPtRegs(&arm64Regs, s.fp-off); err == nil && c.kernelMode(r) {
				return c.interrupted(r), nil
			}
		}
		return hop{}, fmt.Errorf("%w: no struct pt_regs around its record at %#x: %w", ErrStack, s.fp, phys.ErrCorrupt)
	}
	return hop{end: true, entry: c.userRegs(s.fp, typ)}, nil
}

// userRegs is the struct pt_regs of the last record, nil for a thread of the kernel, in
// which it is zero.
func (c *recordChain) userRegs(at, typ uint64) *PtRegs {
	offs := stackframeOffs
	if typ == metaFinal {
		offs = []uint64{296, 304}
	}
	for _, off := range offs {
		r, err := c.k.readPtRegs(&arm64Regs, at-off)
		if err == nil && r.User() && r.PC() != 0 && r.PC()%4 == 0 && r.PC() < 1<<55 && r.SP() < 1<<55 {
			return r
		}
	}
	return nil
}

// regsAround finds the struct pt_regs that the record at va lies in: it holds the same
// frame pointer and the same pc once more.
func (c *recordChain) regsAround(va, fp, lr uint64) *PtRegs {
	for _, off := range stackframeOffs {
		r, err := c.k.readPtRegs(&arm64Regs, va-off)
		if err != nil || r.PC() != lr || !c.kernelMode(r) {
			continue
		}
		if x29, _ := r.Get("x29"); x29 == fp {
			return r
		}
	}
	return nil
}

// kernelMode tells whether registers are of the kernel: PSR_MODE_EL1t, EL1h, and EL2 of a
// kernel that runs there.
func (c *recordChain) kernelMode(r *PtRegs) bool {
	v, _ := r.Get("pstate")
	switch v & 0x1f {
	case 4, 5, 8, 9:
		return r.SP() >= 1<<63
	}
	return false
}

// called looks for the call before addr.
func (c *recordChain) called(addr uint64) bool {
	b := c.before(addr, 4)
	return addr%4 == 0 && (erased(b, 4) || arm64Call(binary.LittleEndian.Uint32(b)))
}

// arm64Call knows BL, BLR and BLR with pointer authentication (Arm ARM C6.2). Instructions
// are little-endian on all of them.
func arm64Call(insn uint32) bool { return insn>>26 == 0x25 || insn&0xfefff000 == 0xd63f0000 }

// caller: a record is never left out, so that there is nothing to complete.
func (c *recordChain) caller(_, g state) (state, bool) { return g, false }
