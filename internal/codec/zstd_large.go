package codec

import (
	"errors"

	"github.com/klauspost/compress/zstd"
)

// frames decodes large pages by a library, whose state is kept.
type frames struct {
	dec *zstd.Decoder
	out []byte
}

// slack behind the page lets the library take its wide copies.
const slack = 64

// decode decodes one frame, for pages that do not fit the windows.
func (s *frames) decode(dst, src []byte) error {
	if !oneFrame(src) {
		return damaged("zstd", errors.New("not one frame"))
	}
	if err := s.ready(len(dst)); err != nil {
		return damaged("zstd", err)
	}
	out, err := s.dec.DecodeAll(src, s.out[:0])
	if err != nil {
		return damaged("zstd", err)
	}
	if len(out) != len(dst) {
		return wrongSize("zstd", len(out), len(dst))
	}
	copy(dst, out)
	return nil
}

// oneFrame tells whether src is a frame and nothing else: the library would pass over
// skippable and empty frames. A block has three bytes before it (RFC 8878, 3.1.1.2): the
// lowest bit says that it is the last, two tell its type, the others its size.
func oneFrame(src []byte) bool {
	var h zstd.Header
	if err := h.Decode(src); err != nil || h.Skippable {
		return false
	}
	at := h.HeaderSize
	for last := false; !last; {
		if at+3 > len(src) {
			return false
		}
		w := int(src[at]) | int(src[at+1])<<8 | int(src[at+2])<<16
		size := w >> 3
		if w>>1&3 == blockRLE {
			size = 1
		}
		last = w&1 != 0
		at += 3 + size
	}
	if h.HasCheckSum {
		at += 4
	}
	return at == len(src)
}

// blockRLE is a block of one byte that stands for its size in bytes.
const blockRLE = 1

// ready makes the decoder once. Its memory is bounded by the page's, whatever frames claim.
func (s *frames) ready(page int) (err error) {
	if cap(s.out) < page+slack {
		s.out = make([]byte, 0, page+slack)
	}
	if s.dec == nil {
		s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20),
			zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	}
	return err
}
