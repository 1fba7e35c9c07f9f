package main

import (
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// scan prints what -t, -T, -e and -r ask for: not the way through the stack, but what lies
// on it.
func (b *btPrinter) scan(t kernel.Task) {
	fmt.Fprintln(b.env.out, taskHead(t))
	s, err := b.u.Memory(t)
	switch {
	case b.f.raw:
		b.words(s.Addr, s.Words, false)
	case b.f.entries:
		b.entries(s)
	default:
		b.text(s)
	}
	if err != nil {
		b.env.met(err)
		fmt.Fprintf(b.env.out, "    stops here: %s\n", printable(err.Error()))
	}
}

// text prints the words that look like return addresses.
func (b *btPrinter) text(s kernel.StackMemory) {
	fmt.Fprintln(b.env.out, "  (a scan: every return address on the stack, whoever left it)")
	for _, fr := range b.u.Text(s, b.from(s)) {
		fmt.Fprintf(b.env.out, "  [%016x] %s at %x%s\n", stackSlot(b.k, fr), printable(b.f.function(fr)), fr.Addr, moduleOf(fr))
	}
}

// from is where on a stack -t and -e begin to look.
func (b *btPrinter) from(s kernel.StackMemory) uint64 {
	if b.f.textAll {
		return s.Addr
	}
	return s.SP
}

// entries prints what looks like a struct pt_regs on a stack.
func (b *btPrinter) entries(s kernel.StackMemory) {
	found := b.u.Entries(s, b.from(s))
	for _, r := range found {
		mode := "KERNEL"
		if r.User() {
			mode = "USER"
		}
		fmt.Fprintf(b.env.out, "\n  %s-MODE EXCEPTION FRAME AT: %x\n", mode, r.Addr)
		if table, err := b.k.AllSymbols(b.env.ctx); err == nil && !r.User() {
			if name, ok := symbolic(table, r.PC()); ok {
				fmt.Fprintf(b.env.out, "    [exception RIP: %s]\n", printable(name))
			}
		}
		printFrameRegs(b.env.out, r)
	}
	if len(found) == 0 {
		fmt.Fprintln(b.env.out, "  (no exception frame on its stack)")
	}
}

// frameMemory prints the stack between a frame and its caller's.
func (b *btPrinter) frameMemory(mem kernel.StackMemory, frames []kernel.Frame, i int) {
	from := stackSlot(b.k, frames[i])
	if frames[i].Kind != kernel.FrameInterrupted {
		from += 8
	}
	to := mem.Addr + 8*uint64(len(mem.Words))
	if i+1 < len(frames) {
		to = stackSlot(b.k, frames[i+1]) + 8
	}
	if from < mem.Addr || to > mem.Addr+8*uint64(len(mem.Words)) || to < from {
		fmt.Fprintln(b.env.out, "    (not on the task's own stack)")
		return
	}
	b.words(from, mem.Words[(from-mem.Addr)/8:(to-mem.Addr)/8], b.f.symbolic)
}

// words prints memory, two words a line; those that are addresses of the image by name.
func (b *btPrinter) words(at uint64, words []uint64, names bool) {
	var table *symbols.Table
	if names || b.f.raw {
		table, _ = b.k.AllSymbols(b.env.ctx)
	}
	for i := 0; i < len(words); i += 2 {
		line := fmt.Sprintf("    %016x:", at+uint64(8*i))
		for _, v := range words[i:min(i+2, len(words))] {
			text, ok := symbolic(table, v)
			if !ok {
				text = fmt.Sprintf("%016x", v)
			}
			line += fmt.Sprintf(" %-16s", printable(text))
		}
		fmt.Fprintln(b.env.out, strings.TrimRight(line, " "))
	}
}

// symbolic is an address by name, where a symbol covers it.
func symbolic(table *symbols.Table, v uint64) (string, bool) {
	if table == nil || v < 1<<63 {
		return "", false
	}
	s, off, err := table.At(v)
	if err != nil {
		return "", false
	}
	if off == 0 {
		return s.Name, true
	}
	return fmt.Sprintf("%s+%d", s.Name, off), true
}

// refers tells whether a stack has to do with a symbol or an address: a function that it
// goes through, or a word on it.
func (b *btPrinter) refers(t kernel.Task, s kernel.Stack) bool {
	for _, fr := range s.Frames {
		if fr.Symbol.Name == b.f.ref || b.refAddr != 0 && (fr.Addr == b.refAddr || fr.Symbol.Addr == b.refAddr) {
			return true
		}
	}
	if b.refAddr == 0 {
		return false
	}
	mem, err := b.u.Memory(t)
	b.env.met(err)
	for _, v := range mem.Used() {
		if v == b.refAddr {
			return true
		}
	}
	return false
}
