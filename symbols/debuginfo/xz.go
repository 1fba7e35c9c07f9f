package debuginfo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"runtime"
	"sync"

	"github.com/ulikunitz/xz/lzma"

	"github.com/kautopsy/kautopsy/phys"
)

// The .xz container (tukaani.org/xz/xz-file-format.txt), around LZMA2:
//
//	stream   header (12) | block … | index | footer (12)
//	block    size, flags, [packed size], [size], filters, pad, CRC-32 | LZMA2 | pad | check
//	index    0 | records | pad | CRC-32
//
// xz with threads writes both sizes into each block and starts each anew, so that blocks
// can be unpacked side by side: so the packages of Debian and of Fedora are made.
const (
	xzMagic      = "\xfd7zXZ\x00"
	xzHeaderSize = 12
	filterLZMA2  = 0x21
)

// What is unpacked side by side: blocks of at most maxSideBlock, maxSide of them at a time.
const (
	maxSideBlock = 32 << 20
	maxSide      = 64 << 20
)

// xzReader unpacks a stream, or several in a row.
type xzReader struct {
	r     *bufio.Reader
	check byte      // the kind of checksum of the stream
	ready []byte    // unpacked and not handed out yet
	queue [][]byte  // what comes behind it
	jobs  []xzJob   // their memory is used again when all of the queue was handed out
	body  io.Reader // of a block that is unpacked while it is read; nil: none
	tail  func() error
	err   error
}

// xzBlock is what the header of a block says.
type xzBlock struct {
	header       int   // bytes
	packed, size int64 // -1: not said
	dict         int
}

func newXZ(in io.Reader) (io.Reader, error) {
	x := &xzReader{r: bufio.NewReaderSize(in, 64<<10), jobs: make([]xzJob, runtime.GOMAXPROCS(0))}
	return x, x.begin()
}

// begin reads the header of a stream.
func (x *xzReader) begin() error {
	var h [xzHeaderSize]byte
	if _, err := io.ReadFull(x.r, h[:]); err != nil {
		return err
	}
	if string(h[:6]) != xzMagic || crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return fmt.Errorf("header: %w", phys.ErrCorrupt)
	}
	x.check = h[7] & 15
	return nil
}

// Read hands out what is unpacked, and unpacks on.
func (x *xzReader) Read(p []byte) (int, error) {
	for len(p) > 0 && x.err == nil {
		if len(x.ready) > 0 {
			n := copy(p, x.ready)
			x.ready = x.ready[n:]
			return n, nil
		}
		switch {
		case len(x.queue) > 0:
			x.ready, x.queue = x.queue[0], x.queue[1:]
		case x.body != nil:
			n, err := x.body.Read(p)
			if err == io.EOF {
				x.body, err = nil, x.tail()
			}
			if x.err = err; n > 0 {
				return n, nil
			}
		default:
			x.err = x.next()
		}
	}
	return 0, x.err
}

// skip passes over what is unpacked next, and over blocks whose size is said without unpacking
// them, their checksums unseen.
func (x *xzReader) skip(n int64) error {
	for n > 0 && x.err == nil {
		if x.body == nil && len(x.queue) == 0 && len(x.ready) == 0 {
			b, err := x.peek()
			if err == nil && b != nil && b.packed > 0 && b.size >= 0 && b.size <= n {
				_, x.err = io.CopyN(io.Discard, x.r, int64(b.header)+b.packed+-b.packed&3+int64(x.sum().Size()))
				x.err = cut(x.err)
				n -= b.size
				continue
			}
		}
		part, err := io.CopyN(io.Discard, x, min(n, 1<<20))
		if n -= part; err != nil {
			return cut(err)
		}
	}
	return x.err
}

