package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/symbols"
)

// variable is a variable of the kernel or of a module, of the CPU where it has one each.
func (e *evaluator) variable(name string) (operand, error) {
	s, err := e.k.SymbolOf(e.ctx, name)
	if errors.Is(err, symbols.ErrNoSymbol) {
		if v, t, ok := e.k.enumerator(e.ts, name); ok {
			return e.number(t, uint64(v)), nil
		}
	}
	if err != nil {
		return operand{}, err
	}
	if e.k.perCPU(s) {
		if e.cpu < 0 {
			return operand{}, fmt.Errorf("%s: %w", name, ErrPerCPU)
		}
		if s.Addr, err = e.k.PerCPUAddr(s.Addr, e.cpu); err != nil {
			return operand{}, err
		}
		e.used = true
	}
	o := operand{Object: Object{Addr: e.k.clip(s.Addr), k: e.k}, place: true, name: name}
	t, err := e.k.variableType(e.ctx, e.ts, s)
	if errors.Is(err, symbols.ErrNoType) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	if size := t.Elem().Size(); t.Kind == symbols.KindArray && t.Count == 0 && size > 0 {
		t = t.Elem().ArrayOf(s.Size / size) // with what fills the room up to the next symbol
	}
	o.Object = e.k.Object(t, o.Addr)
	return o, nil
}

// SymbolOf is Symbol, in the kernel or else in a module.
func (k *Kernel) SymbolOf(ctx context.Context, name string) (symbols.Symbol, error) {
	s, err := k.Symbol(name)
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return s, err
	}
	all, lack := k.AllSymbols(ctx)
	if all == nil {
		return s, err
	}
	if s, err = all.Lookup(name); err != nil && lack != nil {
		err = fmt.Errorf("%w; %w", err, lack)
	}
	return s, err
}

// variableType is the type of a symbol: that of a variable the kernel's or its module's types
// have, or the table; that of a function.
func (k *Kernel) variableType(ctx context.Context, ts symbols.Types, s symbols.Symbol) (*symbols.Type, error) {
	if s.Module == "" {
		if found, err := ts.ByName(s.Name, symbols.KindFunc); err == nil && (s.Type|0x20 == 't' || s.Type|0x20 == 'w') {
			return found[0].Elem(), nil
		}
		return k.rootType(ctx, ts, s)
	}
	for m, err := range k.ModuleTypes(ctx) {
		if err != nil || m.Name != s.Module {
			continue
		}
		for _, kind := range []symbols.Kind{symbols.KindVar, symbols.KindFunc} {
			if found, err := m.Types.ByName(s.Name, kind); err == nil {
				return found[0].Elem(), nil
			}
		}
	}
	t, err := k.debugVariable(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("variable %s: %w", s.Name, err)
	}
	return t, nil
}

// enumerator is a constant of an enum. That all are known costs a walk over all types, once.
func (k *Kernel) enumerator(ts symbols.Types, name string) (int64, *symbols.Type, bool) {
	k.enumOnce.Do(func() {
		k.enums = map[string]*symbols.Type{}
		for t, err := range ts.All() {
			if err != nil || t.Kind != symbols.KindEnum {
				continue
			}
			for _, v := range t.Values {
				if k.enums[v.Name] == nil {
					k.enums[v.Name] = t
				}
			}
		}
	})
	t := k.enums[name]
	if t == nil {
		return 0, nil, false
	}
	i := slices.IndexFunc(t.Values, func(v symbols.Enumerator) bool { return v.Name == name })
	return t.Values[i].Value, t, true
}
