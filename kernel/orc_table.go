package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// orcTable is one pair of ORC tables: the kernel's or a module's. Entry i holds from the
// address of ips[i] on to that of the next. Both are sorted by address, at boot or when
// the kernel is built (5.6, f14bf6a350df).
//
//	.orc_unwind_ip   s32 ips[n]         each relative to its own place
//	.orc_unwind      orc_entry e[n]     6 bytes each
type orcTable struct {
	k       *Kernel
	ips     uint64
	entries uint64
	n       int
	form    *orcForm
}

const orcEntryBytes = 6

// maxORC bounds the entries of one table; a kernel has up to half a million.
const maxORC = 1 << 23

// The registers that an entry can count from, whatever their numbers.
type orcReg uint8

const (
	orcNone orcReg = iota // undefined
	orcAX
	orcBP
	orcBPInd
	orcDI
	orcDX
	orcPrevSP
	orcR10
	orcR13
	orcSP
	orcSPInd
	orcUnknown
)

// What an entry says of the frame.
type orcKind uint8

const (
	orcUndefined orcKind = iota // nothing is known
	orcEnd                      // the end of the stack
	orcCall                     // a return address
	orcRegs                     // a struct pt_regs
	orcPartial                  // what the processor pushes: ip, cs, flags, sp, ss
	orcCorrupt
)

// orcForm is one of the layouts of struct orc_entry (arch/x86/include/asm/orc_types.h).
//
//	0              2              4                   5
//	| sp_offset s16| bp_offset s16| bp_reg:4 sp_reg:4 | flags |      the low bits on the right
//
//	         flags                          registers
//	4.14     . . . . . end type:2           numbered as in orcOldRegs
//	6.3      . . . . end signal type:2      the same                     ffb1b4a41016
//	6.4      . . . . signal type:3          the same                     fb799447ae29
//	7.1      . . . . signal type:3          numbered as in orcNewRegs    1735858caa4b
//
// end came in 4.18 (d31a580266ee). Before, an undefined sp_reg was the end of the stack.
type orcForm struct {
	regs      *[16]orcReg
	kinds     []orcKind // by type
	end       byte      // bit of flags
	signal    byte      // 0: what follows registers is exact
	undefined orcKind   // what an undefined sp_reg without end means, where it has a meaning
}

var (
	orcOldRegs = [16]orcReg{
		orcNone, orcPrevSP, orcDX, orcDI, orcBP, orcSP, orcR10, orcR13, orcBPInd, orcSPInd,
		orcUnknown, orcUnknown, orcUnknown, orcUnknown, orcUnknown, orcUnknown,
	}
	orcNewRegs = [16]orcReg{
		orcNone, orcAX, orcDX, orcSP, orcBP, orcDI, orcR10, orcR13, orcPrevSP, orcSPInd, orcBPInd,
		orcUnknown, orcUnknown, orcUnknown, orcUnknown, orcUnknown,
	}
	orcOldKinds = []orcKind{orcCall, orcRegs, orcPartial, orcCorrupt}
	orcNewKinds = []orcKind{orcUndefined, orcEnd, orcCall, orcRegs, orcPartial, orcCorrupt, orcCorrupt, orcCorrupt}

	orcForm414 = orcForm{regs: &orcOldRegs, kinds: orcOldKinds, undefined: orcEnd}
	orcForm418 = orcForm{regs: &orcOldRegs, kinds: orcOldKinds, end: 1 << 2}
	orcForm63  = orcForm{regs: &orcOldRegs, kinds: orcOldKinds, signal: 1 << 2, end: 1 << 3}
	orcForm64  = orcForm{regs: &orcOldRegs, kinds: orcNewKinds, signal: 1 << 3}
	orcForm71  = orcForm{regs: &orcNewRegs, kinds: orcNewKinds, signal: 1 << 3}
)

// orcEntry is a decoded entry.
type orcEntry struct {
	kind         orcKind
	spReg, bpReg orcReg
	spOff, bpOff uint64 // signed, modulo 2^64
	signal       bool   // the caller was interrupted: its ip is exact
}

