package diskdump

import (
	"encoding/binary"
	"io"
	"iter"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// writeBitmaps writes both bitmaps at off and counts the descriptors of this part.
func (k *Writer) writeBitmaps(off int64, runs iter.Seq2[phys.Run, error]) error {
	ram, dumped := bitWriter{w: k.w, off: off}, bitWriter{w: k.w, off: off + k.half()}
	for run, err := range runs {
		if err != nil {
			return err
		}
		start, end := max(run.Start, k.base), min(run.End, k.plan.MaxPFN)
		if start >= end || phys.Reason(run.Why) == phys.ErrHole {
			continue
		}
		ram.set(uint64(start-k.base), uint64(end-k.base))
		if described(run.Why) {
			dumped.set(uint64(start-k.base), uint64(end-k.base))
			k.want += k.within(start, end)
		}
	}
	ram.flush()
	dumped.flush()
	if ram.err != nil {
		return ram.err
	}
	return dumped.err
}

// described tells whether a page gets a descriptor: it is there, or it should be.
func described(why error) bool {
	r := phys.Reason(why)
	return why == nil || r != phys.ErrHole && r != phys.ErrExcluded
}

// within is how many of pages [start, end) are this part's.
func (k *Writer) within(start, end phys.PFN) uint64 {
	start, end = max(start, k.plan.First), min(end, k.plan.End)
	return uint64(end - min(start, end))
}

// bitWriter writes a bitmap from its start to its end; blocks without a bit are left out.
type bitWriter struct {
	w     io.WriterAt
	off   int64 // file offset of bit 0
	block uint64
	dirty bool
	b     [blockBytes]byte
	err   error
}

// set sets bits [from, to), which are behind those that were set before.
func (m *bitWriter) set(from, to uint64) {
	for from < to {
		if n := from / blockBits; n != m.block {
			m.flush()
			m.block = n
		}
		end := min(to, (m.block+1)*blockBits)
		m.dirty = true
		for ; from < end && from%8 != 0; from++ {
			m.b[from%blockBits/8] |= 1 << (from % 8)
		}
		for ; from+8 <= end; from += 8 {
			m.b[from%blockBits/8] = 0xff
		}
		for ; from < end; from++ {
			m.b[from%blockBits/8] |= 1 << (from % 8)
		}
	}
}

// flush writes the block. The last one can reach beyond the bitmap, with no bit set there
// and nothing written there before.
func (m *bitWriter) flush() {
	if m.dirty && m.err == nil {
		_, m.err = m.w.WriteAt(m.b[:], m.off+int64(m.block)*blockBytes)
	}
	clear(m.b[:])
	m.dirty = false
}

// vmcoreinfoIn finds VMCOREINFO's text in notes; n is 0 when there is none.
func vmcoreinfoIn(notes []byte, order binary.ByteOrder) (off, n int) {
	for note, err := range elfnote.All(notes, order) {
		if err == nil && note.Name == "VMCOREINFO" {
			return note.Off, len(note.Desc)
		}
	}
	return 0, 0
}
