package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Symbols is the kernel's own symbol table, from kallsyms in its memory: by VMCOREINFO's
// addresses, or by a scan of the kernel image. It needs no page tables. The answer is kept;
// a table read in part comes with an error that says what is missing.
func (k *Kernel) Symbols() (*symbols.Table, error) {
	k.symOnce.Do(func() { k.table, k.symErr = k.readKallsyms() })
	return k.table, k.symErr
}

func (k *Kernel) readKallsyms() (*symbols.Table, error) {
	if k.spc == nil {
		return nil, fmt.Errorf("kallsyms: %w", k.spaceErr)
	}
	im := symbols.Image{ABI: k.abi()}
	im.Start, im.End = k.imageRange()
	if k.info != nil {
		key := func(name string) uint64 { a, _ := k.info.Symbol(name); return a }
		im.Keys = symbols.Keys{
			Names: key("kallsyms_names"), NumSyms: key("kallsyms_num_syms"),
			TokenTable: key("kallsyms_token_table"), TokenIndex: key("kallsyms_token_index"),
			Offsets: key("kallsyms_offsets"), RelativeBase: key("kallsyms_relative_base"),
			Addresses: key("kallsyms_addresses"), Stext: key("_stext"),
		}
	}
	return symbols.Kallsyms(k, im)
}

// imageRange is where the kernel image can be: a range that is not known better ends with
// the dump's memory.
func (k *Kernel) imageRange() (start, end uint64) {
	start, end = k.spc.ImageRange()
	if a, ok := k.spc.Image(start); ok {
		last := phys.PageSpan(0, uint64(k.dump.MaxPFN()), k.dump.PageSize()).End
		// Modulo 2^64: where the kernel lies low, start is "below" physical 0, and the
		// sum of start and a large memory wraps.
		if room := uint64(last - a); room < end-start {
			end = start + room
		}
	}
	return start, end
}

func (k *Kernel) abi() symbols.ABI {
	return symbols.ABI{Order: k.dump.Header.Order, PtrSize: k.ptrSize()}
}

// AllSymbols is the kernel's table with those of its modules. Modules whose symbols could
// not be read are in the error; the table is there all the same.
func (k *Kernel) AllSymbols(ctx context.Context) (*symbols.Table, error) {
	base, err := k.Symbols()
	if base == nil {
		return nil, err
	}
	mods, merr := k.Modules(ctx)
	k.allOnce.Do(func() {
		tables := []*symbols.Table{base}
		for _, m := range mods {
			if m.Symbols != nil {
				tables = append(tables, m.Symbols)
			}
		}
		k.all = symbols.Merge(tables...)
	})
	return k.all, errors.Join(err, merr)
}

// Symbol finds a symbol of the kernel by name; symbols.ErrNoSymbol if there is none. In a
// kernel whose kallsyms names functions only (CONFIG_KALLSYMS_ALL off) the variables are
// found that it exports to modules.
func (k *Kernel) Symbol(name string) (symbols.Symbol, error) {
	t, err := k.Symbols()
	if t == nil {
		return symbols.Symbol{}, err
	}
	s, err := t.Lookup(name)
	if err == nil {
		return s, nil
	}
	if x := k.Exports(); x != nil {
		return x.Lookup(name)
	}
	return s, err
}

// Exports are the symbols that the kernel exports to modules and that Symbols does not have:
// variables, where kallsyms names functions only. It is nil for a kernel that names its data,
// and where the tables of exports are not found.
func (k *Kernel) Exports() *symbols.Table {
	k.exportOnce.Do(func() {
		t, _ := k.Symbols()
		if t == nil {
			return
		}
		if _, err := t.Lookup("__start___ksymtab"); err == nil {
			return
		}
		im := symbols.Image{ABI: k.abi()}
		im.Start, im.End = k.imageRange()
		k.exported, _ = symbols.Exports(k, im, t)
	})
	return k.exported
}

// Module is one loaded module: where it lies and the symbols that could be read of it.
type Module struct {
	symbols.Module
	Symbols *symbols.Table // nil: see Err
	Err     error
}

// Modules are the kernel's loaded modules with their symbols, newest first, found without
// types: by the list "modules" and by the shape of struct module. The answer is kept. A
// module whose symbols could not be read says so itself and in the error.
func (k *Kernel) Modules(ctx context.Context) ([]Module, error) {
	k.modMu.Lock()
	defer k.modMu.Unlock()
	if k.modRead {
		return k.modules, k.modErr
	}
	mods, err := k.readModules(ctx)
	if ctx.Err() == nil { // cut short: somebody may ask again
		k.modules, k.modErr, k.modRead = mods, err, true
	}
	return mods, err
}

func (k *Kernel) readModules(ctx context.Context) (mods []Module, err error) {
	head, err := k.moduleList(ctx)
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	for m, merr := range symbols.Modules(k, k.abi(), head) {
		if ctx.Err() != nil {
			return mods, ctx.Err()
		}
		if merr != nil {
			err = errors.Join(err, merr)
			continue
		}
		mod := Module{Module: m}
		mod.Symbols, mod.Err = symbols.ModuleSymbols(k, k.abi(), m)
		if mod.Err != nil {
			err = errors.Join(err, fmt.Errorf("symbols of module %s: %w", m.Name, mod.Err))
		}
		mods = append(mods, mod)
	}
	return mods, err
}
