package codec

import (
	"bytes"
	"errors"

	"github.com/klauspost/compress/zstd"
)

// frames is the kept state of the zstd codec.
type frames struct {
	dec *zstd.Decoder
	out []byte
}

// slack behind the page lets the library take its wide copies.
const slack = 64

// skippable frames hold no page; a page that begins with one is no page.
var magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}

// zstd decodes one frame.
func (d *Decoder) zstd(dst, src []byte) error {
	s := &d.frames
	if !bytes.HasPrefix(src, magicZstd) {
		return damaged("zstd", errors.New("no frame"))
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

// ready makes the decoder once. Its memory is bounded: a page is at most 1 MiB.
func (s *frames) ready(page int) (err error) {
	if cap(s.out) < page+slack {
		s.out = make([]byte, 0, page+slack)
	}
	if s.dec == nil {
		s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20),
			zstd.WithDecoderLowmem(true))
	}
	return err
}