func (f *orcForm) decode(b []byte) orcEntry {
	flags := b[5]
	e := orcEntry{
		kind:  f.kinds[int(flags)&(len(f.kinds)-1)],
		spReg: f.regs[b[4]&0xf], bpReg: f.regs[b[4]>>4],
		spOff: uint64(int16(binary.LittleEndian.Uint16(b))),
		bpOff: uint64(int16(binary.LittleEndian.Uint16(b[2:]))),
	}
	e.signal = flags&f.signal != 0 || f.signal == 0 && e.kind != orcCall
	if len(f.kinds) == len(orcOldKinds) && e.spReg == orcNone {
		if e.kind = f.undefined; flags&f.end != 0 {
			e.kind = orcEnd
		}
	}
	return e
}

// orcCensus counts what the forms differ in.
type orcCensus struct {
	spReg [16]int
	types [8]int
	bit2  int // entries with an undefined sp_reg and bit 2 of flags
	bit3  int // entries with bit 3 of flags
}

func (c *orcCensus) add(b []byte) {
	for ; len(b) >= orcEntryBytes; b = b[orcEntryBytes:] {
		c.spReg[b[4]&0xf]++
		c.types[b[5]&7]++
		if b[5]&(1<<2) != 0 && b[4]&0xf == 0 {
			c.bit2++
		}
		if b[5]&(1<<3) != 0 {
			c.bit3++
		}
	}
}

// form tells which layout the entries have. Nearly all of them are those of calls that
// count from the stack pointer: this gives the numbers of both. sure is false when entries
// that were not seen could change the answer.
func (c *orcCensus) form() (f *orcForm, sure bool) {
	calls, sp := mostFrequent(c.types[:]), mostFrequent(c.spReg[:])
	switch {
	case calls == 2 && sp == 3:
		return &orcForm71, true
	case calls == 2 && sp == 5:
		return &orcForm64, true
	case calls != 0 || sp != 5:
		return nil, true
	case c.bit3 > 0:
		return &orcForm63, true
	case c.bit2 > 0:
		return &orcForm418, false
	}
	return &orcForm414, false
}

func mostFrequent(counts []int) (at int) {
	for i, n := range counts {
		if n > counts[at] {
			at = i
		}
	}
	return at
}

// errNoORC: no table covers an address.
var errNoORC = fmt.Errorf("no ORC table covers it: %w", phys.ErrUnsupported)

// find is the last entry whose address is not above ip.
func (t *orcTable) find(ip uint64) (orcEntry, error) {
	lo, hi := 0, t.n // at(lo) <= ip < at(hi)
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		at, err := t.at(mid)
		if err != nil {
			return orcEntry{}, fmt.Errorf("ORC table: %w", err)
		}
		if at <= ip {
			lo = mid
		} else {
			hi = mid
		}
	}
	if first, err := t.at(lo); err != nil || first > ip {
		return orcEntry{}, errors.Join(errNoORC, err)
	}
	var b [orcEntryBytes]byte
	if _, err := t.k.ReadVirt(b[:], t.entries+uint64(lo)*orcEntryBytes); err != nil {
		return orcEntry{}, fmt.Errorf("ORC table: %w", err)
	}
	return t.form.decode(b[:]), nil
}

// at is the address from which entry i holds.
func (t *orcTable) at(i int) (uint64, error) {
	va := t.ips + uint64(i)*4
	v, err := t.k.uint(va, 4)
	return va + uint64(int32(v)), err
}

// learn finds the form of the entries by looking at as many of them as it takes.
func (t *orcTable) learn() error {
	var c orcCensus
	var why error
	const entries = windowBytes / orcEntryBytes
	buf := make([]byte, entries*orcEntryBytes)
	for i, sure := 0, false; i < t.n && !sure; i += entries {
		b := buf[:min(entries, t.n-i)*orcEntryBytes]
		n, err := t.k.ReadVirt(b, t.entries+uint64(i)*orcEntryBytes)
		if err != nil && why == nil {
			why = err
		}
		c.add(b[:n])
		t.form, sure = c.form()
	}
	if t.form == nil {
		return errors.Join(why, fmt.Errorf("ORC entries of an unknown form at %#x: %w", t.entries, phys.ErrUnsupported))
	}
	return nil
}

// sorted looks whether n numbers spread over the table ascend within [from, to).
func (t *orcTable) sorted(n int, from, to uint64) bool {
	last := from
	for i := range min(n, t.n) {
		at, err := t.at(i * (t.n - 1) / max(min(n, t.n)-1, 1))
		if err != nil {
			continue
		}
		if at < last || at >= to {
			return false
		}
		last = at
	}
	return true
}
