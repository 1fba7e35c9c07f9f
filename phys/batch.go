package phys

// Batch is pages that a container reads together. It belongs to one goroutine at a time
// and is used again and again: the memory that a read took stays for the next.
type Batch struct {
	PFN  []PFN    // the pages, ascending
	Data [][]byte // what there is of each: in Stored, in Decoded or in a page that many share; not to be written to
	Err  []error  // nil, or a *PageError, for each page

	Stored  []byte // bytes as the file has them
	Decoded []byte // room for each page
}

// Reset makes the results of a batch as long as PFN, all of them empty.
func (b *Batch) Reset() {
	b.Data, b.Err = resized(b.Data, len(b.PFN)), resized(b.Err, len(b.PFN))
	clear(b.Data)
	clear(b.Err)
	b.Stored = b.Stored[:0]
}

// Room gives n bytes more for the stored form of the batch's pages.
func (b *Batch) Room(n int) []byte {
	used := len(b.Stored)
	if used+n > cap(b.Stored) { // Data keeps what the old one holds
		b.Stored, used = make([]byte, 0, max(n, 2*cap(b.Stored))), 0
	}
	b.Stored = b.Stored[:used+n]
	return b.Stored[used:][:n:n]
}

// Page gives the room into which page i is to be decoded.
func (b *Batch) Page(i, size int) []byte {
	if len(b.Decoded) < len(b.PFN)*size {
		b.Decoded = make([]byte, len(b.PFN)*size) // of no other page yet, or Data keeps it
	}
	return b.Decoded[i*size:][:size:size]
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
