package dwarf

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// buf reads a piece of a section. It is bin.Cursor's brother for DWARF: it can go to any
// place, knows LEB128, and takes no memory of its own. After the first error every read
// gives zero and err stays.
type buf struct {
	what  string // the section
	base  int64  // offset of b in it
	b     []byte
	at    int // of the next byte in b
	order binary.ByteOrder
	err   error
}

// off is the offset of the next byte in the section.
func (r *buf) off() int64 { return r.base + int64(r.at) }

// fail keeps the first error, with the place.
func (r *buf) fail(reason error, format string, args ...any) {
	if r.err == nil {
		r.err = wrong(r.what, r.off(), reason, format, args...)
	}
}

// wrong is an error at a place of a section.
func wrong(what string, off int64, reason error, format string, args ...any) error {
	return &bin.DecodeError{What: what, Off: off, Err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), reason)}
}

// take is the only bounds check of all reads but those of LEB128.
func (r *buf) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)-r.at) {
		r.fail(phys.ErrCorrupt, "want %d bytes, have %d", n, len(r.b)-r.at)
		return nil
	}
	p := r.b[r.at : r.at+int(n) : r.at+int(n)]
	r.at += int(n)
	return p
}

func (r *buf) u8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *buf) u16() uint16 {
	if p := r.take(2); p != nil {
		return r.order.Uint16(p)
	}
	return 0
}

func (r *buf) u32() uint32 {
	if p := r.take(4); p != nil {
		return r.order.Uint32(p)
	}
	return 0
}

func (r *buf) u64() uint64 {
	if p := r.take(8); p != nil {
		return r.order.Uint64(p)
	}
	return 0
}

// uint reads an integer of 1 to 4 or 8 bytes.
func (r *buf) uint(size int) uint64 {
	if size == 3 { // DW_FORM_strx3
		p := r.take(3)
		if p == nil {
			return 0
		}
		if r.order == binary.ByteOrder(binary.BigEndian) {
			return uint64(p[0])<<16 | uint64(p[1])<<8 | uint64(p[2])
		}
		return uint64(p[2])<<16 | uint64(p[1])<<8 | uint64(p[0])
	}
	return bin.Uint(r.take(uint64(size)), r.order)
}

// uleb reads an unsigned LEB128; bits beyond the 64th are dropped, as binutils does.
func (r *buf) uleb() uint64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 && r.err == nil { // most of them
		r.at++
		return uint64(r.b[r.at-1])
	}
	v, _ := r.leb()
	return v
}

// sleb reads a signed LEB128.
func (r *buf) sleb() int64 {
	v, bits := r.leb()
	if bits < 64 && v>>(bits-1)&1 != 0 {
		v |= ^uint64(0) << bits
	}
	return int64(v)
}

// leb gives the value and how many bits of it were written, at least 7.
func (r *buf) leb() (v uint64, bits uint) {
	for {
		p := r.take(1)
		if p == nil {
			return 0, 64
		}
		if bits < 64 {
			v |= uint64(p[0]&0x7f) << bits
		}
		bits += 7
		if p[0] < 0x80 {
			return v, bits
		}
	}
}

// text takes the bytes before the next NUL and passes over it.
func (r *buf) text() []byte {
	if r.err != nil {
		return nil
	}
	n := bytes.IndexByte(r.b[r.at:], 0)
	if n < 0 {
		r.fail(phys.ErrCorrupt, "text without end")
		return nil
	}
	p := r.b[r.at : r.at+n : r.at+n]
	r.at += n + 1
	return p
}

// length reads an initial length: 4 bytes, or 0xffffffff and 8 (64-bit DWARF). size is that
// of offsets behind it.
func (r *buf) length() (n uint64, size int) {
	v := r.u32()
	switch {
	case v == 0xffffffff:
		return r.u64(), 8
	case v >= 0xfffffff0:
		r.at -= 4
		r.fail(phys.ErrCorrupt, "length %#x is reserved", v)
		return 0, 4
	}
	return uint64(v), 4
}
