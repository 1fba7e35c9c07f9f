package codec

import "encoding/binary"

// Bounds of the LZO1X instructions that are written (see lzoPage), and of the search.
const (
	lzoNearLength   = 8 // of the instruction of 2 bytes
	lzoNearDistance = 2 << 10

	lzoMid         = 32
	lzoMidLength   = 33 // in the instruction's first byte
	lzoMidDistance = 16 << 10

	lzoFar         = 16
	lzoFarLength   = 9 // likewise
	lzoFarDistance = 48<<10 - 1

	lzoFirstRun = 238 // literals that the first byte of a stream can stand for
	lzoShortRun = 18  // literals of an instruction of one byte

	lzoMinMatch  = 4 // shorter ones are not looked for
	lzoTableBits = 12
)

// lzoEndMark is a match as far as 16 KiB, which has a shorter instruction.
var lzoEndMark = [3]byte{lzoFar | 1, 0, 0}

// lzoTable tells where four bytes were last seen, by their hash.
type lzoTable [1 << lzoTableBits]uint16

func (t *lzoTable) place(v uint32) *uint16 { return &t[v*hashFactor>>(32-lzoTableBits)] }

// encodeLZO codes the page of end bytes in w.in into w.out, and returns how many bytes that
// takes; 0 if it is not less. It looks at one earlier place for each of two positions, and
// steps the further the longer it found nothing there. The table is cleared, although bytes are
// always compared, so that equal pages have equal streams.
func encodeLZO(w *windows, table *lzoTable, end uint) uint {
	clear(table[:])
	var op, run uint // run is where literals begin that are not yet written
	for at := uint(1); at+lzoMinMatch+1 < end; {
		eight := load64(&w.in, at)
		v, next := uint32(eight), uint32(eight>>8)
		place := table.place(v)
		from := uint(*place)
		*place = uint16(at)
		if load32(&w.in, from) != v || at-from > lzoFarDistance {
			at++
			place = table.place(next)
			from = uint(*place)
			*place = uint16(at)
			if load32(&w.in, from) != next || at-from > lzoFarDistance {
				at += 1 + 3*(at-run)>>5 // one more for each 11 literals
				continue
			}
		}
		distance := at - from
		n := matchLength(&w.in, at, from, end)
		literals, begin := at-run, run
		at += n
		run = at
		*table.place(load32(&w.in, at-2)) = uint16(at - 2)

		if op+lzoMost(literals) > end {
			return 0
		}
		if literals <= lzoShortRun && op != 0 {
			// Up to three go into the instruction before. Both are written, without a branch.
			trailing, head := literals, uint(0)
			if literals > 3 {
				trailing, head = 0, 1
			}
			w.out[op&windowMask] = byte(literals - 3)
			w.out[(op-2)&windowMask] |= byte(trailing)
			copy32(&w.out, op+head, &w.in, begin)
			op += head + literals
		} else {
			op = lzoLiterals(w, op, begin, literals)
		}

		distance--
		if n > lzoMidLength || distance >= lzoMidDistance {
			op = lzoMatch(w, op, n, distance)
			continue
		}
		code, size := lzoMid|(n-2)|distance<<10, uint(3)
		if n <= lzoNearLength && distance < lzoNearDistance {
			code, size = (n-1)<<5|distance&7<<2|distance>>3<<8, 2
		}
		binary.LittleEndian.PutUint32(w.out[op&windowMask:], uint32(code))
		op += size
	}
	n := end - run
	if op+lzoMost(n) > end {
		return 0
	}
	op = lzoLiterals(w, op, run, n)
	*(*[len(lzoEndMark)]byte)(w.out[op&windowMask:]) = lzoEndMark
	return op + uint(len(lzoEndMark))
}

// lzoMost is how many bytes as many literals can take, with a match or the end mark behind.
func lzoMost(literals uint) uint { return literals + literals>>7 + 8 }

// lzoMatch writes a match that is too long or too far for the common instructions. distance
// is less one.
func lzoMatch(w *windows, op, n, distance uint) uint {
	head, most := uint(lzoMid), uint(lzoMidLength)
	if distance >= lzoMidDistance {
		distance -= lzoMidDistance - 1
		head, most = lzoFar|distance>>11&8, lzoFarLength
	}
	if n <= most {
		w.out[op&windowMask] = byte(head | (n - 2))
		op++
	} else {
		w.out[op&windowMask] = byte(head)
		op = lzoPutLength(w, op+1, n-most)
	}
	w.out[op&windowMask] = byte(distance << 2)
	w.out[(op+1)&windowMask] = byte(distance >> 6)
	return op + 2
}

// lzoLiterals writes n bytes of the page as they are.
func lzoLiterals(w *windows, op, from, n uint) uint {
	switch {
	case op == 0 && n <= lzoFirstRun:
		w.out[0] = byte(17 + n)
		op++
	case n <= 3: // in the instruction before
		w.out[(op-2)&windowMask] |= byte(n)
	case n <= lzoShortRun:
		w.out[op&windowMask] = byte(n - 3)
		op++
	default:
		w.out[op&windowMask] = 0
		op = lzoPutLength(w, op+1, n-lzoShortRun)
	}
	copy32(&w.out, op, &w.in, from)
	if n > 32 {
		copy(w.out[op&windowMask:][:n], w.in[from&windowMask:])
	}
	return op + n
}

// lzoPutLength writes what a length has beyond its bits.
func lzoPutLength(w *windows, op, n uint) uint {
	for ; n > 255; n -= 255 {
		w.out[op&windowMask] = 0
		op++
	}
	w.out[op&windowMask] = byte(n)
	return op + 1
}
