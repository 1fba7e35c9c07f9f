package vmcore

import (
	"context"
	"errors"
	"time"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Verification is what a full read of a dump found.
type Verification struct {
	Good     uint64 // pages that were read and decoded, the zero ones included
	Zero     uint64 // of these, pages of zeros
	Excluded uint64 // left out by the dump filter, by the container's tables
	Hole     uint64
	Lost     uint64
	Corrupt  uint64
	Bytes    uint64 // of memory that was read
	Elapsed  time.Duration
	Damage   []Damage // in the order of their addresses; neighbours of one kind are one
	Cut      bool     // there was more damage than maxDamage entries
}

// Damage is a run of pages that should be there and cannot be read.
type Damage struct {
	First, Last phys.PFN // inclusive
	Why         error    // phys.ErrLost or phys.ErrCorrupt
	Detail      error    // what the first of them said
}

// maxDamage bounds the map; what is beyond it is counted only.
const maxDamage = 10000

const progressStep = 1024 // pages

// Verify reads every page of the dump, in parallel. progress, if not nil, is called now
// and then, and at the end, with the pages done and the pages to do.
func (d *Dump) Verify(ctx context.Context, progress func(done, total uint64)) (*Verification, error) {
	start := time.Now()
	counts, err := d.Counts()
	if err != nil {
		return nil, err
	}
	v := &Verification{Excluded: counts.Excluded, Hole: counts.Hole}
	done, told, total := uint64(0), uint64(0), counts.Present+counts.Lost
	err = d.Scan(ctx, countZero, func(b *Batch) error {
		v.Zero += *b.Out.(*uint64)
		for i, p := range b.PFN {
			done += v.page(d, Page{PFN: p, Data: b.Data[i]}, b.Err[i])
		}
		if progress != nil && (done-told >= progressStep || done == total) {
			told = done
			progress(done, total)
		}
		return nil
	})
	v.Elapsed = time.Since(start)
	return v, err
}

// countZero counts the pages of zeros of a batch into its Out.
func countZero(b *Batch) error {
	n, ok := b.Out.(*uint64)
	if !ok {
		n = new(uint64)
		b.Out = n
	}
	*n = 0
	for i, data := range b.Data {
		if b.Err[i] == nil && bin.Zero(data) {
			*n++
		}
	}
	return nil
}

// page counts one page or one run of lost ones.
func (v *Verification) page(d *Dump, page Page, err error) (n uint64) {
	v.Bytes += uint64(len(page.Data))
	if err == nil {
		v.Good++
		return 1
	}
	n = 1
	var pe *phys.PageError
	if errors.As(err, &pe) {
		n = max(1, pe.Span.Len()/uint64(d.PageSize()))
	}
	why := phys.Reason(err)
	switch why {
	case phys.ErrHole, phys.ErrExcluded: // a page that is there in part
		v.Good++
		return 1
	case phys.ErrCorrupt:
		v.Corrupt += n
	default:
		why = phys.ErrLost
		v.Lost += n
	}
	v.add(Damage{First: page.PFN, Last: page.PFN + phys.PFN(n) - 1, Why: why, Detail: err})
	return n
}

// add puts damage into the map.
func (v *Verification) add(g Damage) {
	if k := len(v.Damage) - 1; k >= 0 && v.Damage[k].Last+1 == g.First && v.Damage[k].Why == g.Why {
		v.Damage[k].Last = g.Last
		return
	}
	if len(v.Damage) >= maxDamage {
		v.Cut = true
		return
	}
	v.Damage = append(v.Damage, g)
}
