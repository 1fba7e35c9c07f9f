package elfcore

import "github.com/kautopsy/kautopsy/phys"

// ReadPages reads the pages of a batch: the same bytes and errors as ReadPage gives for
// each. Pages that lie side by side in the file are read in one piece.
func (m *Memory) ReadPages(b *phys.Batch) {
	b.Reset()
	size := m.pageSize
	room := b.Room(len(b.PFN) * size)
	for i := 0; i < len(b.PFN); {
		n, off := m.together(b.PFN[i:])
		if n > 0 {
			piece := room[i*size : (i+n)*size]
			if got, _ := m.r.ReadAt(piece, off); got < len(piece) {
				n = 0
			}
		}
		for k := range n {
			b.Data[i+k] = room[(i+k)*size : (i+k+1)*size]
		}
		if n == 0 { // in several extents, in none, or with an error to tell
			page := room[i*size : (i+1)*size]
			got, err := m.ReadPage(b.PFN[i], page)
			b.Data[i], b.Err[i] = page[:got], err
			n = 1
		}
		i += n
	}
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
	most := (e.end - at) / size
	for n < len(pages) && uint64(n) < most && pages[n] == pages[0]+phys.PFN(n) {
		n++
	}
	return n, e.off + int64(at-e.start)
}
