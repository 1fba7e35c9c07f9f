package symbols

import (
	"fmt"
	"strings"
)

// farthest is how far behind its symbol an address is still named. kallsyms has no
// sizes: without a bound the last symbol before a gap would name all of the gap.
const farthest = 64 << 10

// limits are the addresses of the kernel's own marks, 0 where the table lacks them.
type limits struct {
	etext, end uint64
}

func (t *Table) limits() limits {
	return limits{etext: t.mark("_etext"), end: t.mark("_end")}
}

// mark is the kernel's own symbol of that name.
func (t *Table) mark(name string) uint64 {
	for i := range t.find.numbers(t, name) {
		if t.module(i) == "" {
			return t.addr[i]
		}
	}
	return 0
}

// At names an address: the symbol that begins at it or closest below, and the distance.
// Of several symbols at one address the first in kallsyms is taken, as in the kernel's own
// traces (__do_sys_pause, not __x64_sys_pause); marks of the linker (_stext,
// __sched_text_start) come last. Padding before functions (__pfx_, __cfi_) and mapping
// symbols ($x) never name anything.
//
// The error wraps ErrNoSymbol for an address below the first symbol, behind the end of a
// section (_etext, _end), more than 64 KiB behind its symbol outside of the kernel's
// data, or in the range of per-CPU offsets.
//
// Symbols of init memory are named although the kernel has freed it after boot and may
// have given it to others.
func (t *Table) At(addr uint64) (s Symbol, offset uint64, err error) {
	t.prepare()
	for k := t.above(addr, t.Len()) - 1; k >= 0; {
		i, rank, below := t.best(k)
		offset = addr - t.addr[i]
		if rank == rankEnd && offset > 0 || offset > t.reach(i) {
			break
		}
		if rank < rankNever {
			return t.symbol(i), offset, nil
		}
		k = below
	}
	return Symbol{}, 0, fmt.Errorf("%#x: %w", addr, ErrNoSymbol)
}

// reach is how far behind itself symbol i names addresses. Variables of the kernel image
// (log buffers, hash tables) are longer than any function; the kernel's end is known
// there. The type letter does not tell data from text: 7.2 gives T to both.
func (t *Table) reach(i int) uint64 {
	if a := t.addr[i]; t.module(i) == "" && a >= t.lim.etext && a < t.lim.end && t.lim.etext != 0 {
		return t.lim.end - a - 1
	}
	return farthest - 1
}

// best picks among the symbols that share the address of the k-th in address order, and
// gives the place of the next lower address.
func (t *Table) best(k int) (i, rank, below int) {
	a := t.addr[t.nth(k)]
	i, rank = t.nth(k), rankNever+1
	for ; k >= 0 && t.addr[t.nth(k)] == a; k-- {
		// <=, because of equal ones the first in kallsyms is taken, as the kernel does.
		if r := t.rank(t.nth(k)); r <= rank {
			i, rank = t.nth(k), r
		}
	}
	return i, rank, k
}

// The order in which symbols of one address are preferred.
const (
	rankName  = iota
	rankStart // a mark of the linker at the begin of a section
	rankEnd   // a mark at the end: names its own address, nothing behind it
	rankNever
)

func (t *Table) rank(i int) int {
	name := t.name(i)
	switch {
	case absolute(t.typ(i)), padding(name):
		return rankNever
	case endMark(name):
		return rankEnd
	case startMark(name):
		return rankStart
	}
	return rankName
}

// padding tells names that stand for no code: the NOPs before a function (6.3 on,
// CONFIG_CALL_PADDING; clang's kCFI) and the mapping symbols of ARM, RISC-V and LoongArch.
func padding(name string) bool {
	return strings.HasPrefix(name, "__pfx_") || strings.HasPrefix(name, "__cfi_") ||
		strings.HasPrefix(name, "$") || strings.HasPrefix(name, ".L")
}

// endMark knows the ends of sections by include/asm-generic/vmlinux.lds.h. The prefixes
// __stop_ and __end_ are no sign: __stop_tty and __end_swap_bio_read are functions.
func endMark(name string) bool {
	switch name {
	case "_etext", "_einittext", "_edata", "_end", "__bss_stop", "__init_end", "__brk_limit", "__end_rodata":
		return true
	}
	return strings.HasPrefix(name, "__") && strings.HasSuffix(name, "_text_end")
}

func startMark(name string) bool {
	switch name {
	case "_text", "_stext", "_sinittext", "_sdata", "__init_begin", "__bss_start", "__pi__text":
		return true
	}
	return strings.HasPrefix(name, "__") && strings.HasSuffix(name, "_text_start")
}
