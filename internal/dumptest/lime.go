package dumptest

import (
	"bytes"
	"encoding/binary"

	"github.com/klauspost/compress/snappy"

	"github.com/kautopsy/kautopsy/phys"
)

// rangeBytes bounds one range of LiME and AVML files as AVML writes them.
const rangeBytes = 16 << 20

// LiME writes the pages that are there as LiME records: magic, version 1, first and last
// address, eight bytes reserved, the memory. Excluded pages become holes: the format has
// no word for them.
func (m *Image) LiME() []byte {
	var b []byte
	for first, data := range m.ranges() {
		b = append(b, "EMiL\x01\x00\x00\x00"...)
		b = rangeHeader(b, first, data)
		b = append(b, data...)
	}
	return b
}

// AVML writes the same ranges as AVML version 2: each a snappy stream in framing format,
// then its length.
func (m *Image) AVML() ([]byte, error) {
	var b bytes.Buffer
	for first, data := range m.ranges() {
		b.WriteString("AVML\x02\x00\x00\x00")
		b.Write(rangeHeader(nil, first, data))
		start := b.Len()
		w := snappy.NewBufferedWriter(&b)
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(b.Len()-start)))
	}
	return b.Bytes(), nil
}

// rangeHeader appends what the headers have in common behind magic and version.
func rangeHeader(b []byte, first phys.Addr, data []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(first))
	b = binary.LittleEndian.AppendUint64(b, uint64(first)+uint64(len(data))-1)
	return append(b, make([]byte, 8)...)
}

// ranges yields the runs of pages that are there, with their memory.
func (m *Image) ranges() func(yield func(phys.Addr, []byte) bool) {
	return func(yield func(phys.Addr, []byte) bool) {
		var data []byte
		var next phys.PFN
		first := func() phys.Addr { return phys.Addr(uint64(next)*uint64(m.PageSize) - uint64(len(data))) }
		for _, p := range m.PFNs() {
			if len(data) > 0 && (p != next || len(data) >= rangeBytes) {
				if !yield(first(), data) {
					return
				}
				data = nil
			}
			data, next = append(data, m.Pages[p]...), p+1
		}
		if len(data) > 0 {
			yield(first(), data)
		}
	}
}

// Raw writes memory from address 0 on, as a file whose offsets are addresses; what is not
// there is zero.
func (m *Image) Raw() []byte {
	b := make([]byte, uint64(m.Max())*uint64(m.PageSize))
	for p, page := range m.Pages {
		copy(b[uint64(p)*uint64(m.PageSize):], page)
	}
	return b
}
