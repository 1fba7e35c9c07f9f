package kernel

import (
	"cmp"
	"errors"
	"fmt"

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
