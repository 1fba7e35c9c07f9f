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
// each. It is fast where they are neighbours among those that Runs tells to be in the file:
// their descriptors then stand side by side and their data mostly too, so both are read
// in one piece. Stored pages come as they lie in b.Stored.
func (f *File) ReadPages(b *phys.Batch) {
	b.Reset()
	r := f.decoders.Get().(*pageDecoder)
	defer f.decoders.Put(r)
	for i := 0; i < len(b.PFN); {
		n := f.together(b.PFN[i:])
		if f.readDescs(r, b, b.PFN[i:i+n]) != nil {
			r.descs = r.descs[:0]
		}
		for k := 0; k < len(r.descs); {
			k += f.readPiece(r, b, i, k)
		}
		for k := len(r.descs); k < n; k++ {
			f.readSingly(b, i+k)
		}
		i += n
	}
}

// together is how many of pages, from the first on, are neighbours; 1 at least, whatever
// there is to say of it.
func (f *File) together(pages []phys.PFN) int {
	if f.neighbours(pages) {
		return len(pages)
	}
	n := 1
	for n < len(pages) && f.neighbours(pages[n-1:n+1]) {
		n++
	}
	return n
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
func (f *File) readDescs(r *pageDecoder, b *phys.Batch, pages []phys.PFN) error {
	r.descs = r.descs[:0]
	if !f.neighbours(pages[:1]) {
		return nil
	}
	k, err := f.index(pages[0] - f.base)
	if err != nil {
		return err
	}
	at := f.data + int64(k)*descSize
	n := int(f.have(at, int64(len(pages)*descSize)))
	table := b.See(f.r, at, n)
	if table == nil {
		table = r.tableOf(len(pages))[:n]
		if n, err = f.r.ReadAt(table, at); n < len(table) && !errors.Is(err, io.EOF) {
			return err
		}
	}
	for table = table[:n]; len(table) >= descSize; table = table[descSize:] {
		d := f.decodeDesc(table)
		if f.check(d) != nil {
			d.size = 0 // whoever reads the page singly hears why
		}
		r.descs = append(r.descs, d)
	}
	return nil
}

// readPiece reads the data of page k of the neighbours that begin at page first of the
// batch, and of those behind it whose data follows without a gap. n is the number of pages
// that are done with it.
func (f *File) readPiece(r *pageDecoder, b *phys.Batch, first, k int) (n int) {
	d := r.descs[k]
	if f.isZero(d) {
		b.Data[first+k] = f.zeros
		return 1
	}
	if d.size == 0 {
		f.readSingly(b, first+k)
		return 1
	}
	end := d.offset
	for n = 0; k+n < len(r.descs); n++ {
		next := r.descs[k+n]
		if f.isZero(next) {
			continue
		}
		if next.offset != end || next.size == 0 || n > 0 && end+int64(next.size)-d.offset > phys.SeeMost {
			break
		}
		end += int64(next.size)
	}
	size := int(end - d.offset)
	var piece []byte
	if b.InPlace || codec.Method(d.flags) != codec.Raw { // else it would be copied page by page
		piece = b.See(f.r, d.offset, size)
	}
	seen := piece != nil
	if !seen {
		piece = b.Room(size)
		if got, _ := f.r.ReadAt(piece, d.offset); got < size {
			f.readSingly(b, first+k) // it tells what is wrong with each page
			return 1
		}
	}
	for i, next := range r.descs[k : k+n] {
		if f.isZero(next) {
			b.Data[first+k+i] = f.zeros
		} else {
			f.decodePage(r, b, first+k+i, next, piece[next.offset-d.offset:][:next.size], seen)
		}
	}
	return n
}

// readSingly reads page i for itself.
func (f *File) readSingly(b *phys.Batch, i int) {
	page := b.Page(i, f.Header.BlockSize)
	n, err := f.ReadPage(b.PFN[i], page)
	b.Data[i], b.Err[i] = page[:n], err
}

// decodePage makes page i of its stored form, which may be seen where it lies in the file.
func (f *File) decodePage(r *pageDecoder, b *phys.Batch, i int, d pageDesc, src []byte, seen bool) {
	if codec.Method(d.flags) == codec.Raw && len(src) == f.Header.BlockSize {
		switch {
		case !seen:
			b.Data[i] = src[:len(src):len(src)]
			f.noteZero(d, src)
			return
		case f.zero.Load() < 0 && bin.Zero(src): // what is noted must not change under a mapping
			f.readSingly(b, i)
			return
		case b.InPlace:
			b.Data[i] = src[:len(src):len(src)]
			return
		}
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
	b.Data[i] = page[:len(page):len(page)]
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
	err := r.codec.DecodeInPlace(codec.Method(d.flags), page, src)
	if err == nil && len(src) <= maxCodedZero && len(r.zero) == 0 && bin.Zero(page) {
		zero := bytes.Clone(src) // which a file that is cut meanwhile may have changed
		if r.codec.Decode(codec.Method(d.flags), page, zero) == nil && bin.Zero(page) {
			r.zero, r.zeroFlags = zero, d.flags
		}
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
