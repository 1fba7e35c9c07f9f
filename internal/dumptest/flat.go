package dumptest

import (
	"encoding/binary"
	"math/rand/v2"
)

// Record is one write of a flattened stream.
type Record struct {
	Off  int64
	Data []byte
}

// Flat says how a file is wrapped in a flattened stream.
type Flat struct {
	Piece   int    // bytes of a record; 0 is 4096
	Shuffle uint64 // seed of the records' order; 0 keeps it
	Overlap bool   // each record is written twice, first with wrong bytes
	Holes   bool   // records of zeros are left out, as the writer seeks over them
	NoEnd   bool   // no end mark
}

// Records cuts a file into the writes that o asks for.
func (o Flat) Records(file []byte) []Record {
	piece := o.Piece
	if piece == 0 {
		piece = 4096
	}
	var out []Record
	for off := 0; off < len(file); off += piece {
		data := file[off:min(off+piece, len(file))]
		if o.Holes && off+piece < len(file) && isZero(data) {
			continue
		}
		out = append(out, Record{int64(off), data})
	}
	if o.Shuffle != 0 {
		r := rand.New(rand.NewPCG(o.Shuffle, 0))
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	if o.Overlap {
		out = append(garble(out), out...)
	}
	return out
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// garble gives records for the same places with other bytes.
func garble(records []Record) []Record {
	out := make([]Record, len(records))
	for i, r := range records {
		data := make([]byte, len(r.Data))
		for j, c := range r.Data {
			data[j] = ^c
		}
		out[i] = Record{r.Off, data}
	}
	return out
}

// Flatten wraps a file in a flattened stream.
func Flatten(file []byte, o Flat) []byte { return Stream(o.Records(file), !o.NoEnd) }

// Stream is a flattened stream of the given writes.
func Stream(records []Record, end bool) []byte {
	b := make([]byte, 4096)
	copy(b, "makedumpfile")
	binary.BigEndian.PutUint64(b[16:], 1) // type
	binary.BigEndian.PutUint64(b[24:], 1) // version
	for _, r := range records {
		b = binary.BigEndian.AppendUint64(b, uint64(r.Off))
		b = binary.BigEndian.AppendUint64(b, uint64(len(r.Data)))
		b = append(b, r.Data...)
	}
	if end {
		b = binary.BigEndian.AppendUint64(b, 1<<64-1)
		b = binary.BigEndian.AppendUint64(b, 1<<64-1)
	}
	return b
}
