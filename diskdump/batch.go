package diskdump

import (
	"bytes"
	"errors"
	"io"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/phys"
)

// ReadPages reads the pages of a batch: the same bytes and errors as ReadPage gives for
// each. It is fast when they are neighbours among those that Runs tells to be in the file:
// their descriptors then stand side by side and their data mostly too, so both are read
// in one piece. Stored pages come as they lie in b.Stored.
func (f *File) ReadPages(b *phys.Batch) {
	b.Reset()
	r := f.decoders.Get().(*pageDecoder)
	defer f.decoders.Put(r)
	if !f.neighbours(b.PFN) || f.readDescs(r, b.PFN) != nil {
		r.descs = r.descs[:0]
	}
	room := b.Room(f.stored(r.descs))
	for i := 0; i < len(r.descs); {
		n, used := f.readPiece(r, b, i, room)
		i, room = i+n, room[used:]
	}
	for i := len(r.descs); i < len(b.PFN); i++ {
		f.readSingly(b, i)
	}
}

// neighbours tells whether the descriptors of pages stand side by side: all of them are in
// this file, and no other page with a descriptor is between them.
func (f *File) neighbours(pages []phys.PFN) bool {
	if len(pages) == 0 || pages[0] < f.base {
		return false
	}
	for _, p := range pages {
		have, err := f.dumped.test(p - f.base)
		if err != nil || !have || f.lossOf(p-f.base) != nil {
			return false
		}
	}
	first, err1 := f.rank.of(pages[0] - f.base)
	last, err2 := f.rank.of(pages[len(pages)-1] - f.base)
	return err1 == nil && err2 == nil && last-first == uint64(len(pages)-1)
}

// readDescs reads the descriptors of neighbours into r.descs, as many as the file has.
func (f *File) readDescs(r *pageDecoder, pages []phys.PFN) error {
	k, err := f.index(pages[0] - f.base)
	if err != nil {
		return err
	}
	at := f.data + int64(k)*descSize
	table := r.tableOf(len(pages))
	table = table[:f.have(at, int64(len(table)))]
	n, err := f.r.ReadAt(table, at)
	if n < len(table) && !errors.Is(err, io.EOF) {
		return err
	}
	r.descs = r.descs[:0]
	for table = table[:n]; len(table) >= descSize; table = table[descSize:] {
		d := f.decodeDesc(table)
		if f.check(d) != nil {
			d.size = 0 // whoever reads the page singly hears why
		}
		r.descs = append(r.descs, d)
	}
	return nil
}

// stored is the most room that the data of pages can take.
func (f *File) stored(descs []pageDesc) (n int) {
	for _, d := range descs {
		if !f.isZero(d) {
			n += int(d.size)
		}
	}
	return n
}

// readPiece reads the data of page i, and of those behind it whose data follows without a
// gap, into room. n is the number of pages that are done with it, used what it took.
func (f *File) readPiece(r *pageDecoder, b *phys.Batch, i int, room []byte) (n, used int) {
	d := r.descs[i]
	if f.isZero(d) {
		b.Data[i] = f.zeros
		return 1, 0
	}
	if d.size == 0 {
		f.readSingly(b, i)
		return 1, 0
	}
	end := d.offset
	for n = 0; i+n < len(r.descs); n++ {
		next := r.descs[i+n]
		if f.isZero(next) {
			continue
		}
		if next.offset != end || next.size == 0 {
			break
		}
		end += int64(next.size)
	}
	room = room[:end-d.offset]
	if got, _ := f.r.ReadAt(room, d.offset); got < len(room) {
		f.readSingly(b, i) // it tells what is wrong with each page
		return 1, 0
	}
	for k := i; k < i+n; k++ {
		if next := r.descs[k]; f.isZero(next) {
			b.Data[k] = f.zeros
		} else {
			f.decodePage(r, b, k, room[next.offset-d.offset:][:next.size])
		}
	}
	return n, len(room)
}

// readSingly reads page i for itself.
func (f *File) readSingly(b *phys.Batch, i int) {
	page := b.Page(i, f.Header.BlockSize)
	n, err := f.ReadPage(b.PFN[i], page)
	b.Data[i], b.Err[i] = page[:n], err
}

// decodePage makes page i of its stored form.
func (f *File) decodePage(r *pageDecoder, b *phys.Batch, i int, src []byte) {
	d := r.descs[i]
	if codec.Method(d.flags) == codec.Raw && len(src) == f.Header.BlockSize {
		b.Data[i] = src
		f.noteZero(d, src)
		return
	}
	if r.codedZero(d, src) {
		b.Data[i] = f.zeros
		return
	}
	page := b.Page(i, f.Header.BlockSize)
	if err := r.decode(d, page, src); err != nil {
		b.Err[i] = f.pageError("read", b.PFN[i]-f.base, d.offset, err)
		return
	}
	b.Data[i] = page
}

// maxCodedZero is the longest coded form that is remembered as that of a page of zeros:
// dumps with all zero pages (makedumpfile -d 0) have it many times, 41 bytes in zlib.
const maxCodedZero = 512

// codedZero tells whether src is the coded page of zeros that was met before.
func (r *pageDecoder) codedZero(d pageDesc, src []byte) bool {
	return len(src) == len(r.zero) && len(src) > 0 && d.flags == r.zeroFlags && bytes.Equal(src, r.zero)
}

// decode decodes a page, and remembers what one of zeros looks like.
func (r *pageDecoder) decode(d pageDesc, page, src []byte) error {
	err := r.codec.Decode(codec.Method(d.flags), page, src)
	if err == nil && len(src) <= maxCodedZero && len(r.zero) == 0 && bin.Zero(page) {
		r.zero, r.zeroFlags = bytes.Clone(src), d.flags
	}
	return err
}

// ReadPages reads the pages of a batch, see File.ReadPages: part by part.
func (s *Set) ReadPages(b *phys.Batch) {
	f := s.whole()
	if len(b.PFN) > 0 && b.PFN[0] >= f.base {
		part := s.part(b.PFN[0] - f.base)
		if last := b.PFN[len(b.PFN)-1] - f.base; part != nil && s.part(last) == part && uint64(last) < part.end {
			part.ReadPages(b)
			return
		}
	}
	b.Reset()
	for i, p := range b.PFN {
		page := b.Page(i, s.PageSize())
		n, err := s.ReadPage(p, page)
		b.Data[i], b.Err[i] = page[:n], err
	}
}
