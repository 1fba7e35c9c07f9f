package vmcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"sync"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/phys"
)

// The body of an AVML record is a stream in snappy's framing format (google/snappy
// framing_format.txt), then its length:
//
//	0      1        4
//	| 0xff | 6      | "sNaPpY" |                       stream identifier
//	| 0x00 | length | crc32c   | packed, 64 KiB at most |
//	| 0x01 | length | crc32c   | plain, 64 KiB at most  |
//	| 0x80-0xfe     | padding, passed over            |
//	| u64 length of the stream |
//
// Nothing else tells where the next record is, so opening walks the chunks' headers,
// without decoding any. Every 16th chunk is kept as a mark; a read walks from there.
const (
	chunkPacked, chunkPlain, chunkSkippable = 0x00, 0x01, 0x80

	chunkHeader = 4
	crcSize     = 4
	maxChunk    = 64 << 10 // decoded
	markEvery   = 16
)

// Offsets of the space that unpacker reads from: decoded bytes from 0 on, zeros, and
// stored bytes at their place in the file.
const (
	zeroBase   = 1 << 61
	storedBase = 1 << 62
)

// unpacker presents a file with packed chunks as its decoded bytes. It holds no decoded
// memory but the chunk that each concurrent reader is in.
type unpacker struct {
	r      io.ReaderAt
	locate func(at int64) (packedChunk, error)             // the chunk that decodes to offset at
	decode func(d *codec.Decoder, dst, chunk []byte) error // fills dst
	pool   sync.Pool                                       // of *plainChunk
}

// paged is memory that is decoded on reading. It hides phys.Reader, so that a Dump reads
// through its page cache and does not decode a chunk for every pointer.
type paged struct{ Container }

// packedChunk is a run of decoded bytes as it lies in the file.
type packedChunk struct {
	at   int64 // decoded offset
	n    int   // decoded bytes
	off  int64 // of the chunk in the file
	size int   // of it in the file
}

// plainChunk is a decoded chunk and the memory to decode the next.
type plainChunk struct {
	at     int64
	data   []byte
	packed []byte
	buf    []byte
	codec  codec.Decoder
}

// ReadAt reads decoded bytes. Its errors are *bin.DecodeError with the offset in the
// real file.
func (u *unpacker) ReadAt(p []byte, off int64) (n int, err error) {
	switch {
	case off >= storedBase:
		return u.stored(p, off-storedBase)
	case off >= zeroBase:
		clear(p)
		return len(p), nil
	}
	c, _ := u.pool.Get().(*plainChunk)
	if c == nil {
		c = new(plainChunk)
	}
	defer u.pool.Put(c)
	for n < len(p) {
		at := off + int64(n)
		if at < c.at || at >= c.at+int64(len(c.data)) {
			if err := u.load(c, at); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], c.data[at-c.at:])
	}
	return n, nil
}

// stored reads bytes that are not packed.
func (u *unpacker) stored(p []byte, off int64) (int, error) {
	n, err := u.r.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("the file became shorter: %w", phys.ErrLost)
	}
	return n, &bin.DecodeError{What: "memory", Off: off + int64(n), Err: err}
}

