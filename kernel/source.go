package kernel

import (
	"context"
	"fmt"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// Source gives the source line of the instruction at an address: the innermost inlined
// function first, the one that is really there last (see dwarf.File.Source). Where no file
// with debug information has the address the error wraps dwarf.ErrNoDebug.
func (k *Kernel) Source(ctx context.Context, addr uint64) ([]dwarf.Source, error) {
	all, err := k.AllSymbols(ctx)
	if all == nil {
		return nil, err
	}
	s, _, err := all.At(addr)
	if err != nil {
		return nil, err
	}
	return k.sourceIn(ctx, s, addr)
}

// sourceIn looks in the file of the symbol that covers the address.
func (k *Kernel) sourceIn(ctx context.Context, s symbols.Symbol, addr uint64) ([]dwarf.Source, error) {
	d, err := k.DebugFile(ctx, s.Module)
	if err != nil {
		return nil, err
	}
	at, ok := d.ToFile(addr)
	if !ok {
		return nil, fmt.Errorf("address %#x: %w", addr, dwarf.ErrNoDebug)
	}
	chain, err := d.File.Source(at)
	if n := len(chain); n > 0 && chain[n-1].Function == "" {
		chain[n-1].Function = s.Name // assemblers say nothing of functions
	}
	return chain, err
}

// FrameSource gives the source line of a frame: of interrupted code that of the
// instruction, of a call that of the call, which stands before the return address.
func (k *Kernel) FrameSource(ctx context.Context, f Frame) ([]dwarf.Source, error) {
	if f.Symbol.Name == "" {
		return nil, fmt.Errorf("address %#x: %w", f.Addr, symbols.ErrNoSymbol)
	}
	return k.sourceIn(ctx, f.Symbol, f.Code())
}

// Code is the address of the instruction that the frame is at: Addr of interrupted code, and
// of a return address a byte of the call before it. A return address at which a function
// begins is that of code which was never there (a new task's), and is taken as it is.
func (f Frame) Code() uint64 {
	if f.Kind == FrameInterrupted || f.Offset == 0 {
		return f.Addr
	}
	return f.Addr - 1
}
