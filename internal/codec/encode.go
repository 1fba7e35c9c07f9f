package codec

import (
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Encoder codes pages and keeps the codecs' states between them: equal pages have equal
// streams, whatever was coded before. It is for one goroutine; the zero value is ready, and
// takes memory for the codecs that it is asked for.
//
// zlib at level 1, makedumpfile's, and LZO are coded here, zlib twice as fast as by
// C's library; the other levels, snappy and zstd by a library, zstd as fast as that can.
type Encoder struct {
	Level int // of zlib, 1 to 9, and zstd, 1 to 22 in the library's four steps; 0 is 1. Kept from the first page on.

	windows *windows
	deflate *deflater
	lzo     *lzoTable
	zlib    *zlib.Writer
	zstd    *zstd.Encoder
	out     sink
}

// sink keeps what a library writes.
type sink []byte

func (s *sink) Write(b []byte) (int, error) {
	*s = append(*s, b...)
	return len(b), nil
}

// coding is one row of the table: how a page becomes its coded form. encode writes that to
// dst, and returns its length; 0 where dst, of the page's size, has no room to spare.
type coding struct {
	bit    Method
	encode func(e *Encoder, dst, src []byte) (int, error)
}

func codings() [4]coding {
	return [4]coding{
		{Zlib, (*Encoder).encodeZlib},
		{LZO, (*Encoder).encodeLZO},
		{Snappy, (*Encoder).encodeSnappy},
		{Zstd, (*Encoder).encodeZstd},
	}
}

// Encode codes the page src into dst, which has room for as many bytes, and returns how
// many it took. It is 0 where coding does not make the page smaller: such a page is stored
// as Raw. An error means that m is no codec, or that Level is none of zlib's.
func (e *Encoder) Encode(m Method, dst, src []byte) (int, error) {
	for _, row := range codings() {
		if row.bit == m {
			return row.encode(e, dst[:len(src)], src)
		}
	}
	return 0, fmt.Errorf("%v is no codec to write", m)
}

// load puts a page into the windows.
func (e *Encoder) load(src []byte) *windows {
	if e.windows == nil {
		e.windows = new(windows)
	}
	e.windows.load(src)
	return e.windows
}

func (e *Encoder) encodeZlib(dst, src []byte) (int, error) {
	if e.Level > 1 || len(src) > maxPage {
		return e.libraryZlib(dst, src)
	}
	if e.deflate == nil {
		e.deflate = newDeflater()
	}
	w := e.load(src)
	return copy(dst, w.out[:e.deflate.page(w, uint(len(src)))]), nil
}

// libraryZlib codes at any level, and pages of any size.
func (e *Encoder) libraryZlib(dst, src []byte) (n int, err error) {
	if e.zlib == nil {
		if e.zlib, err = zlib.NewWriterLevel(nil, max(e.Level, 1)); err != nil {
			return 0, fmt.Errorf("zlib: %w", err)
		}
	}
	e.out = e.out[:0]
	e.zlib.Reset(&e.out)
	if _, err := e.zlib.Write(src); err != nil {
		return 0, fmt.Errorf("zlib: %w", err)
	}
	if err := e.zlib.Close(); err != nil {
		return 0, fmt.Errorf("zlib: %w", err)
	}
	return smaller(dst, e.out), nil
}

// encodeLZO leaves pages as they are that no kernel has.
func (e *Encoder) encodeLZO(dst, src []byte) (int, error) {
	if len(src) > maxPage {
		return 0, nil
	}
	if e.lzo == nil {
		e.lzo = new(lzoTable)
	}
	w := e.load(src)
	return copy(dst, w.out[:encodeLZO(w, e.lzo, uint(len(src)))]), nil
}

func (e *Encoder) encodeSnappy(dst, src []byte) (int, error) {
	if n := s2.MaxEncodedLen(len(src)); cap(e.out) < n {
		e.out = make([]byte, n)
	}
	return smaller(dst, s2.EncodeSnappy(e.out[:cap(e.out)], src)), nil
}

// encodeZstd writes one frame with its size and without a checksum, as makedumpfile does.
func (e *Encoder) encodeZstd(dst, src []byte) (n int, err error) {
	if e.zstd == nil {
		e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(max(1, e.Level))),
			zstd.WithAllLitEntropyCompression(true), // 2 % smaller, and no slower
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return 0, fmt.Errorf("zstd: %w", err)
		}
	}
	e.out = e.zstd.EncodeAll(src, e.out[:0])
	return smaller(dst, e.out), nil
}

// smaller copies the coded form of a page of len(dst) bytes, if it is smaller than that.
func smaller(dst, coded []byte) int {
	if len(coded) >= len(dst) {
		return 0
	}
	return copy(dst, coded)
}
