package kernel

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/internal/arch"
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

// Walk goes through the page tables of the process. Its error is as that of ReadVirt.
func (u *UserMemory) Walk(va uint64) (Walk, error) {
	w, err := u.k.spc.WalkUser(u.pgd, va)
	if err != nil {
		err = &VirtError{va, err}
	}
	return w, err
}

// UserPages is what the page tables of a process say of [Start, End): one page, which may be
// a large one and is cut to what was asked for, or a run of addresses that are not mapped.
type UserPages struct {
	Start, End uint64
	Mapped     bool
	Addr       phys.Addr // of Start, when it is mapped
	// Entry is what stands in place of a page that is not in memory but known: swapped out,
	// being moved. 0 for a page that was not touched yet, or is let go of.
	Entry uint64
}

// Pages yields what the page tables of the process say of the addresses [start, end), in
// ascending order. Tables that cannot be read come as an error about the addresses that they
// are for, and the walk goes on behind them.
func (u *UserMemory) Pages(ctx context.Context, start, end uint64) iter.Seq2[UserPages, error] {
	return func(yield func(UserPages, error) bool) {
		var absent UserPages // the run that has not been yielded
		flush := func() bool {
			run := absent
			absent = UserPages{}
			return run.End == run.Start || yield(run, nil)
		}
		for at := start; at < end; {
			if err := ctx.Err(); err != nil {
				yield(UserPages{Start: at, End: end}, err)
				return
			}
			p, err := u.pagesAt(at, end)
			if err == nil && !p.Mapped && p.Entry == 0 {
				if absent.End != at {
					absent.Start = at
				}
				absent.End = p.End
			} else if !flush() || !yield(p, err) {
				return
			}
			at = p.End
		}
		flush()
	}
}

// pagesAt is what one entry of the page tables says of at and the addresses behind it.
func (u *UserMemory) pagesAt(at, end uint64) (UserPages, error) {
	p := UserPages{Start: at}
	upTo := func(size uint64) uint64 { // the end of the aligned run that at is in
		if next := (at | (size - 1)) + 1; next > at {
			return min(next, end)
		}
		return end
	}
	w, err := u.Walk(at)
	if err == nil {
		p.End, p.Mapped, p.Addr = upTo(w.PageSize), true, w.Addr
		return p, nil
	}
	var we *arch.WalkError
	if !errors.As(err, &we) || we.Size == 0 { // no table is met at all
		p.End = end
		return p, err
	}
	p.End = upTo(we.Size)
	if !errors.Is(err, phys.ErrUnmapped) {
		return p, err
	}
	if n := len(w.Steps); n > 0 && we.Size <= uint64(u.k.PageSize()) {
		p.Entry = w.Steps[n-1].Value
	}
	return p, nil
}

// IsUser tells whether an address can be of a process only: the lower half of the address
// space, where processes and the kernel share one. On s390x each has its own.
func (k *Kernel) IsUser(va uint64) bool {
	return k.ptrSize() == 8 && k.Machine() != "s390x" && va>>63 == 0
}
