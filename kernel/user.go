package kernel

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// UserMemory is the memory of a process, by its own page tables. Most of it is left out of a
// dump that was made with makedumpfile -d 31.
type UserMemory struct {
	k   *Kernel
	pgd phys.Addr
}

// UserMemory finds the page tables of a struct mm_struct.
func (k *Kernel) UserMemory(mm Object) (*UserMemory, error) {
	if k.spc == nil {
		return nil, k.spaceErr
	}
	at, err := mm.Pointer("pgd")
	if err != nil {
		return nil, err
	}
	pgd, err := k.Translate(at)
	if err != nil {
		return nil, fmt.Errorf("page tables of a process: %w", err)
	}
	return &UserMemory{k, pgd}, nil
}

// ReadVirt fills p with the memory of the process at va; n is the number of bytes before the
// first absence, and n < len(p) exactly when err is not nil. What the process has, but not
// in RAM, is phys.ErrUnmapped.
func (u *UserMemory) ReadVirt(p []byte, va uint64) (n int, err error) {
	for n < len(p) {
		at := va + uint64(n)
		w, err := u.k.spc.WalkUser(u.pgd, at)
		if err != nil {
			return n, &VirtError{at, err}
		}
		part := p[n:]
		if length := w.PageSize - at&(w.PageSize-1); uint64(len(part)) > length {
			part = part[:length]
		}
		got, err := u.k.dump.ReadPhys(part, w.Addr)
		if n += got; err != nil {
			return n, &VirtError{at + uint64(got), err}
		}
	}
	return n, nil
}
