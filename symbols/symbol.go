package symbols

import (
	"errors"
	"fmt"
)

// ErrNoSymbol: no symbol of that name, or none that covers that address. It is an
// answer, not damage: the tables that were read do not have it.
var ErrNoSymbol = errors.New("no such symbol")

// Symbol is one line of /proc/kallsyms.
type Symbol struct {
	Name   string
	Addr   uint64 // virtual address; a per-CPU offset for type A of kernels before 6.15
	Size   uint64 // bytes to the next higher address, 0 when unknown: kallsyms keeps no sizes
	Type   byte   // nm's letter as /proc/kallsyms prints it
	Module string // empty for the kernel itself
}

// String prints the symbol as /proc/kallsyms does: "ffffffffc0123000 t name\t[module]".
func (s Symbol) String() string {
	if s.Module == "" {
		return fmt.Sprintf("%016x %c %s", s.Addr, s.Type, s.Name)
	}
	return fmt.Sprintf("%016x %c %s\t[%s]", s.Addr, s.Type, s.Name, s.Module)
}

// Global tells whether the symbol is visible outside of its source file. Weak symbols
// count as global.
func (s Symbol) Global() bool { return global(s.Type) }

// absolute symbols before 6.15 are per-CPU offsets counted from 0.
func absolute(typ byte) bool { return typ == 'A' || typ == 'a' }

func global(typ byte) bool {
	return typ >= 'A' && typ <= 'Z' || typ == 'w' || typ == 'v' || typ == 'u'
}
