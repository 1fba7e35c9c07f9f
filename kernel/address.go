package kernel

import (
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Walk is the way from a virtual to a physical address through the page tables.
type Walk = arch.Walk

// VirtError says which virtual address could not be read.
type VirtError struct {
	VA  uint64
	Err error // wraps one of the phys reasons
}

// Error reads like "virtual 0xffffc90000000000: PMD entry at physical 0x1a3f008: not mapped".
func (e *VirtError) Error() string {
	var w *arch.WalkError
	if errors.As(e.Err, &w) && w.VA == e.VA { // says the address itself
		return fmt.Sprintf("virtual %v", e.Err)
	}
	return fmt.Sprintf("virtual %#x: %v", e.VA, e.Err)
}

// Unwrap gives the reason to errors.Is.
func (e *VirtError) Unwrap() error { return e.Err }

// Space is the kernel's address space, or why there is none.
func (k *Kernel) Space() (arch.Space, error) {
	if k.spc == nil {
		return nil, k.spaceErr
	}
	return k.spc, nil
}

// Translate gives the physical address of a kernel address: by the image's rule, by the
// direct map's, else by the page tables.
func (k *Kernel) Translate(va uint64) (phys.Addr, error) {
	if k.spc == nil {
		return 0, &VirtError{va, k.spaceErr}
	}
	a, err := arch.Translate(k.spc, va)
	if err != nil {
		return 0, &VirtError{va, err}
	}
	return a, nil
}

// ReadVirt fills p with kernel memory at va; n is the number of bytes before the first
// absence, and n < len(p) exactly when err is not nil.
func (k *Kernel) ReadVirt(p []byte, va uint64) (n int, err error) {
	for n < len(p) {
		at := va + uint64(n)
		if at < va {
			return n, &VirtError{at, phys.ErrUnmapped}
		}
		a, length, err := k.extent(at)
		if err != nil {
			return n, &VirtError{at, err}
		}
		part := p[n:]
		if uint64(len(part)) > length {
			part = part[:length]
		}
		got, err := k.dump.ReadPhys(part, a)
		if n += got; err != nil {
			return n, &VirtError{at + uint64(got), err}
		}
	}
	return n, nil
}

// linear is how far a mapping that needs no tables is trusted to go on.
const linear = 1 << 21

// extent translates va and tells how many bytes behind it lie together.
func (k *Kernel) extent(va uint64) (phys.Addr, uint64, error) {
	if k.spc == nil {
		return 0, 0, k.spaceErr
	}
	rest := linear - va%linear
	if a, ok := k.spc.Image(va); ok {
		return a, rest, nil
	}
	if a, ok := k.spc.Direct(va); ok {
		return a, rest, nil
	}
	w, err := k.spc.Walk(va)
	if err != nil {
		return 0, 0, err
	}
	return w.Addr, w.PageSize - va&(w.PageSize-1), nil
}

// uint reads an integer of 1, 2, 4 or 8 bytes at va.
func (k *Kernel) uint(va uint64, size int) (uint64, error) {
	var b [8]byte
	if _, err := k.ReadVirt(b[:size], va); err != nil {
		return 0, err
	}
	return bin.Uint(b[:size], k.dump.Header.Order), nil
}

// pointer reads a pointer or a long at va.
func (k *Kernel) pointer(va uint64) (uint64, error) { return k.uint(va, k.ptrSize()) }
