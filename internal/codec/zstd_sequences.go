package codec

import "math/bits"

// The three numbers of a sequence, in the order in which their tables are described.
const (
	literalsField = iota
	offsetField
	lengthField
)

// sequences decodes the sequences section of a block (RFC 8878, 3.1.1.3.2). Between blocks
// it keeps their tables and the distances used last.
//
// What run needs seldom stands here and not in its variables, of which the compiler keeps too
// few in registers.
type sequences struct {
	in     backward
	states [3]uint  // of the fields' tables
	left   uint     // how many sequences are to be carried out
	last   fseEntry // the sum of the last one's entries
	from   *window  // where the literals stand
	limit  uint     // where the block ends in the page, at most

	repeat [16]uint32  // the distances used last, from the first one on
	masks  [256]uint64 // of as many bits as their indices say, up to 63

	kept    bool // the tables are those of a block
	tables  [3]fseTable
	fields  [3]field
	numbers fse
}

// reset forgets what was before a frame.
func (q *sequences) reset() {
	q.kept = false
	q.repeat = [16]uint32{1, 4, 8}
}

// decode decodes the section between at and end of in, with the literals of the block, into out,
// from op on and before limit. It returns where the block ends there.
func (q *sequences) decode(in, out *window, l *literals, at, end, op, limit uint) (uint, error) {
	n, at, err := q.count(in, at, end)
	if err != nil {
		return 0, err
	}
	if n != 0 {
		if at, err = q.readTables(in, at, end); err != nil {
			return 0, err
		}
		if err := q.open(in, at, end); err != nil {
			return 0, err
		}
		q.left, q.from, q.limit = n, l.from, limit
		if op, l.at, err = q.run(in, out, op, l.at, l.end); err != nil {
			return 0, err
		}
		if q.in.left(at)+int(q.last.bits()) != 0 { // the last one has no states behind it
			return 0, errEndMark
		}
		if l.at > l.end {
			return 0, errCut
		}
	}
	rest := l.end - l.at
	if rest > limit-op {
		return 0, errLong
	}
	copy(out[op:], l.from[l.at:l.end])
	return op + rest, nil
}

// count reads how many sequences there are.
func (q *sequences) count(in *window, at, end uint) (n, behind uint, err error) {
	head := uint(load32(in, at))
	switch n = head & 0xff; {
	case n < 128:
		at++
	case n < 255:
		n = (n-128)<<8 + head>>8&0xff
		at += 2
	default:
		n = head>>8&0xffff + 0x7f00
		at += 3
	}
	if at > end {
		return 0, 0, errCut
	}
	if n == 0 && at != end {
		return 0, 0, errTrailing
	}
	return n, at, nil
}

// readTables reads the tables of the fields, by the modes of two bits each: 0 the usual table,
// 1 one symbol, 2 a table that is described, 3 that of the block before.
func (q *sequences) readTables(in *window, at, end uint) (uint, error) {
	modes := in[at&windowMask]
	at++
	if modes&3 != 0 {
		return 0, errReserved
	}
	for i := range q.fields {
		f := &q.fields[i]
		switch modes >> (6 - 2*i) & 3 {
		case 0:
			copy(q.tables[i][:64], f.usual[:])
			f.log = f.usualLog
		case 1:
			symbol := in[at&windowMask]
			at++
			if uint(symbol) >= f.size {
				return 0, errSymbol
			}
			q.tables[i][0], f.log = f.symbols[symbol], 0
		case 2:
			var err error
			if at, err = q.numbers.readCounts(in, at, end, f.size, f.maxLog); err != nil {
				return 0, err
			}
			q.numbers.build(&q.tables[i], &f.symbols)
			f.log = q.numbers.log
		case 3:
			if !q.kept {
				return 0, errNoTable
			}
		}
	}
	if at > end {
		return 0, errCut
	}
	q.kept = true
	return at, nil
}

// open opens the stream, which begins with the first states.
func (q *sequences) open(in *window, begin, end uint) (err error) {
	if q.in, err = openBackward(in, begin, end); err != nil {
		return err
	}
	for i := range q.fields {
		v := bits.RotateLeft64(q.in.peek(in), int(q.fields[i].log))
		q.in -= backward(q.fields[i].log)
		q.states[i] = uint(v & q.masks[uint8(q.fields[i].log)] & 511)
	}
	return nil
}

