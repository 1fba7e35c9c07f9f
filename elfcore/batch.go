package elfcore

import "github.com/kautopsy/kautopsy/phys"

// ReadPages reads the pages of a batch: the same bytes and errors as ReadPage gives for
// each. Pages that lie side by side in the file are read in one piece.
func (m *Memory) ReadPages(b *phys.Batch) {
	b.Reset()
	size := m.pageSize
	for i := 0; i < len(b.PFN); {
		n, off := m.together(b.PFN[i:])
		piece := m.piece(b, n*size, off)
		if piece == nil {
			n = 0
		}
		for k := range n {
			b.Data[i+k] = piece[k*size:][:size:size]
		}
		if n == 0 { // in several extents, in none, or with an error to tell
			page := b.Room(size)
			got, err := m.ReadPage(b.PFN[i], page)
			b.Data[i], b.Err[i] = page[:got], err
			n = 1
		}
		i += n
	}
}

// piece is n bytes of the file, in place if they may lie there; nil if it has not as many.
func (m *Memory) piece(b *phys.Batch, n int, off int64) []byte {
	if b.InPlace {
		if piece := b.See(m.r, off, n); piece != nil {
			return piece
		}
	}
	piece := b.Room(n)
	if got, _ := m.r.ReadAt(piece, off); got < n {
		return nil
	}
	return piece
}

// together tells how many of pages, from the first on, lie in the file at off, one behind
// the other; 0 when not even the first is there in one piece.
func (m *Memory) together(pages []phys.PFN) (n int, off int64) {
	size := uint64(m.pageSize)
	if uint64(pages[0]) >= ^uint64(0)/size {
		return 0, 0
	}
	at := uint64(pages[0]) * size
	i := m.find(at)
	if i == len(m.extents) || m.extents[i].start > at || m.extents[i].state != 0 {
		return 0, 0
	}
	e := &m.extents[i]
	most := min((e.end-at)/size, max(1, phys.SeeMost/size))
	for n < len(pages) && uint64(n) < most && pages[n] == pages[0]+phys.PFN(n) {
		n++
	}
	return n, e.off + int64(at-e.start)
}
