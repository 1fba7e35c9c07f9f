package codec

import "errors"

var errEndMark = errors.New("an end mark of the wrong length")

// lzo decodes a raw LZO1X block: no container, no checksum, so damage that keeps the form
// is not noticed.
func (d *Decoder) lzo(dst, src []byte) error {
	if !fits(dst, src) {
		return largeLZO(dst, src)
	}
	w := d.load(src)
	n, err := lzoPage(&w.in, &w.out, uint(len(src)), uint(len(dst)))
	if err != nil {
		return damaged("lzo", err)
	}
	if n != uint(len(dst)) {
		return wrongSize("lzo", int(n), len(dst))
	}
	copy(dst, w.out[:])
	return nil
}

// lzoRun says that the last instruction was a run of literals; a match leaves how many of
// them, 0 to 3, followed it.
const lzoRun = 4

// lzoPage decodes the stream of end bytes in in (Documentation/staging/lzo.rst of the
// kernel) and returns how many bytes it holds. D, H and L are bits of distances and
// lengths, S is the number of literals that follow a match:
//
//	01LDDDSS H          3 or 4 bytes, H*8+D+1 back         1LLDDDSS H  the same with 5 to 8
//	001LLLLL D*4+S      L+2, D+1 back; here and below the second field is 16 bits
//	0001HLLL D*4+S      L+2, H*16384+D+16384 back; it is the end mark when that is 16384
//	0000LLLL            after a match without literals: L+3 literals
//	0000DDSS H          after 1 to 3 literals: 2 bytes, H*4+D+1 back
//	0000DDSS H          after a run of literals: 3 bytes, H*4+D+2049 back
//
// L of zero is all its bits and what lzoLength reads. A first byte of 18 and more stands for
// as many literals less 17.
//
// It is one function, since a call costs as much as a match. Each match and run is held
// against both ends before it is copied. The literals behind a match are always copied as
// four bytes; that the input had as many as count is seen in the next turn, and that the
// page had room for them by the next match or run, or at the end.
func lzoPage(in, out *window, end, size uint) (uint, error) {
	var at, op, state uint
	if first := uint(in[0]); first > 17 {
		n := first - 17
		if n >= end || n > size {
			return 0, errCut
		}
		copy(out[:n], in[1:1+n])
		at, op, state = 1+n, n, min(n, lzoRun)
	}
	for at < end {
		t := uint(in[at&windowMask])
		at++
		if t >= 64 {
			state = t & 3
			distance := uint(in[at&windowMask])<<3 + t>>2&7 + 1
			at++
			length := t>>5 + 1
			if distance > op || op+length > size {
				return 0, errMatch(distance, op)
			}
			v := load64(out, op-distance)
			if distance < 8 {
				v = spread(v, distance)
			}
			store64(out, op, v)
			op += length
		} else if t >= 16 {
			short := uint(31)
			if t < 32 {
				short = 7
			}
			length := t & short
			if length == 0 {
				length, at = lzoLength(in, at, end)
				length += short
			}
			length += 2
			v := uint(load32(in, at) & 0xffff)
			at += 2
			state = v & 3
			distance := v>>2 + 1
			if t < 32 {
				distance += t&8<<11 + 0x3fff
				if distance == 0x4000 {
					return lzoEnd(at, end, length, op)
				}
			}
			if distance > op || op+length > size {
				return 0, errMatch(distance, op)
			}
			to, end := op, op+length
			op = end
			if distance < 8 {
				v, step := spread(load64(out, to-distance), distance), spreads[distance&7].step
				for ; to < end; to += step {
					store64(out, to, v)
				}
			} else {
				out.copyWords(to, out, to-distance)
				for to += 32; to < end; to += 8 {
					store64(out, to, load64(out, to-distance))
				}
			}
		} else if state == 0 {
			n := t
			if n == 0 {
				n, at = lzoLength(in, at, end)
				n += 15
			}
			n += 3
			if at+n > end {
				return 0, errCut
			}
			if op+n > size {
				return 0, errLong
			}
			copy32(out, op, in, at)
			if n > 32 {
				copy(out[op&windowMask:][:n], in[at&windowMask:])
			}
			at += n
			op += n
			state = lzoRun
			continue
		} else {
			distance := uint(in[at&windowMask])<<2 + t>>2 + 1
			at++
			length := uint(2)
			if state == lzoRun {
				distance += 2048
				length = 3
			}
			if distance > op || op+length > size {
				return 0, errMatch(distance, op)
			}
			// Three bytes in either case: what is too much is overwritten.
			out[op&windowMask] = out[(op-distance)&windowMask]
			out[(op+1)&windowMask] = out[(op+1-distance)&windowMask]
			out[(op+2)&windowMask] = out[(op+2-distance)&windowMask]
			op += length
			state = t & 3
		}
		// From the byte before, since op may be the end, where the mask is.
		*(*[4]byte)(out[(op-1)&windowMask+1:]) = *(*[4]byte)(in[at&windowMask:])
		at += state
		op += state
	}
	return 0, errCut
}

// lzoLength reads what a length has beyond its bits: 255 for each zero byte, and the first
// other byte.
func lzoLength(in *window, at, end uint) (n, behind uint) {
	for ; in[at&windowMask] == 0 && at < end; at++ {
		n += 255
	}
	return n + uint(in[at&windowMask]), at + 1
}

// lzoEnd looks at what an end mark must be: a match of three bytes, and the last.
func lzoEnd(at, end, length, op uint) (uint, error) {
	switch {
	case length != 3:
		return 0, errEndMark
	case at > end:
		return 0, errCut
	case at < end:
		return 0, errTrailing
	}
	return op, nil
}

// errMatch is why a match was not copied.
func errMatch(distance, op uint) error {
	if distance > op {
		return errDistance
	}
	return errLong
}
