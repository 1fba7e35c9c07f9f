package diskdump

import (
	"encoding/binary"
	"io"
)

// FlatWriter makes a flattened stream of what is written to it, for outputs that cannot go
// back. Each write is a record; it is for one goroutine.
type FlatWriter struct {
	w   io.Writer
	err error
}

// NewFlatWriter begins a stream.
func NewFlatWriter(w io.Writer) (*FlatWriter, error) {
	head := make([]byte, flatHeader)
	copy(head, SignatureFlat)
	binary.BigEndian.PutUint64(head[16:], 1) // type
	binary.BigEndian.PutUint64(head[24:], 1) // version
	_, err := w.Write(head)
	return &FlatWriter{w: w, err: err}, err
}

// WriteAt writes a record.
func (f *FlatWriter) WriteAt(b []byte, off int64) (int, error) {
	if len(b) == 0 {
		return 0, f.err
	}
	if f.record(off, int64(len(b))); f.err != nil {
		return 0, f.err
	}
	n := 0
	n, f.err = f.w.Write(b)
	return n, f.err
}

// Close writes the end mark. It does not close the output.
func (f *FlatWriter) Close() error {
	f.record(-1, -1)
	return f.err
}

func (f *FlatWriter) record(off, n int64) {
	if f.err == nil {
		var head [flatRecord]byte
		binary.BigEndian.PutUint64(head[:], uint64(off))
		binary.BigEndian.PutUint64(head[8:], uint64(n))
		_, f.err = f.w.Write(head[:])
	}
}
