package dumptest

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Codec names how pages are stored.
type Codec string

// The codecs; Mixed takes each of the others in turn.
const (
	Raw    Codec = "raw"
	Zlib   Codec = "zlib"
	LZO    Codec = "lzo"
	Snappy Codec = "snappy"
	Zstd   Codec = "zstd"
	Mixed  Codec = "mixed"
)

// Codecs are all codecs of single pages.
func Codecs() []Codec { return []Codec{Raw, Zlib, LZO, Snappy, Zstd} }

// Flag is the codec's bit in page_desc.flags and in the main header's status.
func (c Codec) Flag() uint32 {
	return map[Codec]uint32{Zlib: 0x1, LZO: 0x2, Snappy: 0x4, Zstd: 0x20}[c]
}

// of is the codec of the n-th page.
func (c Codec) of(n int) Codec {
	if c == Mixed {
		return Codecs()[n%len(Codecs())]
	}
	return c
}

// Encode packs a page.
func (c Codec) Encode(page []byte) ([]byte, error) { return new(encoder).encode(c, page) }

// encoder keeps the codecs' states, which are larger than pages. The zero value is ready.
type encoder struct {
	zlib *zlib.Writer
	zstd *zstd.Encoder
}

func (e *encoder) encode(c Codec, page []byte) ([]byte, error) {
	switch c {
	case Raw, "":
		return bytes.Clone(page), nil
	case Zlib:
		return e.encodeZlib(page)
	case LZO:
		return encodeLZO(page), nil
	case Snappy:
		return snappy.Encode(nil, page), nil
	case Zstd:
		return e.encodeZstd(page)
	}
	return nil, fmt.Errorf("no codec %q", c)
}

// encodeZlib packs at level 1, as makedumpfile does.
func (e *encoder) encodeZlib(page []byte) (_ []byte, err error) {
	var out bytes.Buffer
	if e.zlib == nil {
		if e.zlib, err = zlib.NewWriterLevel(&out, zlib.BestSpeed); err != nil {
			return nil, err
		}
	}
	e.zlib.Reset(&out)
	if _, err := e.zlib.Write(page); err != nil {
		return nil, err
	}
	err = e.zlib.Close()
	return out.Bytes(), err
}

func (e *encoder) encodeZstd(page []byte) (_ []byte, err error) {
	if e.zstd == nil {
		e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
	}
	return e.zstd.EncodeAll(page, nil), nil
}
