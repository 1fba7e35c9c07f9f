package symbols

import (
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Module is a loaded module and where its symbol table is.
type Module struct {
	Name string
	Addr uint64 // of its struct module

	// The members of struct mod_kallsyms (4.5 on), before of struct module itself.
	Symtab    uint64 // ElfN_Sym[NumSymtab]
	NumSymtab int
	Strtab    uint64
	Typetab   uint64 // type letters; 0 before 5.2, where st_info holds the letter

	// Ksymtab and KsymtabEnd are where the entries of EXPORT_SYMBOL lie (module.syms),
	// 0 when there are none or when they were not found.
	Ksymtab, KsymtabEnd uint64
	form                export // of the entries, when they have no symbols themselves
}

const (
	maxModules = 1 << 14
	maxModule  = 4096 // bytes of struct module that are looked at; 6.12 has 1,400
	maxModSyms = 1 << 20
	maxTried   = 16 << 20 // symbols that all modules together may have, wrong guesses too
	// maxReach is how far from its struct module a module's memory can be: the module
	// area is 1 to 2 GiB, because of the reach of calls.
	maxReach = 2 << 30
)

// Modules walks the kernel's list of modules, newest first, as /proc/modules has it. head
// is the address of the symbol modules. No types are needed: in all kernels from 2.6.32
// to 7.2 struct module begins with its state, the list and the name. The symbol table is
// found by its shape; a module in which nothing passes for one comes with an error that
// says so, and the walk goes on. A broken list ends the walk with an error and a Module
// without name.
func Modules(mem Memory, abi ABI, head uint64) iter.Seq2[Module, error] {
	return func(yield func(Module, error) bool) {
		w := moduleWalk{mem, abi, maxTried}
		seen := map[uint64]bool{head: true}
		for at := head; ; {
			next, err := readUint(mem, abi, "module list", at, abi.ptr())
			switch {
			case err != nil:
			case next == head:
				return
			case seen[next]:
				err = fmt.Errorf("module list at %#x: runs in a circle: %w", at, phys.ErrCorrupt)
			case len(seen) > maxModules:
				err = fmt.Errorf("module list at %#x: more than %d modules: %w", head, maxModules, phys.ErrLimit)
			}
			if err != nil {
				yield(Module{}, err)
				return
			}
			seen[next], at = true, next
			if m, err := w.module(next - uint64(abi.ptr())); !yield(m, err) || m.Name == "" {
				return
			}
		}
	}
}

// moduleWalk looks for the symbols of one module after the other.
type moduleWalk struct {
	mem  Memory
	abi  ABI
	left int // symbols that may still be read in trying
}

// module reads the struct module at addr: enum module_state padded to a pointer,
// struct list_head, char name[64 - sizeof(long)].
func (w *moduleWalk) module(addr uint64) (Module, error) {
	m := Module{Addr: addr}
	bl := readBlock(w.mem, w.abi, addr, maxModule)
	ptr := uint64(w.abi.ptr())
	name, err := bl.bytes("struct module", addr+3*ptr, addr+2*ptr+64)
	if err != nil {
		return m, err
	}
	s := bin.CString(name)
	if s == "" || len(s) == len(name) || !printable(s) {
		return m, fmt.Errorf("struct module at %#x: no name: %w", addr, phys.ErrCorrupt)
	}
	m.Name = s
	return w.findSymtab(m, bl)
}

// shape is a form of the members that lead to the symbols.
type shape struct {
	num, strtab, typetab int // offsets from symtab in pointers; typetab 0: none
}

// shapes of the members that follow symtab.
var shapes = []shape{
	{1, 2, 3}, // 5.2 on: struct mod_kallsyms {symtab, num_symtab, strtab, typetab}
	{1, 2, 0}, // 4.5 to 5.1: without typetab
	{2, 3, 0}, // until 4.4 on 64 bit: symtab, core_symtab, num_symtab, core_num_syms, strtab, core_strtab
	{2, 4, 0}, // the same on 32 bit
}

// findSymtab tries every word of struct module as the begin of every shape. What passes
// ModuleSymbols is not found by chance.
func (w *moduleWalk) findSymtab(m Module, bl *block) (Module, error) {
	ptr := uint64(w.abi.ptr())
	why := fmt.Errorf("module %s at %#x: no symbol table of a known shape: %w", m.Name, m.Addr, phys.ErrUnsupported)
	if len(bl.gaps) > 0 && phys.Damage(bl.gaps[0].err) {
		why = fmt.Errorf("module %s at %#x: %w", m.Name, bl.gaps[0].from, bl.gaps[0].err)
	}
	for at := m.Addr + 2*ptr + 64; at+5*ptr <= bl.end(); at += ptr {
		for _, s := range shapes {
			c, ok := m.candidate(bl, at, s)
			if !ok {
				continue
			}
			t, err := w.try(c)
			if t != nil {
				return c.findExports(w.mem, bl, t), nil
			}
			if r := phys.Reason(err); r == phys.ErrLost || r == phys.ErrExcluded || r == phys.ErrLimit {
				why = err
			}
		}
	}
	return m, why
}

// try reads the symbols of a candidate, nil when it is none.
func (w *moduleWalk) try(c Module) (*Table, error) {
	if err := c.probe(w.mem, w.abi); err != nil {
		return nil, err
	}
	if w.left -= c.NumSymtab; w.left < 0 {
		return nil, fmt.Errorf("module %s at %#x: too many symbols: %w", c.Name, c.Addr, phys.ErrLimit)
	}
	return ModuleSymbols(w.mem, w.abi, c)
}

// candidate reads a shape and looks whether its numbers are plausible.
func (m Module) candidate(bl *block, at uint64, s shape) (Module, bool) {
	ptr := bl.abi.ptr()
	p := bl.upto(at, at+uint64(5*ptr))
	if len(p) < 5*ptr {
		return m, false
	}
	word := func(i int) uint64 { return bl.abi.number(p[i*ptr:][:ptr]) }
	n := bl.abi.number(p[s.num*ptr:][:4])
	m.Symtab, m.NumSymtab, m.Strtab = word(0), int(n), word(s.strtab)
	if s.typetab != 0 {
		m.Typetab = word(s.typetab)
	}
	ok := n > 1 && n <= maxModSyms && m.Symtab%uint64(ptr) == 0 &&
		m.near(m.Symtab) && m.near(m.Strtab) && (s.typetab == 0 || m.near(m.Typetab))
	return m, ok
}

// near tells whether an address can be in the memory of the module.
func (m Module) near(va uint64) bool { return va-m.Addr+maxReach < 2*maxReach && va != 0 }
