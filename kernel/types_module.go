package kernel

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// ModuleTypes are the types of one module.
type ModuleTypes struct {
	Name  string // of the module
	Addr  uint64 // of its struct module
	Types symbols.Types
}

// ModuleTypes gives the types that modules have beside the kernel's own: those on the list
// btf_modules of kernel/bpf/btf.c (36e68442d1af, 5.11, CONFIG_DEBUG_INFO_BTF_MODULES), and
// of other modules those of their debug information, if there is any. struct module itself
// does not keep them: its btf_data is freed after loading. An error about one module does
// not end the walk.
func (k *Kernel) ModuleTypes(ctx context.Context) iter.Seq2[ModuleTypes, error] {
	return func(yield func(ModuleTypes, error) bool) {
		seen := map[string]bool{}
		for m, err := range k.btfModuleTypes(ctx) {
			if seen[m.Name] = true; !yield(m, err) {
				return
			}
		}
		if k.debug == nil {
			return
		}
		mods, _ := k.Modules(ctx) // an error is that of the list above, too
		for _, m := range mods {
			if seen[m.Name] {
				continue
			}
			ts, err := k.debugTypes(ctx, m.Name)
			if errors.Is(err, dwarf.ErrNoDebug) {
				continue
			}
			mt := ModuleTypes{Name: m.Name, Addr: m.Addr}
			if mt.Types = ts; err != nil {
				mt.Types, err = nil, fmt.Errorf("types of module %s: %w", m.Name, err)
			}
			if !yield(mt, err) {
				return
			}
		}
	}
}

// btfModuleTypes walks the list.
func (k *Kernel) btfModuleTypes(ctx context.Context) iter.Seq2[ModuleTypes, error] {
	return func(yield func(ModuleTypes, error) bool) {
		list, err := k.btfModules(ctx)
		if err != nil {
			yield(ModuleTypes{}, fmt.Errorf("types of modules: %w", err))
			return
		}
		for o, err := range list {
			if err != nil {
				yield(ModuleTypes{}, fmt.Errorf("types of modules: %w", err))
				return
			}
			if m, err := k.moduleTypes(o); !yield(m, err) {
				return
			}
		}
	}
}

// btfModules are the elements of the list.
func (k *Kernel) btfModules(ctx context.Context) (iter.Seq2[Object, error], error) {
	base, err := k.BTF()
	if base == nil {
		return nil, err
	}
	head, err := k.Symbol("btf_modules")
	if err != nil {
		return nil, err
	}
	t, err := symbols.Find(base, "struct btf_module", "list", "module", "btf")
	if err != nil {
		return nil, err
	}
	return k.List(ctx, head.Addr, t, "list"), nil
}

// moduleTypes reads the split BTF of one struct btf_module. What a .BTF.base (6.11 on) had
// been relocated from is the kernel's BTF now.
func (k *Kernel) moduleTypes(o Object) (m ModuleTypes, err error) {
	module, err := o.Follow("module")
	if err != nil {
		return m, err
	}
	m.Addr = module.Addr
	if m.Name, err = module.Text("name"); err != nil {
		return m, err
	}
	btf, err := o.Follow("btf")
	if err != nil {
		return m, fmt.Errorf("types of module %s: %w", m.Name, err)
	}
	f := btf.Fields()
	data, size := f.Uint("data"), f.Uint("data_size")
	if err := f.Err(); err != nil {
		return m, fmt.Errorf("types of module %s: %w", m.Name, err)
	}
	own, err := symbols.ReadBTF(k, k.abi(), data, data+size, k.btf)
	if err != nil {
		return m, fmt.Errorf("types of module %s: %w", m.Name, err)
	}
	m.Types = own
	return m, nil
}
