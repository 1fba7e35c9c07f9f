package diskdump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
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

// cachedBlocks of a bitmap are kept, 1 MiB: the bits of 32 GiB of 4 KiB pages.
const cachedBlocks = 256

// bitmap is one of the two bitmaps, read block by block on demand. Bits at and above limit
// do not count, whatever the file holds there.
type bitmap struct {
	r     io.ReaderAt
	off   int64  // file offset of bit 0
	bytes int64  // bytes that the file has of it
	limit uint64 // one past the last page that counts
	cache [cachedBlocks]atomic.Pointer[bitmapBlock]
}

// bitmapBlock is a block with a count for each line of it, so that counting the bits below
// one of them touches a line only.
type bitmapBlock struct {
	number int64
	before [blockBytes / lineBytes]uint16 // bits set before each line
	b      [blockBytes]byte
}

const (
	lineBytes = 64
	lineBits  = 8 * lineBytes
)

// below counts the bits set below bit n of the block.
func (k *bitmapBlock) below(n uint64) uint64 {
	line := n / lineBits
	return uint64(k.before[line]) + countBelow(k.b[line*lineBytes:], n%lineBits)
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
	sum := uint64(0)
	for i := range k.before {
		k.before[i] = uint16(sum)
		sum += count(k.b[i*lineBytes:][:lineBytes])
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

// scan calls f with blocks [n, end) in order.
func (m *bitmap) scan(n, end int64, f func(block []byte)) error {
	buf := make([]byte, min(scanBytes, max(0, end-n)*blockBytes))
	for n < end {
		part := buf[:min(scanBytes, (end-n)*blockBytes)]
		if err := m.read(part, n*blockBytes); err != nil {
			return err
		}
		for at := 0; at < len(part); at += blockBytes {
			f(part[at : at+blockBytes])
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

// rank finds a page's descriptor: how many bits are set before its own. Its counts are made
// as far as they are asked for: the low pages of a large machine cost little.
type rank struct {
	m      *bitmap
	mu     sync.Mutex
	before atomic.Pointer[[]uint64] // bits set before each block, up to where it was read
}

// upTo gives the counts up to block n at least, or up to the last block.
func (r *rank) upTo(n int64) ([]uint64, error) {
	if have := *r.before.Load(); int64(len(have)) > n {
		return have, nil
	}
	return r.extend(min(n, r.m.blocks()))
}

// extend counts up to block n, and a little more, lest a walk takes a copy for each block.
func (r *rank) extend(n int64) ([]uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := slices.Clone(*r.before.Load()) // readers may hold the old one
	n = min(max(n, int64(len(before)+len(before)/4)), r.m.blocks())
	err := r.m.scan(int64(len(before))-1, n, func(block []byte) {
		before = append(before, before[len(before)-1]+count(block))
	})
	r.before.Store(&before)
	return before, err
}

// fill takes over the bits set in each block from who counted them all.
func (r *rank) fill(blocks []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := make([]uint64, 1, len(blocks)+1)
	for i, n := range blocks {
		before = append(before, before[i]+n)
	}
	r.before.Store(&before)
}

// begin makes the rank of a bitmap; nothing is counted yet.
func (r *rank) begin(m *bitmap) {
	r.m = m
	r.before.Store(&[]uint64{0})
}

// total is the number of bits set.
func (r *rank) total() (uint64, error) {
	before, err := r.upTo(r.m.blocks())
	return before[len(before)-1], err
}

// of counts the bits set below page p.
func (r *rank) of(p phys.PFN) (uint64, error) {
	n := int64(p / blockBits)
	if n >= r.m.blocks() {
		return r.total()
	}
	before, err := r.upTo(n)
	if err != nil {
		return 0, err
	}
	if p%blockBits == 0 { // page 0, as for each page of a dump that is no part, needs no block
		return before[n], nil
	}
	k, err := r.m.block(n)
	if err != nil {
		return 0, err
	}
	return before[n] + k.below(uint64(p%blockBits)), nil
}

// count is the number of bits set in b, whose length is a multiple of 8.
func count(b []byte) (n uint64) {
	for ; len(b) >= 32; b = b[32:] { // four at once: 1 TiB of pages are four million words
		w0, w1 := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
		if w0|w1|w2|w3 != 0 {
			n += uint64(bits.OnesCount64(w0) + bits.OnesCount64(w1) + bits.OnesCount64(w2) + bits.OnesCount64(w3))
		}
	}
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
