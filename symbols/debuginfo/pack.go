package debuginfo

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz/lzma"

	"github.com/kautopsy/kautopsy/phys"
)

// packing is a way in which a file is packed.
type packing struct {
	name  string
	magic string
	open  func(*bufio.Reader) (io.Reader, error)
}

const gzipMagic = "\x1f\x8b\x08"

// packings are told by how they begin; that of lzma is its usual properties.
func packings() []packing {
	return []packing{
		{"gzip", gzipMagic, func(r *bufio.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"xz", xzMagic, func(r *bufio.Reader) (io.Reader, error) { return newXZ(r) }},
		{"zstd", "\x28\xb5\x2f\xfd", openZstd},
		{"bzip2", "BZh", func(r *bufio.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
		{"lzma", "\x5d\x00\x00", openLZMA},
		{"lz4", "\x02\x21\x4c\x18", notRead},
		{"lz4", "\x04\x22\x4d\x18", notRead},
		{"lzo", "\x89LZO\x00", notRead},
	}
}

func notRead(*bufio.Reader) (io.Reader, error) { return nil, phys.ErrUnsupported }

// maxWindow bounds what an unpacker keeps in memory: distributions use windows of up to
// 128 MiB (zstd --long=27) and dictionaries of up to 64 MiB (xz -9).
const maxWindow = 128 << 20

func openZstd(r *bufio.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// openLZMA opens the older format, whose header is: properties (1), dictionary size (4),
// size (8).
func openLZMA(r *bufio.Reader) (io.Reader, error) {
	h, err := r.Peek(lzma.HeaderLen)
	if err != nil {
		return nil, err
	}
	dict := binary.LittleEndian.Uint32(h[1:])
	if dict > maxWindow {
		return nil, fmt.Errorf("a dictionary of %d bytes: %w", dict, phys.ErrLimit)
	}
	return lzma.ReaderConfig{DictCap: max(int(dict), lzma.MinDictCap)}.NewReader(r)
}

// packingOf recognises how a stream is packed, nil when it is not.
func packingOf(head []byte) *packing {
	for _, p := range packings() {
		if bytes.HasPrefix(head, []byte(p.magic)) {
			return &p
		}
	}
	return nil
}

// stream is what a packed file holds. It can be sought forward, which archive/tar makes use
// of to pass over files.
type stream struct {
	*bufio.Reader
	skip func(int64) error // of what the Reader reads; nil: by reading
	at   int64
}

// Read reads.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.at += int64(n)
	return n, err
}

// Seek goes on by offset bytes; the others of its ways are not there.
func (s *stream) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return s.at, fmt.Errorf("a packed file is read in order: %w", phys.ErrUnsupported)
	}
	n, err := s.Discard(int(min(offset, int64(s.Buffered()))))
	s.at += int64(n)
	if rest := offset - int64(n); err == nil && rest > 0 {
		s.at += rest
		if s.skip == nil {
			_, err = io.CopyN(io.Discard, s.Reader, rest)
			return s.at, cut(err)
		}
		err = s.skip(rest)
	}
	return s.at, err
}

// unpacked gives what a stream holds: itself when it is not packed.
func unpacked(r io.Reader) (*stream, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(8)
	if err != nil && err != io.EOF {
		return nil, err
	}
	p := packingOf(head)
	if p == nil {
		return &stream{Reader: b}, nil
	}
	u, err := p.open(b)
	if err != nil {
		return nil, unpackError(p.name, err)
	}
	out := &stream{Reader: bufio.NewReaderSize(&unpacker{u, p.name}, 64<<10)}
	if x, ok := u.(*xzReader); ok {
		out.skip = func(n int64) error {
			if err := x.skip(n); err != nil {
				return unpackError(p.name, err)
			}
			return nil
		}
	}
	return out, nil
}

// unpacker gives the errors of an unpacker a reason.
type unpacker struct {
	r    io.Reader
	name string
}

func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	if err != nil && err != io.EOF {
		err = unpackError(u.name, err)
	}
	return n, err
}

// unpackError is an error of an unpacker with its reason: the file is cut, or damaged. An
// error of the file that is read keeps its own.
func unpackError(name string, err error) error {
	var disk *fs.PathError
	switch {
	case errors.As(err, &disk), phys.Reason(err) != nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = cut(io.ErrUnexpectedEOF)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = fmt.Errorf("%w: %w", err, phys.ErrLimit)
	default:
		err = fmt.Errorf("%w: %w", err, phys.ErrCorrupt)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// cut is what an end within a file means.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("cut off: %w", phys.ErrCorrupt)
	}
	return err
}
