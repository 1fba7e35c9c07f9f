// Package objtool lets google/pprof look into the kernel of a dump: a driver.ObjTool that
// disassembles what lay in memory and names it by the kernel's own symbols, so that pprof's
// views need neither vmlinux nor binutils.
//
// The addresses of a profile of a dump are those of the kernel that crashed, and so are all
// addresses here: nothing is moved.
package objtool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/pprof/driver"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// Image is how mappings of the kernel itself are called, as in /proc/kallsyms and perf; a
// module's is its name in brackets.
const Image = "[kernel.kallsyms]"

// ErrNoFile: pprof asks for files by their build ID as well, in places of its own.
var ErrNoFile = errors.New("only the kernel in the dump and its modules are read")

// Lines tells the source lines of an address: that of the function, and before it those of
// what is inlined there. None is an answer.
type Lines func(addr uint64) []driver.Frame

// Tool implements driver.ObjTool. It is safe for many goroutines.
type Tool struct {
	k          *kernel.Kernel
	table      *symbols.Table
	att, intel *disasm.Decoder
	buildID    string
	lines      Lines // nil: none
}

// New makes a Tool of the kernel in a dump; lines may be nil. The error is the reason why
// there are no symbols, or wraps phys.ErrUnsupported.
func New(ctx context.Context, k *kernel.Kernel, lines Lines) (*Tool, error) {
	table, err := k.AllSymbols(ctx)
	if table == nil {
		return nil, err
	}
	t := &Tool{k: k, table: table, buildID: k.System(ctx).BuildID, lines: lines}
	order := k.Dump().Header.Order
	if t.att, err = disasm.New(k.Machine(), order, disasm.ATT); err != nil {
		return nil, err
	}
	t.intel, err = disasm.New(k.Machine(), order, disasm.Intel)
	return t, err
}

// module is the module that a file stands for, "" being the kernel.
func (t *Tool) module(file string) (string, error) {
	if file == Image {
		return "", nil
	}
	name, found := strings.CutPrefix(file, "[")
	name, whole := strings.CutSuffix(name, "]")
	if !found || !whole || name == "" {
		return "", fmt.Errorf("%s: %w", file, ErrNoFile)
	}
	return name, nil
}

// Open opens a mapping of the profile by its name. The error wraps ErrNoFile.
func (t *Tool) Open(file string, _, _, _ uint64, _ string) (driver.ObjFile, error) {
	module, err := t.module(file)
	if err != nil {
		return nil, err
	}
	return &object{t: t, name: file, module: module}, nil
}

// maxCode bounds what is disassembled at once.
const maxCode = 1 << 20

// Disasm disassembles the code from start to before end, with all that was patched into it.
// The instructions before an absence come with the reason of the absence where there are
// none.
func (t *Tool) Disasm(file string, start, end uint64, intelSyntax bool) ([]driver.Inst, error) {
	if _, err := t.module(file); err != nil {
		return nil, err
	}
	if end < start || end-start > maxCode {
		return nil, fmt.Errorf("code of %d bytes at %#x: %w", end-start, start, phys.ErrLimit)
	}
	code := make([]byte, end-start)
	n, err := t.k.ReadVirt(code, start)
	d := t.att
	if intelSyntax {
		d = t.intel
	}
	var out []driver.Inst
	for in := range d.All(code[:n], start) {
		out = append(out, t.inst(in))
	}
	if len(out) > 0 {
		err = nil
	}
	return out, err
}

func (t *Tool) inst(in disasm.Inst) driver.Inst {
	out := driver.Inst{Addr: in.Addr, Text: in.Text, Function: t.name(in.Addr)}
	if in.Target != 0 {
		if name := t.target(in.Target); name != "" {
			out.Text += " <" + name + ">"
		}
	}
	if t.lines != nil {
		if at := t.lines(in.Addr); len(at) > 0 {
			out.File, out.Line = at[0].File, at[0].Line
		}
	}
	return out
}

// name is the function around an address, as the profile has it: with its module.
func (t *Tool) name(addr uint64) string {
	s, _, err := t.table.At(addr)
	if err != nil {
		return ""
	}
	return Name(s)
}

// Name is how profiles name a symbol: "ck_null_work [crashkit]".
func Name(s symbols.Symbol) string {
	if s.Module == "" {
		return s.Name
	}
	return s.Name + " [" + s.Module + "]"
}

func (t *Tool) target(addr uint64) string {
	s, off, err := t.table.At(addr)
	switch {
	case err != nil:
		return ""
	case off == 0:
		return s.Name
	}
	return fmt.Sprintf("%s+%#x", s.Name, off)
}

// object is the kernel or one of its modules.
type object struct {
	t            *Tool
	name, module string
}

// Name is that of the mapping.
func (o *object) Name() string { return o.name }

// ObjAddr is the address itself.
func (o *object) ObjAddr(addr uint64) (uint64, error) { return addr, nil }

// BuildID is the kernel's; that of a module is not asked for.
func (o *object) BuildID() string {
	if o.module != "" {
		return ""
	}
	return o.t.buildID
}

// Close has nothing to give back.
func (o *object) Close() error { return nil }

// SourceLine gives the lines of an address, the innermost first, and without any the
// function alone.
func (o *object) SourceLine(addr uint64) ([]driver.Frame, error) {
	name := o.t.name(addr)
	if o.t.lines != nil {
		if at := slices.Clone(o.t.lines(addr)); len(at) > 0 {
			at[len(at)-1].Func = cmp.Or(name, at[len(at)-1].Func) // the profile has it so
			return at, nil
		}
	}
	if name == "" {
		return nil, fmt.Errorf("%#x: %w", addr, symbols.ErrNoSymbol)
	}
	return []driver.Frame{{Func: name}}, nil
}

// Symbols gives the functions whose name matches, or the one around an address. Those at one
// address are one with several names.
func (o *object) Symbols(r *regexp.Regexp, addr uint64) ([]*driver.Sym, error) {
	if addr != 0 {
		s, _, err := o.t.table.At(addr)
		if err != nil || s.Module != o.module || r != nil && !r.MatchString(Name(s)) {
			return nil, nil
		}
		return []*driver.Sym{o.sym(s)}, nil
	}
	var out []*driver.Sym
	at := map[uint64]*driver.Sym{}
	for s := range o.t.table.All() {
		if s.Module != o.module || s.Size == 0 || !strings.ContainsRune("tTwW", rune(s.Type)) || r != nil && !r.MatchString(Name(s)) {
			continue
		}
		if known := at[s.Addr]; known != nil {
			known.Name = append(known.Name, Name(s))
			continue
		}
		at[s.Addr] = o.sym(s)
		out = append(out, at[s.Addr])
	}
	return out, nil
}

func (o *object) sym(s symbols.Symbol) *driver.Sym {
	return &driver.Sym{Name: []string{Name(s)}, File: o.name, Start: s.Addr, End: s.Addr + max(s.Size, 1) - 1}
}
