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
	d     [descsPerBlock]pageDesc
}

// descBlocks of descsPerBlock descriptors are kept, 16 MiB at most: those of 4 GiB of 4 KiB
// pages.
const (
	descsPerBlock = 128
	descBlocks    = 8192
)

// pageDecoder is what decoding pages needs; the pool keeps one for each reader at work.
type pageDecoder struct {
	codec     codec.Decoder
	zero      []byte     // the coded form of a page of zeros that was met, nil before
	zeroFlags uint32     // its codec
	table     []byte     // descriptors as the file has them
	descs     []pageDesc // of a batch

	ahead  []byte // memory of the window
	window []byte // the file's bytes from at on
	at     int64
	next   int64 // where the last page's data ended
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

// Plain tells whether the header names no codec: the file has pages as they are then.
func (f *File) Plain() bool { return f.Header.Status&uint32(codec.Mask) == 0 }

// ReadDirect reads a part of page p, from byte off on, that the file has as it is or that is
// known to be zero: without decoding, and no more than is asked for. It is false for every
// other page, whatever there is to say of it, and in files that name a codec.
func (f *File) ReadDirect(dst []byte, p phys.PFN, off int) bool {
	if !f.Plain() || p < f.base {
		return false
	}
	p -= f.base
	if have, err := f.dumped.test(p); err != nil || !have || f.lossOf(p) != nil {
		return false
	}
	d, _, err := f.desc(p)
	switch {
	case err != nil:
		return false
	case f.isZero(d):
		clear(dst)
		return true
	case codec.Method(d.flags) != codec.Raw || int(d.size) != f.Header.BlockSize:
		return false
	}
	if n, _ := f.r.ReadAt(dst, d.offset+int64(off)); n < len(dst) {
		return false
	}
	if len(dst) == f.Header.BlockSize {
		f.noteZero(d, dst)
	}
	return true
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
	return blk.d[i], at, f.check(blk.d[i])
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
	slot := &f.descs[n%descBlocks]
	if k := slot.Load(); k != nil && k.first == n*descsPerBlock {
		return k, nil
	}
	r := f.decoders.Get().(*pageDecoder)
	defer f.decoders.Put(r)
	raw := r.tableOf(descsPerBlock)
	k := &descBlock{first: n * descsPerBlock}
	got, err := f.r.ReadAt(raw, f.data+int64(k.first)*descSize)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	k.n = got / descSize
	for i := range k.n {
		k.d[i] = f.decodeDesc(raw[i*descSize:])
	}
	slot.Store(k)
	return k, nil
}

// tableOf is room for n descriptors as the file has them.
func (r *pageDecoder) tableOf(n int) []byte {
	if cap(r.table) < n*descSize {
		r.table = make([]byte, n*descSize)
	}
	return r.table[:n*descSize]
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
	r := f.decoders.Get().(*pageDecoder)
	defer f.decoders.Put(r)
	src, err := f.fetch(r, d, b)
	switch {
	case err != nil:
		return err
	case r.codedZero(d, src):
		clear(b)
		return nil
	case len(src) == len(b) && &src[0] == &b[0]: // a stored page that was read into its place
		return nil
	}
	return r.decode(d, b, src)
}

// windowBytes are read at once when reads follow one another in the file.
const windowBytes = 64 << 10

// fetch gives the stored bytes of a page: from the window, which moves on with reads that
// follow one another, or by a read for themselves. A page that is stored as it is goes
// right into b then.
func (f *File) fetch(r *pageDecoder, d pageDesc, b []byte) ([]byte, error) {
	n := int64(d.size)
	if at := d.offset - r.at; at >= 0 && at+n <= int64(len(r.window)) {
		r.next = d.offset + n
		return r.window[at : at+n], nil
	}
	follows := d.offset == r.next
	r.next = d.offset + n
	if follows {
		return f.slide(r, d.offset, n)
	}
	src := b
	if codec.Method(d.flags) != codec.Raw || n != int64(len(b)) {
		src = r.codec.Room(int(n))
	}
	got, err := f.r.ReadAt(src, d.offset)
	return src, shortRead(got, len(src), err)
}

// slide moves the window to off, where n bytes are wanted.
func (f *File) slide(r *pageDecoder, off, n int64) ([]byte, error) {
	if r.ahead == nil {
		r.ahead = make([]byte, max(windowBytes, f.maxStored()))
	}
	r.at, r.window = off, r.ahead[:max(n, f.have(off, int64(len(r.ahead))))]
	got, err := f.r.ReadAt(r.window, off)
	if int64(got) < n {
		r.window = nil
		return nil, shortRead(got, int(n), err)
	}
	r.window = r.window[:got]
	return r.window[:n], nil
}

// shortRead is the error of a read that gave got of n bytes.
func shortRead(got, n int, err error) error {
	switch {
	case got >= n:
		return nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return phys.ErrLost
	}
	return err
}
