package diskdump

import (
	"errors"
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/phys"
)

// descSize is the size of struct page_desc:
//
//	0        8      12      16           24
//	| offset | size | flags | page_flags |
const descSize = 24

type pageDesc struct {
	offset int64
	size   uint32
	flags  uint32
}

func (f *File) decodeDesc(b []byte) pageDesc {
	return pageDesc{int64(f.Order.Uint64(b)), f.Order.Uint32(b[8:]), f.Order.Uint32(b[12:])}
}

// descBlock is a run of descriptors, read together since neighbours are asked for together.
type descBlock struct {
	first uint64
	n     int // how many the file has of them
	b     [descsPerBlock * descSize]byte
}

const descsPerBlock = 128

// pageDecoder is what decoding pages needs; the pool keeps one for each reader at work.
type pageDecoder struct {
	codec     codec.Decoder
	raw       []byte
	zero      []byte // the coded form of a page of zeros that was met, nil before
	zeroFlags uint32 // its codec
	table     []byte // descriptors of a batch, as the file has them
	descs     []pageDesc
}

// maxStored is the longest stored form of a page that is accepted: a foreign writer may
// store what compression made longer.
func (f *File) maxStored() int { return f.Header.BlockSize + f.Header.BlockSize/8 + 1024 }

// ReadPage reads page p into b, whose length is PageSize. The error is a *phys.PageError.
func (f *File) ReadPage(p phys.PFN, b []byte) (int, error) {
	if p < f.base {
		return 0, &phys.PageError{Op: "read", Span: phys.PageSpan(p, 1, f.Header.BlockSize), Off: -1, Err: phys.ErrHole}
	}
	return f.readBit(p-f.base, b)
}

// readBit reads the page of bit p in the bitmaps.
func (f *File) readBit(p phys.PFN, b []byte) (int, error) {
	have, err := f.dumped.test(p)
	if err != nil {
		return 0, f.pageError("read 2nd bitmap for", p, -1, err)
	}
	if !have {
		return 0, f.absent(p)
	}
	if err := f.lossOf(p); err != nil {
		return 0, f.pageError("read", p, -1, err)
	}
	d, at, err := f.desc(p)
	if err != nil {
		return 0, f.pageError("read descriptor of", p, at, err)
	}
	if f.isZero(d) {
		clear(b)
		return len(b), nil
	}
	if err := f.readData(d, b); err != nil {
		return 0, f.pageError("read", p, d.offset, err)
	}
	f.noteZero(d, b)
	return len(b), nil
}

// pageError says where the page of bit p could not be had.
func (f *File) pageError(op string, p phys.PFN, off int64, err error) error {
	return &phys.PageError{Op: op, Span: phys.PageSpan(p+f.base, 1, f.Header.BlockSize), Off: off, Err: err}
}

var (
	errCutBitmap  = fmt.Errorf("the file ends before its bit in the bitmaps: %w", phys.ErrLost)
	errMaybeLost  = fmt.Errorf("%w (or lost: the dump is incomplete)", phys.ErrExcluded)
	errMaybeZero  = fmt.Errorf("%w (or all zero: this header version cannot tell)", phys.ErrExcluded)
	errNotWritten = fmt.Errorf("its descriptor was never written: %w", phys.ErrLost)
)

// absent says why a page without a descriptor is not there.
func (f *File) absent(p phys.PFN) error {
	if uint64(p) < f.limit && !f.dumped.known(p) {
		return f.pageError("read", p, -1, errCutBitmap)
	}
	ram, err := f.ram.test(p)
	if err != nil {
		return f.pageError("read 1st bitmap for", p, -1, err)
	}
	return f.pageError("read", p, -1, f.whyAbsent(ram))
}

// whyAbsent is the reason for a page that the second bitmap leaves out.
func (f *File) whyAbsent(ram bool) error {
	switch {
	case !ram:
		return phys.ErrHole
	case f.Header.Version == 0 || f.Header.Signature == SignatureDISKDUMP:
		return errMaybeZero
	case f.Header.Status&StatusIncomplete != 0:
		return errMaybeLost
	}
	return phys.ErrExcluded
}

// desc finds the descriptor of a page whose bit is set, and where it stands.
func (f *File) desc(p phys.PFN) (pageDesc, int64, error) {
	k, err := f.index(p)
	if err != nil {
		return pageDesc{}, -1, err
	}
	at := f.data + int64(k)*descSize
	blk, err := f.descBlock(k / descsPerBlock)
	if err != nil {
		return pageDesc{}, at, err
	}
	i := int(k % descsPerBlock)
	if i >= blk.n || f.have(at, descSize) < descSize {
		return pageDesc{}, at, fmt.Errorf("the file ends before it: %w", phys.ErrLost)
	}
	d := f.decodeDesc(blk.b[i*descSize:])
	return d, at, f.check(d)
}

// index is the number of the descriptor of a page whose bit is set.
func (f *File) index(p phys.PFN) (uint64, error) {
	before, err := f.rank.of(phys.PFN(min(f.first, f.limit)))
	if err != nil {
		return 0, err
	}
	k, err := f.rank.of(p)
	return k - before, err
}

func (f *File) descBlock(n uint64) (*descBlock, error) {
	slot := &f.descs[n%cachedBlocks]
	if k := slot.Load(); k != nil && k.first == n*descsPerBlock {
		return k, nil
	}
	k := &descBlock{first: n * descsPerBlock}
	got, err := f.r.ReadAt(k.b[:], f.data+int64(k.first)*descSize)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	k.n = got / descSize
	slot.Store(k)
	return k, nil
}

// check tests a descriptor against the file before anything is read by it.
func (f *File) check(d pageDesc) error {
	switch {
	case d.offset == 0 && d.size == 0:
		return errNotWritten
	case d.offset < f.data:
		return fmt.Errorf("data at file offset %#x would lie in the headers: %w", uint64(d.offset), phys.ErrCorrupt)
	case d.size == 0 || int64(d.size) > int64(f.maxStored()):
		return fmt.Errorf("%d stored bytes for a page of %d: %w", d.size, f.Header.BlockSize, phys.ErrCorrupt)
	case f.have(d.offset, int64(d.size)) < int64(d.size):
		return fmt.Errorf("data at file offset %#x, %d bytes, lies beyond the file's end at %#x: %w", d.offset, d.size, f.size, phys.ErrLost)
	}
	return nil
}

// isZero tells whether d is the stored block of zeros that all zero pages share, and that
// was read before.
func (f *File) isZero(d pageDesc) bool {
	return d.flags == 0 && int(d.size) == f.Header.BlockSize && d.offset == f.zero.Load()
}

// noteZero remembers where a raw page of zeros is stored: writers store one for all.
func (f *File) noteZero(d pageDesc, page []byte) {
	if d.flags == 0 && f.zero.Load() < 0 && bin.Zero(page) {
		f.zero.Store(d.offset)
	}
}

// readData reads and decodes the page of a checked descriptor.
func (f *File) readData(d pageDesc, b []byte) error {
	dec := f.decoders.Get().(*pageDecoder)
	defer f.decoders.Put(dec)
	src := dec.raw[:d.size]
	if n, err := f.r.ReadAt(src, d.offset); n < len(src) {
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = phys.ErrLost
		}
		return err
	}
	if dec.codedZero(d, src) {
		clear(b)
		return nil
	}
	return dec.decode(d, b, src)
}
