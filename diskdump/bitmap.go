package diskdump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/kautopsy/kautopsy/phys"
)

// blockBytes is the unit in which bitmaps are read and ranked: 4 KiB cover 32 Ki pages, so
// the index of a 1 TiB machine with 4 KiB pages holds 8 Ki counts.
const (
	blockBytes = 4096
	blockBits  = 8 * blockBytes
)

// cachedBlocks of a bitmap are kept; neighbouring pages are asked for together.
const cachedBlocks = 16

// bitmap is one of the two bitmaps, read block by block on demand. Bits at and above limit
// do not count, whatever the file holds there.
type bitmap struct {
	r     io.ReaderAt
	off   int64  // file offset of bit 0
	bytes int64  // bytes that the file has of it
	limit uint64 // one past the last page that counts
	cache [cachedBlocks]atomic.Pointer[bitmapBlock]
}

type bitmapBlock struct {
	number int64
	b      [blockBytes]byte
}

// block gives block n; bits that the file does not have are clear.
func (m *bitmap) block(n int64) (*bitmapBlock, error) {
	slot := &m.cache[n%cachedBlocks]
	if k := slot.Load(); k != nil && k.number == n {
		return k, nil
	}
	k := &bitmapBlock{number: n}
	if err := m.read(k.b[:], n*blockBytes); err != nil {
		return nil, err
	}
	slot.Store(k)
	return k, nil
}

// read fills b with the bitmap's bytes from at on, and clears what lies beyond the file or
// the limit.
func (m *bitmap) read(b []byte, at int64) error {
	n := max(0, min(int64(len(b)), m.bytes-at))
	if n > 0 {
		if got, err := m.r.ReadAt(b[:n], m.off+at); int64(got) < n {
			if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = phys.ErrLost
			}
			return fmt.Errorf("bitmap at file offset %#x: %w", m.off+at+int64(got), err)
		}
	}
	clear(b[n:])
	first := uint64(at) * 8
	if last := first + uint64(len(b))*8; last > m.limit {
		clearFrom(b, m.limit-min(first, m.limit))
	}
	return nil
}

// clearFrom clears the bits of b from bit n on.
func clearFrom(b []byte, n uint64) {
	at := n / 8
	if at >= uint64(len(b)) {
		return
	}
	b[at] &= 1<<(n%8) - 1
	clear(b[at+1:])
}

// known tells whether the file has the bit of page p at all.
func (m *bitmap) known(p phys.PFN) bool { return int64(p/8) < m.bytes }

func (m *bitmap) test(p phys.PFN) (bool, error) {
	if uint64(p) >= m.limit || !m.known(p) {
		return false, nil
	}
	k, err := m.block(int64(p / blockBits))
	if err != nil {
		return false, err
	}
	n := p % blockBits
	return k.b[n/8]>>(n%8)&1 != 0, nil
}

// blocks is the number of blocks up to the limit or the end of the file.
func (m *bitmap) blocks() int64 {
	covered := min(m.bytes, int64((m.limit+7)/8))
	return (covered + blockBytes - 1) / blockBytes
}

// scanBytes is how much of a bitmap is read at once by whole-bitmap passes.
const scanBytes = 64 * blockBytes

// scan calls f with the bitmap's blocks in order.
func (m *bitmap) scan(f func(n int64, block []byte)) error {
	buf := make([]byte, min(scanBytes, m.blocks()*blockBytes))
	for n, last := int64(0), m.blocks(); n < last; {
		part := buf[:min(scanBytes, (last-n)*blockBytes)]
		if err := m.read(part, n*blockBytes); err != nil {
			return err
		}
		for at := 0; at < len(part); at += blockBytes {
			f(n, part[at:at+blockBytes])
			n++
		}
	}
	return nil
}

// first is the lowest bit that is set, the limit if none is.
func (m *bitmap) first() (phys.PFN, error) {
	for n := range m.blocks() {
		k, err := m.block(n)
		if err != nil {
			return 0, err
		}
		for at := 0; at < blockBytes; at += 8 {
			if w := binary.LittleEndian.Uint64(k.b[at:]); w != 0 {
				return phys.PFN(n*blockBits + int64(at)*8 + int64(bits.TrailingZeros64(w))), nil
			}
		}
	}
	return phys.PFN(m.limit), nil
}

// rank finds a page's descriptor: how many bits are set before its own.
type rank struct {
	m      *bitmap
	once   sync.Once
	before []uint64 // bits set before each block; one more at the end for the total
	err    error
}

func (r *rank) build() error {
	r.once.Do(func() {
		before := make([]uint64, 1, r.m.blocks()+1)
		r.err = r.m.scan(func(_ int64, block []byte) {
			before = append(before, before[len(before)-1]+count(block))
		})
		r.before = before
	})
	return r.err
}

// total is the number of bits set.
func (r *rank) total() (uint64, error) {
	if err := r.build(); err != nil {
		return 0, err
	}
	return r.before[len(r.before)-1], nil
}

// of counts the bits set below page p.
func (r *rank) of(p phys.PFN) (uint64, error) {
	if err := r.build(); err != nil {
		return 0, err
	}
	n := int64(p / blockBits)
	if n >= int64(len(r.before))-1 {
		return r.before[len(r.before)-1], nil
	}
	k, err := r.m.block(n)
	if err != nil {
		return 0, err
	}
	return r.before[n] + countBelow(k.b[:], uint64(p%blockBits)), nil
}

// count is the number of bits set in b, whose length is a multiple of 8.
func count(b []byte) (n uint64) {
	for ; len(b) >= 8; b = b[8:] {
		n += uint64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
	}
	return n
}

// countBelow counts the bits set among the first n of b.
func countBelow(b []byte, n uint64) uint64 {
	whole := n / 64 * 8
	c := count(b[:whole])
	if left := n % 64; left != 0 {
		w := binary.LittleEndian.Uint64(b[whole:])
		c += uint64(bits.OnesCount64(w & (1<<left - 1)))
	}
	return c
}
