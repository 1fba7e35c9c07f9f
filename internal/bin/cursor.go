// Package bin decodes binary structures: a cursor whose error sticks, tables that
// declare a C structure once for every ABI, and reads that are bounded before
// memory is taken.
package bin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/phys"
)

// DecodeError says which structure did not decode, and where.
type DecodeError struct {
	What string // the structure, in its C spelling
	Off  int64  // offset of the failing read, in the space the structure lives in
	Err  error
}

// Error reads like "kdump_sub_header at 0x1000: want 8 bytes, have 2: corrupt".
func (e *DecodeError) Error() string { return fmt.Sprintf("%s at %#x: %v", e.What, e.Off, e.Err) }

// Unwrap gives the reason to errors.Is.
func (e *DecodeError) Unwrap() error { return e.Err }

// Cursor reads values one after the other. After the first error every read gives
// zero and Err stays; a cursor made by Sub shares the error with its parent. Use it
// by pointer only.
type Cursor struct {
	what  string
	b     []byte
	off   int64
	order binary.ByteOrder
	err   *error
}

// NewCursor reads b, which lies at offset off of its space; what names the structure
// in errors.
func NewCursor(what string, b []byte, off int64, order binary.ByteOrder) *Cursor {
	return &Cursor{what: what, b: b, off: off, order: order, err: new(error)}
}

// take is the only bounds check of the package's readers.
func (c *Cursor) take(n int) []byte {
	if *c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.b) {
		*c.err = &DecodeError{c.what, c.off, fmt.Errorf("want %d bytes, have %d: %w", n, len(c.b), phys.ErrCorrupt)}
		return nil
	}
	p := c.b[:n:n]
	c.b, c.off = c.b[n:], c.off+int64(n)
	return p
}

// Err is the first error that was met, nil if none.
func (c *Cursor) Err() error { return *c.err }

// Off is the offset of the next byte.
func (c *Cursor) Off() int64 { return c.off }

// Len is the number of bytes left.
func (c *Cursor) Len() int { return len(c.b) }

// Bytes takes the next n bytes; the slice aliases the cursor's input.
func (c *Cursor) Bytes(n int) []byte { return c.take(n) }

// Skip passes over n bytes.
func (c *Cursor) Skip(n int) { c.take(n) }

// Uint reads an unsigned integer of 1, 2, 4 or 8 bytes.
func (c *Cursor) Uint(size int) uint64 {
	p := c.take(size)
	if p == nil {
		return 0
	}
	return Uint(p, c.order)
}

// U16, U32 and U64 read integers in the cursor's byte order.
func (c *Cursor) U16() uint16 { return uint16(c.Uint(2)) }

// U32 reads a 32-bit integer.
func (c *Cursor) U32() uint32 { return uint32(c.Uint(4)) }

// U64 reads a 64-bit integer.
func (c *Cursor) U64() uint64 { return c.Uint(8) }

// Sub takes the next n bytes as a cursor of its own, which shares this one's error.
func (c *Cursor) Sub(what string, n int) *Cursor {
	off := c.off
	return &Cursor{what: what, b: c.take(n), off: off, order: c.order, err: c.err}
}

// Uint reads the whole of p, whose length is 1, 2, 4 or 8, as one integer.
func Uint(p []byte, order binary.ByteOrder) uint64 {
	switch len(p) {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(order.Uint16(p))
	case 4:
		return uint64(order.Uint32(p))
	case 8:
		return order.Uint64(p)
	}
	return 0
}

// PutUint writes v into the 1, 2, 4 or 8 bytes of p.
func PutUint(p []byte, v uint64, order binary.ByteOrder) {
	switch len(p) {
	case 1:
		p[0] = byte(v)
	case 2:
		order.PutUint16(p, uint16(v))
	case 4:
		order.PutUint32(p, uint32(v))
	case 8:
		order.PutUint64(p, v)
	}
}

// CString is the text before the first NUL of p.
func CString(p []byte) string {
	for i, b := range p {
		if b == 0 {
			return string(p[:i])
		}
	}
	return string(p)
}

// ReadN reads n bytes at off of a file of the given size. What a file's own field asks
// for is checked before memory is taken: more than max is phys.ErrLimit, more than the
// file has is phys.ErrLost with the bytes that are there.
func ReadN(r io.ReaderAt, size, off int64, n uint64, max int) ([]byte, error) {
	if n > uint64(max) {
		return nil, fmt.Errorf("%d bytes at file offset %#x, more than %d: %w", n, off, max, phys.ErrLimit)
	}
	if off < 0 || off > size {
		return nil, fmt.Errorf("file offset %#x is outside of the file's %d bytes: %w", uint64(off), size, phys.ErrLost)
	}
	want := int64(n)
	b := make([]byte, min(want, size-off))
	got, err := r.ReadAt(b, off)
	if got < len(b) && err != nil && !errors.Is(err, io.EOF) {
		return b[:got], fmt.Errorf("file offset %#x: %w", off+int64(got), err)
	}
	if int64(got) < want {
		return b[:got], fmt.Errorf("file ends at %#x, %d bytes short: %w", off+int64(got), want-int64(got), phys.ErrLost)
	}
	return b, nil
}
