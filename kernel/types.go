package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
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
	if k.ignoreBTF {
		return nil, fmt.Errorf("BTF is ignored: %w", symbols.ErrNoType)
	}
	start, end, err := k.btfRange()
	if err != nil {
		if errors.Is(err, symbols.ErrNoType) {
			return nil, fmt.Errorf("types: %w, and no vmlinux with debug information", err)
		}
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

// Types are the kernel's types: its BTF, else those of its debug information (see
// Options.DebugInfo), which nobody waits for where there is BTF. Without either the error
// wraps symbols.ErrNoType.
func (k *Kernel) Types() (symbols.Types, error) {
	b, err := k.BTF()
	if b != nil {
		return b, err
	}
	ts, derr := k.debugTypes(k.ctx, "")
	switch {
	case derr == nil:
		return ts, nil
	case !errors.Is(derr, dwarf.ErrNoDebug):
		err = fmt.Errorf("%w; %w", err, derr)
	}
	if k.info == nil { // why the rest is so: no kernel may be in the dump at all
		err = fmt.Errorf("%w; %w", k.needInfo(), err)
	}
	return nil, err
}

// debugTypes are the types of a module's debug information, or of the kernel's.
func (k *Kernel) debugTypes(ctx context.Context, module string) (*dwarf.Types, error) {
	d, err := k.DebugFile(ctx, module)
	if err != nil {
		return nil, err
	}
	return d.Types()
}
