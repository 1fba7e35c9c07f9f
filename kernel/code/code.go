// Package code reads the code of the kernel in a dump, as it lay in memory with all that was
// patched in at run time: whole functions, the instructions around an address, and what the
// registers hold there in the words of the source, by the types that the dump has.
//
//	code.go   functions and instructions
//	names.go  variables, per-CPU variables and prototypes for package dataflow
package code

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dataflow"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// Reader reads code. It is safe for many goroutines.
type Reader struct {
	k       *kernel.Kernel
	table   *symbols.Table
	decoder *disasm.Decoder
	types   symbols.Types // nil: no types

	modules func() map[string]symbols.Types
	perCPU  func() []variable
}

// New makes a Reader. Symbols and types may be absent: functions then have no begin, values
// no names. An error wraps phys.ErrUnsupported, of a machine whose code is not known.
func New(ctx context.Context, k *kernel.Kernel) (*Reader, error) {
	table, _ := k.AllSymbols(ctx)
	if table == nil {
		table = symbols.New(nil)
	}
	d, err := disasm.New(k.Machine(), k.Dump().Header.Order, disasm.ATT)
	if err != nil {
		return nil, err
	}
	r := &Reader{k: k, table: table, decoder: d}
	if ts, _ := k.Types(); ts != nil {
		r.types = ts
	}
	r.modules = sync.OnceValue(func() map[string]symbols.Types { return r.readModules(ctx) })
	r.perCPU = sync.OnceValue(r.readPerCPU)
	return r, nil
}

// maxFunction bounds what is taken for one function: the last symbol before a gap is not
// one of gigabytes.
const maxFunction = 1 << 20

// ErrNoFunction: no function is known around an address.
var ErrNoFunction = errors.New("no function there")

// Function is the function around an address and its code. n bytes of it were read when the
// error is about the rest.
func (r *Reader) Function(pc uint64) (symbols.Symbol, []byte, error) {
	s, off, err := r.table.At(pc)
	if err != nil || s.Size == 0 || s.Size > maxFunction || off >= s.Size {
		return s, nil, fmt.Errorf("%#x: %w", pc, ErrNoFunction)
	}
	b := make([]byte, s.Size)
	n, err := r.k.ReadVirt(b, s.Addr)
	return s, b[:n], err
}

// Around disassembles so many instructions before and behind the one at pc, within its
// function. Where no function is known or its begin is absent, those from pc on.
func (r *Reader) Around(pc uint64, before, behind int) ([]disasm.Inst, error) {
	s, b, err := r.Function(pc)
	if uint64(len(b)) <= pc-s.Addr || len(b) == 0 {
		b = make([]byte, longest*(behind+1))
		n, rerr := r.k.ReadVirt(b, pc)
		if n == 0 {
			return nil, rerr
		}
		s.Addr, b, err = pc, b[:n], nil
	}
	var list []disasm.Inst
	after := 0
	for in := range r.decoder.All(b, s.Addr) {
		if in.Addr > pc {
			after++
		}
		if after > behind {
			break
		}
		list = append(list, in)
		if in.Addr < pc && len(list) > before {
			list = list[1:]
		}
	}
	return list, err
}

// longest is how long an instruction of any machine can be.
const longest = 15

// At is the instruction at pc. The error is the reason why its bytes are absent.
func (r *Reader) At(pc uint64) (disasm.Inst, error) {
	b := make([]byte, longest)
	n, err := r.k.ReadVirt(b, pc)
	if n == 0 {
		return disasm.Inst{}, err
	}
	return r.decoder.Next(b[:n], pc), nil
}

// Before is the instruction that ends at pc: the call, where pc is a return address.
func (r *Reader) Before(pc uint64) (disasm.Inst, error) {
	s, b, err := r.Function(pc - 1)
	for in := range r.decoder.All(b, s.Addr) {
		if in.Addr+uint64(len(in.Bytes)) == pc {
			return in, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("no instruction ends at %#x: %w", pc, phys.ErrCorrupt)
	}
	return disasm.Inst{}, err
}

// Effect is disasm's.
func (r *Reader) Effect(in disasm.Inst) disasm.Effect { return r.decoder.Effect(in) }

// cold is the suffix of what compilers put elsewhere because it seldom runs.
const cold = ".cold"

// Flow follows the function around an address: what its registers hold. The error wraps
// ErrNoFunction, one of package dataflow, or the reason why the code is absent.
func (r *Reader) Flow(ctx context.Context, pc uint64) (*dataflow.Flow, error) {
	s, b, err := r.Function(pc)
	if err != nil {
		return nil, err
	}
	fn := dataflow.Function{Machine: r.k.Machine(), Parts: []dataflow.Part{{Addr: s.Addr, Code: b}}}
	main, isCold := s, false
	if i := strings.Index(s.Name, cold); i > 0 {
		if main, isCold = r.only(s.Name[:i], s.Module); !isCold {
			return nil, fmt.Errorf("%s: whose part it is: %w", s.Name, ErrNoFunction)
		}
		_, b, err := r.Function(main.Addr)
		if err != nil {
			return nil, err
		}
		fn.Parts = []dataflow.Part{{Addr: main.Addr, Code: b}, fn.Parts[0]}
	} else if other, ok := r.only(s.Name+cold, s.Module); ok {
		if _, b, err := r.Function(other.Addr); err == nil {
			fn.Parts = append(fn.Parts, dataflow.Part{Addr: other.Addr, Code: b})
		}
	}
	if p := r.prototype(main); p != nil {
		fn.Params = p.Params
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return dataflow.Follow(r.decoder, fn, names{r})
}

// only is the symbol of a name that just one of the module has.
func (r *Reader) only(name, module string) (found symbols.Symbol, ok bool) {
	for s := range r.table.Named(name) {
		if s.Module != module {
			continue
		}
		if ok && s.Addr != found.Addr {
			return symbols.Symbol{}, false
		}
		found, ok = s, true
	}
	return found, ok
}

// Text is an instruction with the name of its target.
func (r *Reader) Text(in disasm.Inst) string {
	text := in.Text
	if in.Target != 0 && !in.Branch {
		text += fmt.Sprintf(" # %#x", in.Target)
	}
	s, off, err := r.table.At(in.Target)
	switch {
	case in.Target == 0 || err != nil:
		return text
	case off == 0:
		return fmt.Sprintf("%s <%s>", text, s.Name)
	}
	return fmt.Sprintf("%s <%s+%#x>", text, s.Name, off)
}

// thunk is how the functions are called through which a kernel with retpolines calls what a
// register points to (arch/x86/lib/retpoline.S).
const thunk = "__x86_indirect_thunk_"

// Thunk is the register whose function one of these thunks calls, "" if none begins there.
func (r *Reader) Thunk(addr uint64) string {
	for s := range r.table.Match(thunk) {
		if name := strings.TrimPrefix(s.Name, thunk); s.Addr == addr && name != "array" {
			return name
		}
	}
	return ""
}
