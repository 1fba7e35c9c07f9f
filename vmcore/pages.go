package vmcore

import (
	"context"
	"errors"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
)

// Page is one page of a scan. Data is valid until the loop body returns and not to be
// changed; it is shorter than a page where only the page's beginning is there.
type Page struct {
	PFN  phys.PFN
	Data []byte
}

// errStop: the loop was left.
var errStop = errors.New("stop")

// Pages yields every page that the dump should hold, in order, decoded in parallel. Pages
// that were excluded and holes are left out. A page that could not be read comes with a
// *phys.PageError and what there is of it; pages lost in one piece come as one error with
// their whole span. Only an error that is no *phys.PageError (the context's, or damage of
// the container's own tables) ends the walk.
func (d *Dump) Pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		s := &scan{d: d, runs: d.Runs(), size: d.PageSize()} // a loop's body cannot be left by a fault
		err := s.run(ctx, func(b *Batch) error {
			for i, p := range b.PFN {
				if !yield(Page{PFN: p, Data: b.Data[i]}, b.Err[i]) {
					return errStop
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Page{}, err)
		}
	}
}