// next takes the next blocks, side by side if they allow it; at the end of a stream the
// next one, or io.EOF.
func (x *xzReader) next() error {
	side, total := 0, int64(0)
	for side < len(x.jobs) {
		b, err := x.peek()
		if err != nil && side > 0 {
			break // met again behind what is good
		}
		if err != nil {
			return err
		}
		if b == nil || !b.side() || total+b.size > maxSide {
			if side > 0 {
				break
			}
			return x.alone(b)
		}
		if err := x.gather(&x.jobs[side], b); err != nil {
			return err
		}
		side++
		total += b.size
	}
	return x.unpack(x.jobs[:side])
}

// side tells whether a block can be unpacked beside others.
func (b *xzBlock) side() bool {
	return b.size >= 0 && b.size <= maxSideBlock && b.packed > 0 && b.packed <= maxSideBlock
}

// peek decodes the header of the next block, nil at the index.
func (x *xzReader) peek() (*xzBlock, error) {
	first, err := x.r.Peek(1)
	if err != nil {
		return nil, cut(err)
	}
	if first[0] == 0 {
		return nil, nil
	}
	b := &xzBlock{header: 4 * (int(first[0]) + 1), packed: -1, size: -1}
	h, err := x.r.Peek(b.header)
	if err != nil {
		return nil, cut(err)
	}
	end := b.header - 4
	if crc32.ChecksumIEEE(h[:end]) != binary.LittleEndian.Uint32(h[end:]) {
		return nil, fmt.Errorf("block header: %w", phys.ErrCorrupt)
	}
	flags, rest := h[1], bytes.NewReader(h[2:end])
	if flags&0x40 != 0 {
		b.packed = varint(rest)
	}
	if flags&0x80 != 0 {
		b.size = varint(rest)
	}
	id, n := varint(rest), varint(rest)
	dict, err := rest.ReadByte()
	if flags&3 != 0 || id != filterLZMA2 || n != 1 {
		return nil, fmt.Errorf("filter %#x: %w", id, phys.ErrUnsupported)
	}
	if err != nil || dict > 40 {
		return nil, fmt.Errorf("block header: %w", phys.ErrCorrupt)
	}
	size, _ := lzma.DecodeDictCap(dict)
	if size > maxWindow {
		return nil, fmt.Errorf("a dictionary of %d bytes: %w", size, phys.ErrLimit)
	}
	b.dict = max(int(size), lzma.MinDictCap)
	return b, nil
}

// varint is an integer of xz: 7 bits a byte, the low ones first. -1 is none.
func varint(r io.ByteReader) int64 {
	v, err := binary.ReadUvarint(r)
	if err != nil || v > 1<<62 {
		return -1
	}
	return int64(v)
}

// alone unpacks a block while it is read, or reads the end of a stream.
func (x *xzReader) alone(b *xzBlock) error {
	if b == nil {
		return x.end()
	}
	x.discard(b.header)
	from := &counted{r: x.r}
	body, err := lzma.Reader2Config{DictCap: b.dict}.NewReader2(from)
	if err != nil {
		return cut(err)
	}
	sum := x.sum()
	x.body = io.TeeReader(body, sum)
	x.tail = func() error { return x.verify(int(-from.n&3), sum) }
	return nil
}

// discard passes over what was peeked at.
func (x *xzReader) discard(n int) { x.r.Discard(n) } //nolint:errcheck // it is in the buffer

