package codec

import "encoding/binary"

// lzoReader decodes LZO1X as lzoPage does, see there, but byte by byte and in place.
type lzoReader struct {
	src  []byte
	page []byte
	op   int // bytes of the page so far
	err  error
}

// largeLZO decodes a page of any size.
func largeLZO(dst, src []byte) error {
	r := lzoReader{src: src, page: dst}
	state := 0
	if len(src) > 0 && src[0] > 17 {
		n := int(r.byte()) - 17
		r.literals(n)
		state = min(n, lzoRun)
	}
	for last := false; !last; {
		last, state = r.instruction(state)
	}
	switch {
	case r.err != nil:
		return damaged("lzo", r.err)
	case len(r.src) != 0:
		return damaged("lzo", errTrailing)
	case r.op != len(dst):
		return wrongSize("lzo", r.op, len(dst))
	}
	return nil
}

// fail keeps the first error.
func (r *lzoReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *lzoReader) byte() byte {
	if len(r.src) == 0 {
		r.fail(errCut)
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *lzoReader) u16() int {
	b := [2]byte{r.byte(), r.byte()}
	return int(binary.LittleEndian.Uint16(b[:]))
}

// length is n, or where that is zero all its bits and what follows.
func (r *lzoReader) length(n, mask int) int {
	if n != 0 {
		return n
	}
	for n = mask; r.err == nil; n += 255 {
		if b := int(r.byte()); b != 0 {
			return n + b
		}
	}
	return 0
}

func (r *lzoReader) literals(n int) {
	switch {
	case r.err != nil:
	case n > len(r.src):
		r.fail(errCut)
	case n > len(r.page)-r.op:
		r.fail(errLong)
	default:
		copy(r.page[r.op:], r.src[:n])
		r.op += n
		r.src = r.src[n:]
	}
}

func (r *lzoReader) match(n, distance int) {
	switch {
	case r.err != nil:
	case distance > r.op:
		r.fail(errDistance)
	case n > len(r.page)-r.op:
		r.fail(errLong)
	default:
		for end := r.op + n; r.op < end; r.op++ {
			r.page[r.op] = r.page[r.op-distance]
		}
	}
}

// instruction runs one instruction after the one that left state, and tells whether it was
// the last.
func (r *lzoReader) instruction(state int) (last bool, next int) {
	t := int(r.byte())
	switch {
	case t >= 64:
		r.match(t>>5+1, int(r.byte())<<3+t>>2&7+1)
	case t >= 16:
		return r.farMatch(t)
	case state == 0:
		r.literals(r.length(t, 15) + 3)
		return r.err != nil, lzoRun
	case state == lzoRun:
		r.match(3, int(r.byte())<<2+t>>2+2049)
	default:
		r.match(2, int(r.byte())<<2+t>>2+1)
	}
	r.literals(t & 3)
	return r.err != nil, t & 3
}

// farMatch runs an instruction with a distance of 16 bits.
func (r *lzoReader) farMatch(t int) (last bool, next int) {
	n, d, distance := 0, 0, 0
	if t >= 32 {
		n = r.length(t&31, 31) + 2
		d = r.u16()
		distance = d>>2 + 1
	} else {
		n = r.length(t&7, 7) + 2
		d = r.u16()
		distance = d>>2 + t&8<<11 + 0x4000
	}
	if distance == 0x4000 && t < 32 {
		if n != 3 {
			r.fail(errEndMark)
		}
		return true, 0
	}
	r.match(n, distance)
	r.literals(d & 3)
	return r.err != nil, d & 3
}
