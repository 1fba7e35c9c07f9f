package vmcore

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/kautopsy/kautopsy/elfcore"
	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// LiME v1 and AVML v2 files are records of this form, and one file may hold both kinds
// (LiME doc/README, src/lime.h lime_mem_range_header; AVML src/image.rs):
//
//	0       4         8         16                   24         32
//	| magic | version | s_addr  | e_addr (inclusive) | reserved | e_addr-s_addr+1 bytes, or a
//	                                                              snappy stream of as many (avml.go)
//
// Little-endian whatever the machine. There are no notes and no registers. AVML writes
// no record for 16 MiB that are all zero, so what is in no record is a hole or was zero.
type record struct {
	magic, version        uint32
	start, last, reserved uint64
}

const (
	limeMagic, limeVersion = 0x4c694d45, 1
	avmlMagic, avmlVersion = 0x4c4d5641, 2

	recordSize = 32
	// maxRecords is 16 TiB in AVML's records of 16 MiB; LiME writes a handful.
	maxRecords = 1 << 20
	// rawPage is the page size of containers that do not tell one.
	rawPage = 4096
)

var recordLayout = bin.Layout[record]{Name: "lime_mem_range_header", Fields: []bin.Field[record]{
	{Name: "magic", Kind: bin.U32, Set: func(r *record, v uint64) { r.magic = uint32(v) }},
	{Name: "version", Kind: bin.U32, Set: func(r *record, v uint64) { r.version = uint32(v) }},
	{Name: "s_addr", Kind: bin.U64, Set: func(r *record, v uint64) { r.start = v }},
	{Name: "e_addr", Kind: bin.U64, Set: func(r *record, v uint64) { r.last = v }},
	{Name: "reserved", Kind: bin.U64, Set: func(r *record, v uint64) { r.reserved = v }},
}}

// errLimeHole is the reason of memory that no record has.
var errLimeHole = fmt.Errorf("in no record (AVML leaves out blocks of zeros): %w", phys.ErrHole)

// check tells why a record cannot be read.
func (r *record) check() error {
	switch {
	case r.magic != limeMagic && r.magic != avmlMagic:
		return fmt.Errorf("magic %#x: %w", r.magic, phys.ErrCorrupt)
	case r.magic == limeMagic && r.version != limeVersion, r.magic == avmlMagic && r.version != avmlVersion:
		return fmt.Errorf("version %d: %w", r.version, phys.ErrUnsupported)
	case r.last < r.start || r.last == ^uint64(0):
		return fmt.Errorf("range %#x-%#x: %w", r.start, r.last, phys.ErrCorrupt)
	}
	return nil
}

// openLime opens a LiME file (insmod lime.ko format=lime; avml without --compress).
func openLime(r io.ReaderAt, size int64, _ *Options) (Container, Header, error) {
	return openRecords(r, size, Header{Format: "lime", Version: limeVersion, Codec: "none"})
}

// openAVML opens a file of avml --compress.
func openAVML(r io.ReaderAt, size int64, _ *Options) (Container, Header, error) {
	return openRecords(r, size, Header{Format: "avml", Version: avmlVersion, Codec: "snappy"})
}

// openRecords reads the record headers. Damage ends the walk: there is no other way to
// the next record. What was found before it stays usable.
func openRecords(r io.ReaderAt, size int64, h Header) (Container, Header, error) {
	h.Parts, h.Order, h.DumpLevel = 1, binary.LittleEndian, -1
	w := recordWalk{snappyStreams: newSnappyStreams(r, size)}
	if err := w.all(); err != nil {
		if len(w.pieces) == 0 {
			return nil, h, fmt.Errorf("%s: %w", h.Format, err)
		}
		h.Problems = append(h.Problems, fmt.Errorf("%s: %w", h.Format, err))
		h.Incomplete = true
	}
	slices.Reverse(w.pieces) // of two records with the same memory the later one counts
	if span, ok := overlap(w.pieces); ok {
		h.Problems = append(h.Problems, fmt.Errorf("%s: two records have %v, the later one is taken: %w", h.Format, span, phys.ErrCorrupt))
	}
	m := elfcore.NewMemory(&w.unpacker, rawPage, w.pieces)
	m.Hole(errLimeHole)
	if w.decoded > 0 {
		return paged{m}, h, nil
	}
	return m, h, nil
}

// recordWalk gathers the records of a file.
type recordWalk struct {
	*snappyStreams
	pieces []elfcore.Piece
}

// all walks the records to the end of the file.
func (w *recordWalk) all() error {
	for off, n := int64(0), 0; off < w.size; n++ {
		if n == maxRecords {
			return fmt.Errorf("more than %d records: %w", n, phys.ErrLimit)
		}
		b, err := bin.ReadN(w.r, w.size, off, recordSize, recordSize)
		if err != nil {
			return fmt.Errorf("record header: %w", err)
		}
		rec, err := recordLayout.Decode(b, bin.ABI{Order: binary.LittleEndian, Long: 8, Align64: 8}, 0)
		if err != nil {
			return err
		}
		if err := rec.check(); err != nil {
			return fmt.Errorf("record at %#x: %w", off, err)
		}
		if off, err = w.add(rec, off+recordSize); err != nil {
			return fmt.Errorf("record %#x-%#x: %w", rec.start, rec.last, err)
		}
	}
	return nil
}

// add takes in the record whose body is at off and gives the offset of the next one.
func (w *recordWalk) add(rec record, off int64) (next int64, err error) {
	span := phys.Span{Start: phys.Addr(rec.start), End: phys.Addr(rec.last + 1)}
	if rec.magic == limeMagic {
		pieces := elfcore.Cut(span.Start, span.Len(), off, span.Len(), w.size, nil)
		pieces[0].Off += storedBase
		w.pieces = append(w.pieces, pieces...)
		if left := uint64(w.size - off); span.Len() > left {
			return 0, fmt.Errorf("the file ends %d bytes early: %w", span.Len()-left, phys.ErrLost)
		}
		return off + int64(span.Len()), nil
	}
	at := w.decoded
	next, err = w.index(off, span.Len())
	there := span.Start + phys.Addr(w.decoded-at)
	w.pieces = append(w.pieces, elfcore.Piece{Span: phys.Span{Start: span.Start, End: there}, Off: at})
	if err != nil {
		w.pieces = append(w.pieces, elfcore.Piece{Span: phys.Span{Start: there, End: span.End}, Why: err})
	}
	return next, err
}

// overlap finds memory that two pieces have.
func overlap(pieces []elfcore.Piece) (phys.Span, bool) {
	spans := make([]phys.Span, 0, len(pieces))
	for _, p := range pieces {
		if p.Span.Len() > 0 {
			spans = append(spans, p.Span)
		}
	}
	slices.SortFunc(spans, func(a, b phys.Span) int {
		if a.Start < b.Start {
			return -1
		}
		return 1
	})
	for i := 1; i < len(spans); i++ {
		if spans[i].Start < spans[i-1].End {
			return phys.Span{Start: spans[i].Start, End: min(spans[i-1].End, spans[i].End)}, true
		}
	}
	return phys.Span{}, false
}
