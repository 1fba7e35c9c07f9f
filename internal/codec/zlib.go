package codec

import (
	"encoding/binary"
	"errors"
)

var (
	errZlibHeader = errors.New("no zlib stream")
	errAdler      = errors.New("wrong Adler-32")
)

// Sizes around the stream of a zlib page.
const (
	zlibHeader  = 2
	zlibTrailer = 4
)

// zlib decodes an RFC 1950 stream:
//
//	| CINFO 4 CM 4 | FLEVEL 2 FDICT 1 FCHECK 5 | blocks (RFC 1951) | Adler-32, big-endian |
//
// The checksum is always looked at: it is what tells damage from data.
func (d *Decoder) zlib(dst, src []byte) error {
	if err := checkZlib(src); err != nil {
		return damaged("zlib", err)
	}
	if !fits(dst, src) {
		return largeZlib(dst, src)
	}
	if d.inflate == nil {
		d.inflate = newInflater()
	}
	w := d.load(src)
	end, n, err := d.inflate.page(w, zlibHeader, len(src), len(dst))
	if err != nil {
		return damaged("zlib", err)
	}
	if n != len(dst) {
		return wrongSize("zlib", n, len(dst))
	}
	switch trailer := src[end:]; {
	case len(trailer) < zlibTrailer:
		return damaged("zlib", errCut)
	case len(trailer) > zlibTrailer:
		return damaged("zlib", errTrailing)
	case binary.BigEndian.Uint32(trailer) != adler32(w.out[:len(dst)]):
		return damaged("zlib", errAdler)
	}
	copy(dst, w.out[:])
	return nil
}

// checkZlib looks at the header (RFC 1950, 2.2). No page has a preset dictionary, not even
// the empty one, which compress/zlib would take.
func checkZlib(src []byte) error {
	if len(src) < zlibHeader {
		return errCut
	}
	cmf, flg := src[0], src[1]
	if cmf&15 != 8 || cmf>>4 > 7 || flg&0x20 != 0 || (uint(cmf)<<8|uint(flg))%31 != 0 {
		return errZlibHeader
	}
	return nil
}
