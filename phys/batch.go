package phys

import "io"

// Batch is pages that a container reads together. It belongs to one goroutine at a time
// and is used again and again: the memory that a read took stays for the next.
type Batch struct {
	PFN  []PFN    // the pages, ascending
	Data [][]byte // what there is of each: in Stored, in Decoded or in a page that many share; not to be written to
	Err  []error  // nil, or a *PageError, for each page

	Stored  []byte // bytes as the file has them
	Decoded []byte // room for each page

	// Mapped lets a read look at mapped files where they lie. Who sets it catches the faults of a
	// file that is cut meanwhile, and asks Whole before the pages are believed.
	Mapped bool
	// InPlace lets Data lie there too, until Release.
	InPlace bool
	views   []View
}

// Viewer is a file that shows its bytes where they lie in memory.
type Viewer interface {
	// View shows n bytes from off on, and what lies behind them as far as the capacity
	// goes; nil where it does not. The bytes are good until the View is released.
	View(off int64, n int) ([]byte, View)
}

// View is memory of a mapped file.
type View interface {
	// Whole tells whether the file is as long as it was: what was read before is good then.
	Whole() bool
	Release()
}

// SeeMost is what a reader of a batch asks See for at once, at most.
const SeeMost = 128 << 10

// See shows n bytes of r from off on where they lie; nil if that is not wanted or cannot be.
func (b *Batch) See(r io.ReaderAt, off int64, n int) []byte {
	if !b.Mapped {
		return nil
	}
	v, ok := r.(Viewer)
	if !ok {
		return nil
	}
	bytes, view := v.View(off, n)
	if view != nil {
		b.views = append(b.views, view)
	}
	return bytes
}

// Whole tells whether all that See showed is good.
func (b *Batch) Whole() bool {
	for _, v := range b.views {
		if !v.Whole() {
			return false
		}
	}
	return true
}

// Release ends what See showed.
func (b *Batch) Release() {
	for i, v := range b.views {
		v.Release()
		b.views[i] = nil
	}
	b.views = b.views[:0]
}

// Reset makes the results of a batch as long as PFN, all of them empty.
func (b *Batch) Reset() {
	b.Data, b.Err = resized(b.Data, len(b.PFN)), resized(b.Err, len(b.PFN))
	clear(b.Data)
	clear(b.Err)
	b.Stored = b.Stored[:0]
	b.Release()
}

// Spare is how much memory there is behind what Room and Page give, to the slices' capacity:
// decoders work in whole words, and may spoil pages behind the one that they decode.
const Spare = 66 << 10

// Room gives n bytes more for the stored form of the batch's pages.
func (b *Batch) Room(n int) []byte {
	used := len(b.Stored)
	if used+n+Spare > cap(b.Stored) { // Data keeps what the old one holds
		b.Stored, used = make([]byte, 0, max(n+Spare, 2*cap(b.Stored))), 0
	}
	b.Stored = b.Stored[:used+n]
	return b.Stored[used:][:n]
}

// Page gives the room into which page i is to be decoded.
func (b *Batch) Page(i, size int) []byte {
	if len(b.Decoded) < len(b.PFN)*size+Spare {
		b.Decoded = make([]byte, len(b.PFN)*size+Spare) // of no other page yet, or Data keeps it
	}
	return b.Decoded[i*size:][:size]
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
