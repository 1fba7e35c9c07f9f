package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// code knows where the kernel's code is and what it is called.
type code struct {
	k     *Kernel
	table *symbols.Table // nil: see err
	err   error          // of the symbols

	image   [][2]uint64       // the text of the kernel, half-open
	rewrite map[uint64]string // trampolines that stand in for return addresses
	born    map[uint64]bool   // where a task begins that has not run yet
}

// textMarks are the symbols around the kernel's text. What the kernel frees after boot is
// text as long as nothing else has got the pages.
var textMarks = [][2]string{{"_stext", "_etext"}, {"_sinittext", "_einittext"}}

// trampolines replace return addresses, which are then kept elsewhere: the function graph
// tracer's, and those of kretprobes, which have changed their name twice; 6.1 has rethook.
var trampolines = []string{"return_to_handler", "arch_rethook_trampoline", "__kretprobe_trampoline", "kretprobe_trampoline"}

// births are the code in which a new task begins: nothing was called there.
var births = []string{"ret_from_fork", "ret_from_fork_asm", "ret_from_kernel_thread"}

func (k *Kernel) newCode(ctx context.Context) *code {
	c := &code{k: k, rewrite: map[uint64]string{}, born: map[uint64]bool{}}
	c.table, c.err = k.AllSymbols(ctx)
	for _, m := range textMarks {
		if from, to := c.symbol(m[0]), c.symbol(m[1]); from != 0 && from < to {
			c.image = append(c.image, [2]uint64{from, to})
		}
	}
	for _, name := range trampolines {
		if a := c.symbol(name); a != 0 {
			c.rewrite[a] = name
		}
	}
	for _, name := range births {
		if a := c.symbol(name); a != 0 {
			c.born[a] = true
		}
	}
	return c
}

// symbol is the address of the kernel's symbol of that name, 0 where there is none.
func (c *code) symbol(name string) uint64 {
	if c.table == nil {
		return 0
	}
	s, err := c.table.Lookup(name)
	if err != nil || s.Module != "" {
		return 0
	}
	return s.Addr
}

// newborn tells whether a task that is to go on at pc has not run yet.
func (c *code) newborn(pc uint64) bool { return c.born[pc] }

// rewritten tells that a return address is a trampoline, and nil for any other. The true one
// is task_struct.ret_stack or in the list task_struct.rethooks.
func (c *code) rewritten(pc uint64) error {
	name, ok := c.rewrite[pc]
	if !ok {
		return nil
	}
	return fmt.Errorf("return address replaced by %s: the true one is kept with the task: %w", name, phys.ErrUnsupported)
}

// find names an address.
func (c *code) find(addr uint64) (symbols.Symbol, uint64, error) {
	if c.table == nil {
		return symbols.Symbol{}, 0, c.err
	}
	return c.table.At(addr)
}

// module is the module whose code addr is in, "" for the kernel and for what has no name.
func (c *code) module(addr uint64) string {
	s, _, err := c.find(addr)
	if err != nil {
		return ""
	}
	return s.Module
}

// frame makes the frame of s.
func (c *code) frame(s state) Frame {
	f := Frame{Kind: FrameCall, By: s.by, Addr: s.pc, SP: s.sp}
	switch {
	case s.by == ByScan:
		f.Kind = FrameGuess
	case s.exact && s.regs != nil:
		f.Kind = FrameInterrupted
	}
	at := s.at()
	if sym, off, err := c.find(at); err == nil && c.executable(at) {
		f.Symbol, f.Offset = sym, off+s.pc-at
	}
	return f
}

// executable tells whether code can be at va: in the kernel's text, or in memory of the
// kernel that the page tables do not forbid to execute.
func (c *code) executable(va uint64) bool {
	if va < 1<<63 {
		return false
	}
	for _, t := range c.image {
		if va >= t[0] && va < t[1] {
			return true
		}
	}
	if start, end := c.k.spc.ImageRange(); len(c.image) > 0 && va >= start && va < end {
		return false
	}
	if _, direct := c.k.spc.Direct(va); direct {
		return false
	}
	code, err := c.k.Executable(va)
	return err == nil && code
}

// Executable tells whether the kernel's page tables let it execute what is at an address of
// the kernel: false where nothing is mapped, too. The error is why the tables do not say.
func (k *Kernel) Executable(va uint64) (bool, error) {
	if k.spc == nil {
		return false, k.spaceErr
	}
	if va < 1<<63 {
		return false, nil
	}
	w, err := k.spc.Walk(va)
	if errors.Is(err, phys.ErrUnmapped) {
		return false, nil
	}
	return err == nil && !slices.ContainsFunc(w.Flags, func(f string) bool { return f == "NX" || f == "PXN" }), err
}

// before reads the n bytes that end at addr, fewer where memory is missing.
func (c *code) before(addr uint64, n int) []byte {
	b := make([]byte, n)
	got, err := c.k.ReadVirt(b, addr-uint64(n))
	if err != nil {
		return b[:got]
	}
	return b
}

// erased tells whether bytes of code cannot be judged: missing, or overwritten with X by
// makedumpfile --eraseinfo.
func erased(b []byte, n int) bool {
	return len(b) < n || strings.Trim(string(b), "X") == ""
}