// counted counts what is read of it.
type counted struct {
	r *bufio.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte keeps the unpacker from reading ahead.
func (c *counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// sum is the checksum of the stream's blocks.
func (x *xzReader) sum() hash.Hash {
	switch x.check {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		return sha256.New()
	}
	return unsummed{crc32.NewIEEE(), xzCheckSize(x.check)}
}

// unsummed stands for a checksum that is not known: its bytes are passed over.
type unsummed struct {
	hash.Hash
	size int
}

func (u unsummed) Size() int { return u.size }

// xzCheckSize is how many bytes a kind of checksum has.
func xzCheckSize(kind byte) int {
	return [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[kind]
}

// verify reads what stands behind a block: padding, and its checksum.
func (x *xzReader) verify(pad int, sum hash.Hash) error {
	b := make([]byte, pad+sum.Size())
	if _, err := io.ReadFull(x.r, b); err != nil {
		return cut(err)
	}
	if !sumIs(sum, b[pad:]) {
		return fmt.Errorf("checksum of a block: %w", phys.ErrCorrupt)
	}
	return nil
}

// sumIs compares a checksum, which xz stores with its low byte first.
func sumIs(sum hash.Hash, want []byte) bool {
	switch s := sum.(type) {
	case unsummed:
		return true
	case hash.Hash32:
		return s.Sum32() == binary.LittleEndian.Uint32(want)
	case hash.Hash64:
		return s.Sum64() == binary.LittleEndian.Uint64(want)
	}
	return bytes.Equal(sum.Sum(nil), want)
}

// xzJob is a block that is unpacked beside others.
type xzJob struct {
	*xzBlock
	in  bytes.Buffer // the block, padding, checksum
	sum hash.Hash
	out []byte
	err error
}

// gather takes a block with its checksum out of the stream.
func (x *xzReader) gather(j *xzJob, b *xzBlock) error {
	x.discard(b.header)
	j.xzBlock, j.sum = b, x.sum()
	j.in.Reset() // and grows with what is there
	_, err := io.CopyN(&j.in, x.r, b.packed+-b.packed&3+int64(j.sum.Size()))
	return cut(err)
}

// unpack unpacks blocks side by side: the first while it is read, so that it takes no
// memory, the others into theirs.
func (x *xzReader) unpack(jobs []xzJob) error {
	var wg sync.WaitGroup
	for i := 1; i < len(jobs); i++ {
		wg.Go(func() { jobs[i].err = jobs[i].run() })
	}
	x.queue = x.queue[:0]
	first := &jobs[0]
	body, err := first.open()
	if err != nil {
		wg.Wait()
		return err
	}
	x.body = io.TeeReader(io.LimitReader(body, first.size), first.sum)
	x.tail = func() error {
		wg.Wait()
		if err := first.check(); err != nil {
			return err
		}
		for i := range jobs[1:] {
			if jobs[1+i].err != nil {
				return jobs[1+i].err
			}
			x.queue = append(x.queue, jobs[1+i].out)
		}
		return nil
	}
	return nil
}

// open begins to unpack a block.
func (j *xzJob) open() (io.Reader, error) {
	body, err := lzma.Reader2Config{DictCap: j.dict}.NewReader2(bytes.NewReader(j.in.Bytes()[:j.packed]))
	return body, cut(err)
}

// check compares the checksum of what was unpacked.
func (j *xzJob) check() error {
	if in := j.in.Bytes(); !sumIs(j.sum, in[len(in)-j.sum.Size():]) {
		return fmt.Errorf("checksum of a block: %w", phys.ErrCorrupt)
	}
	return nil
}

func (j *xzJob) run() error {
	body, err := j.open()
	if err != nil {
		return err
	}
	if int64(cap(j.out)) < j.size {
		j.out = make([]byte, j.size)
	}
	j.out = j.out[:j.size]
	if _, err := io.ReadFull(body, j.out); err != nil {
		return cut(err)
	}
	j.sum.Write(j.out)
	return j.check()
}

// end passes over the index and the footer of a stream. Another stream may follow, behind
// zeros; whatever else does is not ours: the kernel's build puts a size behind its payload.
func (x *xzReader) end() error {
	c := &counted{r: x.r}
	c.ReadByte() //nolint:errcheck // it was peeked at
	for n := varint(c); n > 0; n-- {
		packed, size := varint(c), varint(c)
		if packed < 0 || size < 0 {
			return fmt.Errorf("index: %w", phys.ErrCorrupt)
		}
	}
	if _, err := io.CopyN(io.Discard, x.r, -c.n&3+4+xzHeaderSize); err != nil {
		return cut(err)
	}
	for {
		head, _ := x.r.Peek(len(xzMagic))
		switch {
		case string(head) == xzMagic:
			return x.begin()
		case len(head) >= 4 && bytes.Equal(head[:4], make([]byte, 4)):
			x.discard(4)
		default:
			return io.EOF
		}
	}
}