// load decodes the chunk that holds offset at into c.
func (u *unpacker) load(c *plainChunk, at int64) error {
	c.data = nil
	where, err := u.locate(at)
	if err != nil {
		return err
	}
	c.packed = grow(c.packed, where.size)
	n, err := u.stored(c.packed, where.off)
	if n < len(c.packed) {
		return err
	}
	c.buf = grow(c.buf, where.n)
	if err := u.decode(&c.codec, c.buf, c.packed); err != nil {
		return &bin.DecodeError{What: "chunk", Off: where.off, Err: err}
	}
	c.at, c.data = where.at, c.buf
	return nil
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// snappyStreams is the index of a file's snappy streams.
type snappyStreams struct {
	unpacker
	size    int64
	marks   []mark
	decoded int64 // bytes that the indexed chunks decode to
}

// mark is a chunk at which a walk can start.
type mark struct{ at, off int64 }

func newSnappyStreams(r io.ReaderAt, size int64) *snappyStreams {
	s := &snappyStreams{size: size}
	s.r, s.locate, s.decode = r, s.find, decodeSnappy
	return s
}

// next reads the header of the chunk at off. n is 0 for chunks without data.
func (s *snappyStreams) next(off int64) (c packedChunk, err error) {
	var b [chunkHeader + crcSize + binary.MaxVarintLen32]byte
	got, _ := s.r.ReadAt(b[:min(int64(len(b)), max(0, s.size-off))], off)
	if got < chunkHeader {
		return c, &bin.DecodeError{What: "snappy chunk", Off: off, Err: fmt.Errorf("the file ends: %w", phys.ErrLost)}
	}
	body := int(b[1]) | int(b[2])<<8 | int(b[3])<<16
	c.off, c.size = off, chunkHeader+body
	if off+int64(c.size) > s.size {
		return c, &bin.DecodeError{What: "snappy chunk", Off: off, Err: fmt.Errorf("the file ends in it: %w", phys.ErrLost)}
	}
	n := uint64(0)
	switch kind := b[0]; {
	case kind == chunkPlain && body >= crcSize:
		n = uint64(body - crcSize)
	case kind == chunkPacked && body > crcSize:
		n, _ = binary.Uvarint(b[chunkHeader+crcSize : got])
	case kind < chunkSkippable:
		return c, &bin.DecodeError{What: "snappy chunk", Off: off, Err: fmt.Errorf("type %#x, %d bytes: %w", kind, body, phys.ErrCorrupt)}
	}
	if n > maxChunk {
		return c, &bin.DecodeError{What: "snappy chunk", Off: off, Err: fmt.Errorf("decodes to %d bytes: %w", n, phys.ErrCorrupt)}
	}
	c.n = int(n)
	return c, nil
}

// index walks the stream at off until it has given want bytes, and gives the offset
// behind its length. On error the chunks before it are indexed.
func (s *snappyStreams) index(off int64, want uint64) (end int64, err error) {
	start, goal := off, uint64(s.decoded)+want
	for chunks := 0; uint64(s.decoded) < goal; {
		c, err := s.next(off)
		if err != nil {
			return 0, err
		}
		if uint64(c.n) > goal-uint64(s.decoded) {
			return 0, &bin.DecodeError{What: "snappy stream", Off: off, Err: fmt.Errorf("longer than its record: %w", phys.ErrCorrupt)}
		}
		if chunks%markEvery == 0 {
			s.marks = append(s.marks, mark{s.decoded, off})
		}
		chunks++
		s.decoded += int64(c.n)
		off += int64(c.size)
	}
	b, err := bin.ReadN(s.r, s.size, off, 8, 8)
	if err != nil {
		return s.size, nil // all memory is there; the walk ends with the file
	}
	if n := binary.LittleEndian.Uint64(b); n != uint64(off-start) {
		return 0, &bin.DecodeError{What: "length of snappy stream", Off: off, Err: fmt.Errorf("%d, have %d bytes: %w", n, off-start, phys.ErrCorrupt)}
	}
	return off + 8, nil
}

// find is the chunk that decodes to offset at: from the last mark before it on.
func (s *snappyStreams) find(at int64) (packedChunk, error) {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].at > at })
	if i == 0 {
		return packedChunk{}, &bin.DecodeError{What: "snappy stream", Err: fmt.Errorf("no chunk: %w", phys.ErrCorrupt)}
	}
	m := s.marks[i-1]
	for {
		c, err := s.next(m.off)
		if err != nil {
			return c, err
		}
		c.at = m.at
		if at < c.at+int64(c.n) {
			return c, nil
		}
		m.at += int64(c.n)
		m.off += int64(c.size)
	}
}

// decodeSnappy decodes a chunk and checks its sum.
func decodeSnappy(d *codec.Decoder, dst, chunk []byte) error {
	sum, body := binary.LittleEndian.Uint32(chunk[chunkHeader:]), chunk[chunkHeader+crcSize:]
	method := codec.Snappy
	if chunk[0] == chunkPlain {
		method = codec.Raw
	}
	if err := d.Decode(method, dst, body); err != nil {
		return err
	}
	if got := maskedCRC(dst); got != sum {
		return fmt.Errorf("checksum %#x, want %#x: %w", got, sum, phys.ErrCorrupt)
	}
	return nil
}

// maskedCRC is CRC-32C as the framing format writes it, turned and shifted so that a sum
// over data with sums is no special case.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
