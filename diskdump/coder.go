package diskdump

import (
	"errors"
	"slices"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/phys"
)

// Coder encodes pages for a Writer. It is for one goroutine.
type Coder struct {
	enc    codec.Encoder
	method codec.Method
}

// NewCoder makes a coder of a codec ("none", "zlib", "lzo", "snappy", "zstd"). Level is the
// codec's own, 0 for makedumpfile's; LZO and snappy have none.
func NewCoder(name string, level int) (*Coder, error) {
	method, err := parseCodec(name)
	if err != nil {
		return nil, err
	}
	c := &Coder{method: method, enc: codec.Encoder{Level: level}}
	if method != codec.Raw { // a wrong level is told before the first page comes
		_, err = c.enc.Encode(method, make([]byte, minBlockSize), make([]byte, minBlockSize))
	}
	return c, err
}

// Coded is a batch of pages in the form in which a Writer stores them. It is used again and
// again.
type Coded struct {
	pages []codedPage
	data  []byte
}

type codedPage struct {
	first phys.PFN
	n     uint64 // pages: 1, or a run of lost ones
	size  int    // bytes in data
	flags uint32
	state codedState
}

type codedState uint8

const (
	codedData codedState = iota
	codedZero            // the shared block
	codedLost            // a descriptor without data
)

// Encode encodes a batch. Pages that cannot be read are lost; those of the batch that have
// no memory or were excluded are passed over.
func (c *Coder) Encode(b *phys.Batch, pageSize int, out *Coded) {
	out.pages, out.data = out.pages[:0], out.data[:0]
	for i, p := range b.PFN {
		switch {
		case !described(b.Err[i]):
		case b.Err[i] != nil:
			out.pages = append(out.pages, codedPage{first: p, n: lostPages(b.Err[i], pageSize), state: codedLost})
		case bin.Zero(b.Data[i]):
			out.pages = append(out.pages, codedPage{first: p, n: 1, state: codedZero})
		default:
			out.pages = append(out.pages, c.page(p, b.Data[i], out))
		}
	}
}

// lostPages is how many pages an error stands for.
func lostPages(err error, pageSize int) uint64 {
	var pe *phys.PageError
	if !errors.As(err, &pe) {
		return 1
	}
	return max(1, pe.Span.Len()/uint64(pageSize))
}

// page encodes a page; one that does not become shorter is stored as it is.
func (c *Coder) page(p phys.PFN, data []byte, out *Coded) codedPage {
	at := len(out.data)
	out.data = slices.Grow(out.data, len(data))
	room := out.data[at : at+len(data)]
	if c.method != codec.Raw {
		if n, err := c.enc.Encode(c.method, room, data); err == nil && n > 0 {
			out.data = out.data[:at+n]
			return codedPage{first: p, n: 1, size: n, flags: uint32(c.method)}
		}
	}
	out.data = append(out.data, data...)
	return codedPage{first: p, n: 1, size: len(data)}
}

// Write appends the pages of a batch that belong to this file; batches come in the order of
// their pages.
func (k *Writer) Write(c *Coded) error {
	at := 0
	for i := range c.pages {
		p := &c.pages[i]
		data := c.data[at : at+p.size]
		at += p.size
		if n := k.within(p.first, p.first+phys.PFN(p.n)); n > 0 {
			k.page(p, data, n)
		}
	}
	return errors.Join(k.data.Err(), k.descs.Err())
}

// page writes the descriptors of n pages of one state, and the data of one.
func (k *Writer) page(p *codedPage, data []byte, n uint64) {
	var d [descSize]byte
	k.have += n
	switch p.state {
	case codedLost: // all zero: the form in which a full disk leaves it
		k.lost += n
		for range n {
			k.descs.Write(d[:])
		}
		return
	case codedZero:
		k.desc(&d, k.zero, k.plan.BlockSize, 0)
	default:
		k.desc(&d, k.data.End(), len(data), p.flags)
		k.data.Write(data)
	}
	k.descs.Write(d[:])
}

func (k *Writer) desc(d *[descSize]byte, off int64, size int, flags uint32) {
	k.plan.Order.PutUint64(d[0:], uint64(off))
	k.plan.Order.PutUint32(d[8:], uint32(size))
	k.plan.Order.PutUint32(d[12:], flags)
}
