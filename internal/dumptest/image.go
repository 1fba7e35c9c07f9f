package dumptest

import (
	"bytes"
	"encoding/binary"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// Image is the memory of a machine, page by page. Pages that it does not name are holes.
type Image struct {
	PageSize int
	Pages    map[phys.PFN][]byte // what pages hold; each is PageSize long
	Excluded []phys.Run          // memory that the dump filter left out; Why is not used
	Lost     map[phys.PFN]bool   // have a descriptor that was never written: kdump alone
	Damage   map[phys.PFN]Damage // done to the stored form of a page: kdump alone
	MaxPFN   phys.PFN            // one past the last page; 0 is one past the last named
}

// Damage changes how a page is stored: its bytes and its descriptor.
type Damage func(stored []byte, d *Desc) []byte

// Desc is struct page_desc.
type Desc struct {
	Offset      int64
	Size, Flags uint32
	PageFlags   uint64
}

// Source is a dump as tests see it: what vmcore.Container is to its readers.
type Source interface {
	PageSize() int
	MaxPFN() phys.PFN
	ReadPage(p phys.PFN, b []byte) (int, error)
	Runs() iter.Seq2[phys.Run, error]
}

// ImageOf reads all of a dump. Pages that cannot be read stay holes.
func ImageOf(s Source) (*Image, error) {
	m := &Image{PageSize: s.PageSize(), Pages: map[phys.PFN][]byte{}, MaxPFN: s.MaxPFN()}
	for run, err := range s.Runs() {
		switch {
		case err != nil:
			return nil, err
		case run.Why != nil:
			m.exclude(run)
		default:
			m.read(s, run)
		}
	}
	return m, nil
}

func (m *Image) exclude(run phys.Run) {
	if phys.Reason(run.Why) == phys.ErrExcluded {
		m.Excluded = append(m.Excluded, run)
	}
}

func (m *Image) read(s Source, run phys.Run) {
	for p := run.Start; p < run.End; p++ {
		b := make([]byte, m.PageSize)
		if _, err := s.ReadPage(p, b); err == nil {
			m.Pages[p] = b
		}
	}
}

// Set gives page p its bytes.
func (m *Image) Set(p phys.PFN, b []byte) {
	if m.Pages == nil {
		m.Pages = map[phys.PFN][]byte{}
	}
	m.Pages[p] = b
}

// Exclude marks pages [start, end) as memory that the dump filter left out.
func (m *Image) Exclude(start, end phys.PFN) {
	m.Excluded = append(m.Excluded, phys.Run{Start: start, End: end, Why: phys.ErrExcluded})
}

// Max is one past the last page.
func (m *Image) Max() phys.PFN {
	if m.MaxPFN != 0 {
		return m.MaxPFN
	}
	var last phys.PFN
	for p := range m.Pages {
		last = max(last, p+1)
	}
	for _, r := range m.Excluded {
		last = max(last, r.End)
	}
	return last
}

// PFNs are the pages that have content, ascending.
func (m *Image) PFNs() []phys.PFN { return slices.Sorted(maps.Keys(m.Pages)) }

// Fill is a page that holds text over and over.
func Fill(size int, text string) []byte {
	return bytes.Repeat([]byte(text), size/len(text)+1)[:size]
}

// Random is a page of words as kernel memory has them: zeros, small numbers, pointers and
// some noise, the same for a seed on every machine. Every codec makes it shorter.
func Random(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var b []byte
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, word(r))
	}
	return b[:size]
}

func word(r *rand.Rand) uint64 {
	switch r.IntN(8) {
	case 0, 1:
		return r.Uint64N(256)
	case 2, 3:
		return 0xffff888000000000 | r.Uint64N(1<<28)&^63
	case 4:
		return r.Uint64()
	}
	return 0
}

// Order is a byte order by which integers are read and appended.
type Order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}