// runGo reads sequences, carries each out at op with literals from at on, and returns where both end.
//
// It is one function, so that the processor copies bytes while it waits for what the next states say.
// A distance has at most 31 extra bits and the three states 26, which is what a look at the stream
// is sure to show. Most lengths have no extra bits; those that have look again.
//
// Most distances are new, or the last one, and which of the two is not to be foreseen: that is told
// without a branch. A code above 0 is a new distance; for others see recall.
func (q *sequences) runGo(in, out *window, op, at uint) (uint, uint, error) {
	le := q.tables[literalsField][q.states[literalsField]&511]
	oe := q.tables[offsetField][q.states[offsetField]&511]
	me := q.tables[lengthField][q.states[lengthField]&511]
	b := q.in
	h := uint(0) // where the distance used last is among q.repeat
	for ; q.left > 0; q.left-- {
		v := bits.RotateLeft64(load64(in, uint(b)>>3), int(^b&7)+int(oe.extra()))
		code := oe.value() + int64(v&q.masks[oe.extra()])
		length, literals := uint(me.value()), uint(le.value())
		lengths := le + me
		if lengths&0xff00 != 0 {
			v = bits.RotateLeft64(v, int(me.extra()))
			length += uint(v & q.masks[me.extra()])
			v = bits.RotateLeft64((b - backward((oe + me).extra())).peek(in), int(le.extra()))
			literals += uint(v & q.masks[le.extra()])
		}
		q.last = lengths + oe
		b -= backward(q.last.extra() + q.last.bits())
		v = bits.RotateLeft64(v, int(le))
		le = q.tables[literalsField][(le.next()+uint(v&q.masks[le.bits()]))&511]
		v = bits.RotateLeft64(v, int(me))
		me = q.tables[lengthField][(me.next()+uint(v&q.masks[me.bits()]))&511]
		v = bits.RotateLeft64(v, int(oe))
		oe = q.tables[offsetField][(oe.next()+uint(v&q.masks[oe.bits()]))&511]

		distance := uint(q.repeat[h&15])
		if k := 2*code + int64((uint64(literals)-1)>>63); uint64(k+3) < 5 {
			h = q.recall(h, k)
			distance = uint(q.repeat[h&15])
		} else {
			fresh := -code >> 63 // all bits or none
			distance ^= (distance ^ uint(code)) & uint(fresh)
			h += uint(fresh)
			q.repeat[h&15] = uint32(distance)
		}
		end := op + literals + length
		if end > q.limit {
			return 0, 0, errLong
		}
		out.copyWords(op, q.from, at)
		for k := uint(32); k < literals; k += 32 {
			out.copyWords(op+k, q.from, at+k)
		}
		op += literals
		at += literals
		if distance-1 >= op { // or zero
			return 0, 0, errDistance
		}
		to := op
		op = end
		if distance >= 8 {
			out.copyWords(to, out, to-distance)
			to += 32
		} else {
			v, step := spread(load64(out, to-distance), distance), spreads[distance&7].step
			out.store4(to, step, v)
			distance = 4 * step
			to += distance
		}
		if to < end {
			if distance < 16 {
				distance *= 2 // the pattern is there twice
			}
			for ; to < end; to += 16 {
				out.copy16(to, to-distance)
			}
		}
	}
	q.repeat[0], q.repeat[1], q.repeat[2] = q.repeat[h&15], q.repeat[(h+1)&15], q.repeat[(h+2)&15]
	q.in = b
	return op, at, nil
}

// recall puts the distance that a code of at most 0 stands for to the begin of those used last, and
// returns where that is. By k, which is twice the code, and 1 more behind no literals, it is the
// second at -3 and -2, the third at -1 and 0, and one less than the first at 1 (RFC 8878, 3.1.1.5).
func (q *sequences) recall(h uint, k int64) uint {
	d := q.repeat[(h+uint(k+5)>>1)&15]
	if k > 0 {
		d = q.repeat[h&15] - 1
		h--
	} else {
		if k >= -1 {
			q.repeat[(h+2)&15] = q.repeat[(h+1)&15]
		}
		q.repeat[(h+1)&15] = q.repeat[h&15]
	}
	q.repeat[h&15] = d
	return h
}
