package codec

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/zlib"
)

// inflater is the kept state of the zlib codec.
type inflater struct {
	src bytes.Reader
	r   io.ReadCloser
}

// zlib decodes an RFC 1950 stream; the Adler-32 at its end is checked by reading on to
// the end of the stream.
func (d *Decoder) zlib(dst, src []byte) error {
	s := &d.inflate
	s.src.Reset(src)
	if err := s.reset(); err != nil {
		return damaged("zlib", err)
	}
	n, err := io.ReadFull(s.r, dst)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return wrongSize("zlib", n, len(dst))
		}
		return damaged("zlib", err)
	}
	var more [1]byte
	if n, err := io.ReadFull(s.r, more[:]); n != 0 {
		return wrongSize("zlib", len(dst)+n, len(dst))
	} else if !errors.Is(err, io.EOF) {
		return damaged("zlib", err)
	}
	if s.src.Len() != 0 {
		return damaged("zlib", errors.New("bytes behind the end of the stream"))
	}
	return nil
}

func (s *inflater) reset() (err error) {
	if s.r == nil {
		s.r, err = zlib.NewReader(&s.src)
		return err
	}
	return s.r.(zlib.Resetter).Reset(&s.src, nil)
}
