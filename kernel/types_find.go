package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/symbols"
)

// FindType is symbols.Find among the kernel's types, and among those of its modules where
// the kernel has none of that name. A name without struct, union or enum before it is
// looked for as a typedef or integer, then as each of these.
func (k *Kernel) FindType(ctx context.Context, spelled string, members ...string) (*symbols.Type, error) {
	ts, err := k.Types()
	if ts == nil {
		return nil, err
	}
	t, err := findAny(ts, spelled, members)
	if !errors.Is(err, symbols.ErrNoType) {
		return t, err
	}
	for m, merr := range k.ModuleTypes(ctx) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if merr != nil {
			if !errors.Is(merr, symbols.ErrNoSymbol) && !errors.Is(merr, symbols.ErrNoType) {
				err = fmt.Errorf("%w; %w", err, merr) // it may be there
			}
			continue
		}
		if t, merr := findAny(m.Types, spelled, members); !errors.Is(merr, symbols.ErrNoType) {
			return t, merr
		}
	}
	return nil, err
}

// findAny looks for a name as each kind of type.
func findAny(ts symbols.Types, spelled string, members []string) (*symbols.Type, error) {
	t, err := symbols.Find(ts, spelled, members...)
	for _, kind := range []symbols.Kind{symbols.KindStruct, symbols.KindUnion, symbols.KindEnum} {
		if !errors.Is(err, symbols.ErrNoType) {
			break
		}
		if other, oerr := symbols.Find(ts, kind.String()+" "+spelled, members...); !errors.Is(oerr, symbols.ErrNoType) {
			return other, oerr
		}
	}
	return t, err
}
