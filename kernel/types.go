package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/symbols"
)

// BTF reads the kernel's own types from the BTF in its memory. Kernels before 5.2 and those
// built without CONFIG_DEBUG_INFO_BTF have none: the error then wraps symbols.ErrNoType.
// When a part of the types is absent they come with an error that says so. The answer is
// kept.
func (k *Kernel) BTF() (*symbols.BTF, error) {
	k.btfOnce.Do(func() { k.btf, k.btfErr = k.readBTF() })
	return k.btf, k.btfErr
}

func (k *Kernel) readBTF() (*symbols.BTF, error) {
	if k.spc == nil {
		return nil, fmt.Errorf("BTF: %w", k.spaceErr)
	}
	start, end, err := k.btfRange()
	if err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	return symbols.ReadBTF(k, k.abi(), start, end, nil)
}

// btfRange is where the linker put .BTF (include/asm-generic/vmlinux.lds.h), or where
// something in the image looks like it.
func (k *Kernel) btfRange() (start, end uint64, err error) {
	first, err1 := k.Symbol("__start_BTF")
	last, err2 := k.Symbol("__stop_BTF")
	why := cmp.Or(err1, err2)
	if why == nil {
		return first.Addr, last.Addr, nil
	}
	im := symbols.Image{ABI: k.abi()}
	im.Start, im.End = k.imageRange()
	if k.info != nil {
		im.Keys.Stext, _ = k.info.Symbol("_stext")
	}
	start, end, err = symbols.FindBTF(k, im)
	if err != nil && !errors.Is(why, symbols.ErrNoSymbol) {
		err = why // the symbols are lost: that they would name types is not known
	}
	return start, end, err
}

// Types are the kernel's types: its BTF, as BTF gives it.
func (k *Kernel) Types() (symbols.Types, error) {
	b, err := k.BTF()
	if b == nil {
		return nil, err
	}
	return b, err
}

// ModuleTypes are the types of one module.
type ModuleTypes struct {
	Name string // of the module
	Addr uint64 // of its struct module
	BTF  *symbols.BTF
}

// ModuleTypes gives the types that modules have beside the kernel's own: those on the list
// btf_modules of kernel/bpf/btf.c (36e68442d1af, 5.11, CONFIG_DEBUG_INFO_BTF_MODULES).
// struct module itself does not keep them: its btf_data is freed after loading. An error
// about one module does not end the walk.
func (k *Kernel) ModuleTypes(ctx context.Context, base *symbols.BTF) iter.Seq2[ModuleTypes, error] {
	return func(yield func(ModuleTypes, error) bool) {
		head, err := k.Symbol("btf_modules")
		if err != nil {
			yield(ModuleTypes{}, fmt.Errorf("types of modules: %w", err))
			return
		}
		t, err := symbols.Find(base, "struct btf_module", "list", "module", "btf")
		if err != nil {
			yield(ModuleTypes{}, fmt.Errorf("types of modules: %w", err))
			return
		}
		for o, err := range k.List(ctx, head.Addr, t, "list") {
			if err != nil {
				yield(ModuleTypes{}, fmt.Errorf("types of modules: %w", err))
				return
			}
			if m, err := k.moduleTypes(o, base); !yield(m, err) {
				return
			}
		}
	}
}

// moduleTypes reads the split BTF of one struct btf_module. What a .BTF.base (6.11 on) had
// been relocated from is the kernel's BTF now.
func (k *Kernel) moduleTypes(o Object, base *symbols.BTF) (m ModuleTypes, err error) {
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
	if m.BTF, err = symbols.ReadBTF(k, k.abi(), data, data+size, base); err != nil {
		return m, fmt.Errorf("types of module %s: %w", m.Name, err)
	}
	return m, nil
}
