package vmcore

import (
	"context"
	"iter"
	"runtime"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// Batch is some pages of a scan, in PFN order. It is valid until the function that got it
// returns; the pages' bytes are not to be changed.
type Batch struct {
	// Out is the caller's: what work makes of the batch for deliver. It stays with the
	// batch when that is used again for other pages, so that buffers in it serve again.
	Out any

	phys.Batch
	lost  bool  // the pages are not in the file: Err tells, nothing is to be read
	fatal error // of the container's tables: ends the scan
	done  chan struct{}
}

// All yields the pages with their errors, as Dump.Pages does.
func (b *Batch) All() iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for i, p := range b.PFN {
			if !yield(Page{PFN: p, Data: b.Data[i]}, b.Err[i]) {
				return
			}
		}
	}
}

// Scan reads every page that the dump should hold, with large reads that follow the file,
// on all processors: work gets the batches in any order, from many goroutines at once;
// then deliver gets them in the order of their pages, from the calling goroutine. Either
// may be nil. The first error of one of them ends the scan and is returned. What comes as
// a page, and what as an error beside it, is as with Pages.
//
// With Options.Map pages may lie in the file's mapping. When the file is cut while one of the
// functions looks at them, that function ends in the middle and the scan with an error
// that wraps phys.ErrLost.
func (d *Dump) Scan(ctx context.Context, work, deliver func(*Batch) error) error {
	return d.scan(ctx, d.Runs(), work, deliver)
}

// scan is Scan of some runs, in ascending order.
func (d *Dump) scan(ctx context.Context, runs iter.Seq2[phys.Run, error], work, deliver func(*Batch) error) error {
	s := &scan{d: d, runs: runs, work: work, size: d.PageSize(), inPlace: true}
	return s.run(ctx, deliver)
}

// run does the scan.
func (s *scan) run(ctx context.Context, deliver func(*Batch) error) error {
	ctx, stop := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	slots := 2*workers + 2
	s.free, s.order, s.todo = make(chan *Batch, slots), make(chan *Batch, slots), make(chan *Batch, slots)
	batches := make([]Batch, slots)
	for i := range batches {
		batches[i].done = make(chan struct{}, 1)
		s.free <- &batches[i]
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(func() { s.read(ctx) })
	}
	running.Go(func() { s.feed(ctx) })
	defer func() { // deliver may panic or leave its goroutine
		stop()
		running.Wait()
		for i := range batches {
			batches[i].Release()
		}
	}()
	return s.deliver(ctx, deliver)
}

// batchBytes is the memory of a batch's pages, so little that the processor keeps them at hand, but
// enough that passing them on to another one is not what takes the time; plainBatch where they lie in
// place, and are looked at as fast as that. scanMemory bounds that of all batches under way: two a worker and one each for
// the feeder and the caller. When none is free the feeder waits, so a slow caller holds up the reading.
const (
	batchBytes = 512 << 10
	plainBatch = 2 << 20
	scanMemory = 24 << 20
)

// plainReader is a container that tells whether its pages are in the file as they are.
type plainReader interface{ Plain() bool }

// batchPages is how many pages a batch has, at most.
func (s *scan) batchPages() int {
	bytes := batchBytes
	if c, ok := s.d.c.(plainReader); ok && s.inPlace && s.d.mapped && c.Plain() {
		bytes = plainBatch
	}
	return max(1, min(bytes, scanMemory/cap(s.free))/s.size)
}

// scan is one walk over all pages: a feeder cuts the runs into batches, workers fill
// them, and they are delivered in the feeder's order. Batches go round: a free one, one
// with pages to read, one that is done, a free one.
type scan struct {
	d    *Dump
	runs iter.Seq2[phys.Run, error]
	work func(*Batch) error
	size int // of a page

	inPlace bool // pages may lie in mapped files

	free  chan *Batch
	todo  chan *Batch // for the workers
	order chan *Batch // the same, for delivery
}

// feed cuts the runs into batches until the context ends.
func (s *scan) feed(ctx context.Context) {
	f := &feeder{scan: s, ctx: ctx, most: s.batchPages()}
	defer close(s.order)
	defer close(s.todo)
	for run, err := range s.runs {
		switch {
		case err != nil:
			f.flush()
			if f.room(true) {
				f.b.fatal = err
			}
		case phys.Reason(run.Why) == phys.ErrExcluded:
			continue
		case run.Why != nil:
			f.lost(run)
		default:
			f.pages(run)
		}
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	f.flush()
}

// feeder fills batches with the pages that are to be read.
type feeder struct {
	*scan
	ctx  context.Context
	most int    // pages of a batch
	b    *Batch // that is being filled, or nil
}

// pages adds the pages of a run.
func (f *feeder) pages(run phys.Run) {
	for p := run.Start; p < run.End && f.room(false); p++ {
		f.b.PFN = append(f.b.PFN, p)
	}
}

// lost adds a run of pages that are not in the file; it takes one place.
func (f *feeder) lost(run phys.Run) {
	if f.room(true) {
		span := phys.PageSpan(run.Start, run.Len(), f.size)
		f.b.PFN = append(f.b.PFN, run.Start)
		f.b.Data = append(f.b.Data, nil)
		f.b.Err = append(f.b.Err, &phys.PageError{Op: "read", Span: span, Off: -1, Err: run.Why})
	}
}

// room makes room for one more page that is lost or not; false when the context ends.
func (f *feeder) room(lost bool) bool {
	if f.b != nil && f.b.lost == lost && len(f.b.PFN) < f.most {
		return true
	}
	f.flush()
	select {
	case f.b = <-f.free:
		f.b.PFN, f.b.Data, f.b.Err = f.b.PFN[:0], f.b.Data[:0], f.b.Err[:0]
		f.b.lost = lost
		return true
	case <-f.ctx.Done():
		return false
	}
}

// flush passes the batch on. It does not wait: the channels have room for all batches.
func (f *feeder) flush() {
	if f.b != nil {
		f.order <- f.b
		f.todo <- f.b
		f.b = nil
	}
}

// read fills batches and has them worked on until there are no more.
func (s *scan) read(ctx context.Context) {
	for b := range s.todo {
		switch {
		case ctx.Err() != nil:
			b.fatal = ctx.Err()
		case !b.lost:
			s.fill(b)
		}
		if s.work != nil && b.fatal == nil {
			b.fatal = b.call(s.work)
		}
		b.done <- struct{}{}
	}
}

// bulkReader is a container that reads pages faster together than one by one.
type bulkReader interface{ ReadPages(b *phys.Batch) }

// readPages fills a batch.
func (d *Dump) readPages(b *phys.Batch) {
	if r, ok := d.c.(bulkReader); ok {
		r.ReadPages(b)
		return
	}
	b.Reset()
	for i, p := range b.PFN {
		page := b.Page(i, d.PageSize())
		n, err := d.c.ReadPage(p, page)
		b.Data[i], b.Err[i] = page[:n], err
	}
}

// deliver hands the batches to the caller, in order.
func (s *scan) deliver(ctx context.Context, to func(*Batch) error) error {
	for b := range s.order {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.fatal == nil && to != nil {
			b.fatal = b.call(to)
		}
		if b.fatal != nil {
			return b.fatal
		}
		b.Release()
		s.free <- b
	}
	return ctx.Err()
}
