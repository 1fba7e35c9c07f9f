package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// Symbols is the kernel's own symbol table, from kallsyms in its memory: by VMCOREINFO's
// addresses, or by a scan of the kernel image. It needs no page tables. Where kallsyms names
// functions only (CONFIG_KALLSYMS_ALL off), or cannot be read, the symbols of vmlinux are
// added, if debug information is found. The answer is kept; a table read in part comes with
// an error that says what is missing.
func (k *Kernel) Symbols() (*symbols.Table, error) {
	k.symOnce.Do(func() {
		k.table, k.symErr = k.ownSymbols()
		if k.spc == nil || k.debug == nil || k.symErr == nil && namesData(k.table) {
			return
		}
		t, err := k.withVmlinux(k.table)
		if err != nil {
			k.fileErr = err
			return
		}
		k.table, k.symErr = t, nil
	})
	return k.table, k.symErr
}

// ownSymbols is kallsyms alone. What finds vmlinux asks this: Symbols would ask for vmlinux.
func (k *Kernel) ownSymbols() (*symbols.Table, error) {
	k.ownOnce.Do(func() { k.own, k.ownErr = k.readKallsyms() })
	return k.own, k.ownErr
}

// ownSymbol finds a symbol in kallsyms alone.
func (k *Kernel) ownSymbol(name string) (symbols.Symbol, error) {
	t, err := k.ownSymbols()
	if t == nil {
		return symbols.Symbol{}, err
	}
	return t.Lookup(name)
}

// namesData tells whether a table has the kernel's data as well as its functions.
func namesData(t *symbols.Table) bool {
	_, err := t.Lookup("__start___ksymtab")
	return err == nil
}

func (k *Kernel) readKallsyms() (*symbols.Table, error) {
	if k.spc == nil {
		return nil, fmt.Errorf("kallsyms: %w", k.spaceErr)
	}
	if k.kallsyms == KallsymsNone {
		return nil, fmt.Errorf("kallsyms is ignored: %w", symbols.ErrNoSymbol)
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
	t, err := symbols.Kallsyms(k, im)
	if t != nil && k.kallsyms == KallsymsFunctions {
		t = functionsOf(t)
	}
	return t, err
}

// functionsOf are the symbols that a kernel without CONFIG_KALLSYMS_ALL keeps: those from
// _stext to _etext and from _sinittext to _einittext (scripts/kallsyms.c).
func functionsOf(t *symbols.Table) *symbols.Table {
	var list []symbols.Symbol
	within := func(a uint64, first, last string) bool {
		from, err1 := t.Lookup(first)
		to, err2 := t.Lookup(last)
		return err1 == nil && err2 == nil && from.Addr <= a && a <= to.Addr
	}
	for s := range t.All() {
		if within(s.Addr, "_stext", "_etext") || within(s.Addr, "_sinittext", "_einittext") {
			list = append(list, s)
		}
	}
	return symbols.New(list)
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
// found that it exports to modules, and with its vmlinux all of them.
func (k *Kernel) Symbol(name string) (symbols.Symbol, error) {
	t, err := k.Symbols()
	if t == nil {
		return symbols.Symbol{}, k.unnamed(err)
	}
	s, err := t.Lookup(name)
	if err == nil {
		return s, nil
	}
	if x := k.Exports(); x != nil {
		if s, err := x.Lookup(name); err == nil {
			return s, nil
		}
	}
	return s, k.unnamed(err)
}

// unnamed adds to the error about a symbol why the kernel may have it all the same: it names
// no data, and its vmlinux, which does, was not found or is wrong.
func (k *Kernel) unnamed(err error) error {
	own, _ := k.ownSymbols()
	switch {
	case k.fileErr != nil && !errors.Is(k.fileErr, dwarf.ErrNoDebug):
		return fmt.Errorf("%w; %w", err, k.fileErr)
	case own != nil && !namesData(k.table):
		return fmt.Errorf("%w (CONFIG_KALLSYMS_ALL is off: the kernel names functions and what it exports; its vmlinux names all, -k FILE)", err)
	}
	return err
}

// Exports are the symbols that the kernel exports to modules and that Symbols does not have:
// variables, where kallsyms names functions only. It is nil for a kernel that names its data,
// and where the tables of exports are not found.
func (k *Kernel) Exports() *symbols.Table {
	k.exportOnce.Do(func() {
		t, _ := k.Symbols()
		if t == nil || namesData(t) {
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
