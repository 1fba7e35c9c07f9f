package codec_test

import (
	"encoding/binary"
	"testing"
)

// lzoReference decodes LZO1X by the kernel's Documentation/staging/lzo.rst, byte by byte.
type lzoReference struct {
	src  []byte
	page []byte
	bad  bool
}

func naiveLZO(_ *testing.T, src []byte) []byte {
	r := lzoReference{src: src}
	state := 0
	if len(src) > 0 && src[0] > 17 {
		n := int(r.byte()) - 17
		r.literals(n)
		state = min(n, 4)
	}
	for !r.bad {
		last, next := r.instruction(state)
		if last {
			break
		}
		state = next
	}
	if r.bad || len(r.src) != 0 || len(r.page) != pageSize {
		return nil
	}
	return r.page
}

func (r *lzoReference) byte() byte {
	if len(r.src) == 0 {
		r.bad = true
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

// length reads a length whose bits were all zero: 255 for each zero byte that follows.
func (r *lzoReference) length(n, mask int) int {
	if n != 0 {
		return n
	}
	n = mask
	for !r.bad {
		b := int(r.byte())
		if b != 0 {
			return n + b
		}
		n += 255
	}
	return 0
}

func (r *lzoReference) literals(n int) {
	if n > len(r.src) || n > pageSize-len(r.page) {
		r.bad = true
		return
	}
	r.page = append(r.page, r.src[:n]...)
	r.src = r.src[n:]
}

func (r *lzoReference) match(n, back int) {
	if r.bad || back > len(r.page) || n > pageSize-len(r.page) {
		r.bad = true
		return
	}
	for range n {
		r.page = append(r.page, r.page[len(r.page)-back])
	}
}

func (r *lzoReference) u16() int {
	b := [2]byte{r.byte(), r.byte()}
	return int(binary.LittleEndian.Uint16(b[:]))
}

// instruction runs one instruction; last is the end of the stream. state is the number of
// literals that the one before copied, 4 for a long run.
func (r *lzoReference) instruction(state int) (last bool, next int) {
	t := int(r.byte())
	var tail int
	switch {
	case r.bad:
		return true, 0
	case t >= 64:
		n := t>>5 + 1
		r.match(n, int(r.byte())<<3+t>>2&7+1)
		tail = t & 3
	case t >= 32:
		n := r.length(t&31, 31) + 2
		d := r.u16()
		r.match(n, d>>2+1)
		tail = d & 3
	case t >= 16:
		n := r.length(t&7, 7) + 2
		d := r.u16()
		back := 0x4000 + t&8<<11 + d>>2
		if back == 0x4000 {
			r.bad = r.bad || n != 3
			return true, 0
		}
		r.match(n, back)
		tail = d & 3
	case state == 0:
		r.literals(r.length(t, 15) + 3)
		return false, 4
	case state < 4:
		r.match(2, int(r.byte())<<2+t>>2+1)
		tail = t & 3
	default:
		r.match(3, int(r.byte())<<2+t>>2+2049)
		tail = t & 3
	}
	r.literals(tail)
	return false, tail
}
