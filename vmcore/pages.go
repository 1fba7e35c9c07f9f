package vmcore

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// Page is one page of a scan. Data is valid until the loop body returns; it is shorter
// than a page where only the page's beginning is there.
type Page struct {
	PFN  phys.PFN
	Data []byte
}

// Pages yields every page that the dump should hold, in order, decoded in parallel. Pages
// that were excluded and holes are left out. A page that could not be read comes with a
// *phys.PageError and what there is of it; pages lost in one piece come as one error with
// their whole span. Only an error that is no *phys.PageError (the context's, or damage of
// the container's own tables) ends the walk.
func (d *Dump) Pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		s := &scan{d: d, batches: make(chan *batch, 2*runtime.GOMAXPROCS(0)), work: make(chan *batch)}
		var workers sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			workers.Go(s.decode)
		}
		go s.feed(ctx)
		defer func() { // the loop body may panic or leave its goroutine
			stop()
			for range s.batches { // let the feeder see the end
			}
			workers.Wait()
		}()
		s.deliver(ctx, yield)
	}
}

// batchBytes is the memory that one worker decodes at a time.
const batchBytes = 256 << 10

// scan is one walk over all pages: a feeder cuts the runs into batches, workers fill
// them, and they are delivered in the feeder's order.
type scan struct {
	d       *Dump
	batches chan *batch // in order
	work    chan *batch
	free    sync.Pool
}

// batch is a piece of one run.
type batch struct {
	run   phys.Run
	err   error // of the container's tables: ends the walk
	data  []byte
	pages []pageResult
	done  chan struct{}
}

type pageResult struct {
	n   int
	err error
}

// feed cuts the runs into batches until the context ends.
func (s *scan) feed(ctx context.Context) {
	defer close(s.batches)
	defer close(s.work)
	perBatch := phys.PFN(max(1, batchBytes/s.d.PageSize()))
	for run, err := range s.d.c.Runs() {
		if err == nil && phys.Reason(run.Why) == phys.ErrExcluded {
			continue
		}
		for p := run.Start; err != nil || p < run.End; p += perBatch {
			b := s.batch(phys.Run{Start: p, End: min(p+perBatch, run.End), Why: run.Why}, err)
			if run.Why != nil {
				b.run.End = run.End
			}
			if !s.send(ctx, b) || err != nil {
				return
			}
			if run.Why != nil {
				break
			}
		}
	}
}

func (s *scan) batch(run phys.Run, err error) *batch {
	b, ok := s.free.Get().(*batch)
	if !ok {
		b = &batch{}
	}
	b.run, b.err, b.done = run, err, make(chan struct{})
	return b
}

// send queues a batch for delivery and, if there is something to read, for a worker.
func (s *scan) send(ctx context.Context, b *batch) bool {
	queue := func(c chan *batch) bool {
		select {
		case c <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if b.err != nil || b.run.Why != nil {
		close(b.done)
		return queue(s.batches)
	}
	return queue(s.batches) && queue(s.work)
}

// decode fills batches until there are no more.
func (s *scan) decode() {
	size := s.d.PageSize()
	for b := range s.work {
		n := int(b.run.Len())
		if cap(b.data) < n*size {
			b.data, b.pages = make([]byte, n*size), make([]pageResult, n)
		}
		b.data, b.pages = b.data[:n*size], b.pages[:n]
		for i := range b.pages {
			r := &b.pages[i]
			r.n, r.err = s.d.c.ReadPage(b.run.Start+phys.PFN(i), b.data[i*size:(i+1)*size])
		}
		close(b.done)
	}
}

// deliver hands the batches to the caller, in order.
func (s *scan) deliver(ctx context.Context, yield func(Page, error) bool) {
	for {
		var b *batch
		var open bool
		select {
		case b, open = <-s.batches:
		case <-ctx.Done():
		}
		if b == nil {
			if err := ctx.Err(); !open && err != nil {
				yield(Page{}, err)
			}
			return
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			yield(Page{}, ctx.Err())
			return
		}
		if !s.hand(b, yield) {
			return
		}
		s.free.Put(b)
	}
}

// hand yields one batch; false ends the walk.
func (s *scan) hand(b *batch, yield func(Page, error) bool) bool {
	size := s.d.PageSize()
	switch {
	case b.err != nil:
		yield(Page{}, b.err)
		return false
	case b.run.Why != nil:
		span := phys.PageSpan(b.run.Start, b.run.Len(), size)
		return yield(Page{PFN: b.run.Start}, &phys.PageError{Op: "read", Span: span, Off: -1, Err: b.run.Why})
	}
	for i, r := range b.pages {
		p := Page{PFN: b.run.Start + phys.PFN(i), Data: b.data[i*size : i*size+r.n]}
		if !yield(p, r.err) {
			return false
		}
	}
	return true
}
