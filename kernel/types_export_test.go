package kernel

import "github.com/kautopsy/kautopsy/symbols"

// Roots is the table of variables and their types.
func Roots() map[string]string { return roots }

// IgnoreORC makes stacks be walked as those of a kernel that has no ORC.
func (k *Kernel) IgnoreORC() { k.ignoreORC = true }

// SetBTF gives the kernel types that a test has made.
func (k *Kernel) SetBTF(b *symbols.BTF) { k.btfOnce.Do(func() { k.btf = b }) }
