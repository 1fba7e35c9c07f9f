package codec

import (
	"encoding/binary"
	"math/bits"
)

// The three numbers of a sequence, in the order in which their tables are described.
const (
	literalsField = iota
	offsetField
	lengthField
)

// batch is how many sequences are read before they are carried out.
const batch = 512

// zstdSequence is so many literals and then a match.
type zstdSequence struct{ literals, length, code uint32 }

// sequences decodes the sequences section of a block (RFC 8878, 3.1.1.3.2). Between blocks
// it keeps their tables and the distances used last.
type sequences struct {
	in     backward
	states [3]uint
	repeat [3]uint32
	batch  [batch]zstdSequence
	masks  [256]uint64 // of as many bits as their indices say, up to 63

	kept    bool // the fields' tables are those of a block
	fields  [3]field
	numbers fse
}

// reset forgets what was before a frame.
func (q *sequences) reset() {
	q.kept = false
	q.repeat = [3]uint32{1, 4, 8}
}

// decode decodes the section between at and end with the literals of the block into w.out,
// from op on and before limit. It returns where the block ends there.
func (q *sequences) decode(w *windows, l *literals, at, end, op, limit uint) (uint, error) {
	n, at, err := q.count(&w.in, at, end)
	if err != nil {
		return 0, err
	}
	if n != 0 {
		if at, err = q.tables(&w.in, at, end); err != nil {
			return 0, err
		}
		if err := q.open(&w.in, at, end); err != nil {
			return 0, err
		}
	}
	for n > 0 {
		k := min(n, batch)
		n -= k
		last := q.read(&w.in, k)
		if n == 0 && q.in.left(at)+int(last) != 0 { // the last one has no states behind it
			return 0, errEndMark
		}
		if op, err = q.run(w, l, k, op, limit); err != nil {
			return 0, err
		}
	}
	rest := l.end - l.at
	if rest > limit-op {
		return 0, errLong
	}
	copy(w.out[op:], l.from[l.at:l.end])
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

// tables reads the tables of the fields, by the modes of two bits each: 0 the usual table,
// 1 one symbol, 2 a table that is described, 3 that of the block before.
func (q *sequences) tables(in *window, at, end uint) (uint, error) {
	modes := in[at&windowMask]
	at++
	if modes&3 != 0 {
		return 0, errReserved
	}
	for i := range q.fields {
		f := &q.fields[i]
		switch modes >> (6 - 2*i) & 3 {
		case 0:
			copy(f.table[:64], f.usual[:])
			f.log = f.usualLog
		case 1:
			symbol := in[at&windowMask]
			at++
			if uint(symbol) >= f.size {
				return 0, errSymbol
			}
			f.table[0], f.log = f.symbols[symbol], 0
		case 2:
			var err error
			if at, err = q.numbers.readCounts(in, at, end, f.size, f.maxLog); err != nil {
				return 0, err
			}
			q.numbers.build(&f.table, &f.symbols)
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
		q.states[i] = uint(v & q.masks[uint8(q.fields[i].log)])
	}
	return nil
}

// read reads n sequences with the states behind them, and returns how many bits the last
// of these take.
//
// A distance has at most 31 extra bits and the three states 26, which is what a look at the
// stream is sure to show. Most lengths have no extra bits; those that have look again.
func (q *sequences) read(in *window, n uint) (last uint8) {
	ls, os, ms := q.states[literalsField], q.states[offsetField], q.states[lengthField]
	b := q.in
	var sum fseEntry
	for i := range q.batch[:n] {
		le := q.fields[literalsField].table[ls&511]
		oe := q.fields[offsetField].table[os&511]
		me := q.fields[lengthField].table[ms&511]
		s := &q.batch[i]
		v := bits.RotateLeft64(load64(in, uint(b)>>3), int(^b&7)+int(oe.extra()))
		s.code = oe.value() + uint32(v&q.masks[oe.extra()])
		s.length, s.literals = me.value(), le.value()
		if (me|le)&0xff00 != 0 {
			v = bits.RotateLeft64(v, int(me.extra()))
			s.length += uint32(v & q.masks[me.extra()])
			v = bits.RotateLeft64((b - backward((oe + me).extra())).peek(in), int(le.extra()))
			s.literals += uint32(v & q.masks[le.extra()])
		}
		sum = le + me + oe
		b -= backward(sum.extra() + sum.bits())
		v = bits.RotateLeft64(v, int(le))
		ls = le.next() + uint(v&q.masks[le.bits()])
		v = bits.RotateLeft64(v, int(me))
		ms = me.next() + uint(v&q.masks[me.bits()])
		v = bits.RotateLeft64(v, int(oe))
		os = oe.next() + uint(v&q.masks[oe.bits()])
	}
	q.states = [3]uint{literalsField: ls, offsetField: os, lengthField: ms}
	q.in = b
	return sum.bits()
}

// run carries out n sequences, and returns where the page then ends, before limit.
//
// Codes 1 to 3 are the distances used last, 1 to 3 behind no literals the second, the third and one
// less than the first; all others are 3 more than a distance (RFC 8878, 3.1.1.5). Which of them
// comes is not to be foreseen, so the distance is looked up without a branch: at k, which is 3 for
// a distance that is none of the last ones. All but k are then moved on by one place.
func (q *sequences) run(w *windows, l *literals, n, op, limit uint) (uint, error) {
	out, from, at := &w.out, l.from, l.at
	last := [4]uint32{q.repeat[0], q.repeat[1], q.repeat[2], 0}
	for i := range q.batch[:n] {
		s := &q.batch[i]
		code := uint64(s.code) - 1
		fresh := uint64(int64(2-code) >> 63) // all bits or none
		k := (code + (uint64(s.literals)-1)>>63 | fresh) & 3
		last[3] = last[0] - 1
		d := last[k]&^uint32(fresh) | uint32((code-2)&fresh)
		last[0], last[1], last[2] = d, last[(k-1)>>63], last[(2-k>>1)&3]
		literals := uint(s.literals)
		end := op + literals + uint(s.length)
		if end > limit {
			return 0, errLong
		}
		copy32(out, op, from, at)
		for k := uint(32); k < literals; k += 32 {
			copy32(out, op+k, from, at+k)
		}
		op += literals
		at += literals
		distance := uint(d)
		if distance-1 >= op { // or zero
			return 0, errDistance
		}
		to := op
		op = end
		if distance >= 8 {
			out.copyWords(to, to-distance)
			to += 32
		} else {
			v, step := spread(load64(out, to-distance), distance), spreads[distance&7].step
			d := (*[40]byte)(out[to&windowMask:])
			binary.LittleEndian.PutUint64(d[:], v)
			binary.LittleEndian.PutUint64(d[step&15:], v)
			binary.LittleEndian.PutUint64(d[2*step&31:], v)
			binary.LittleEndian.PutUint64(d[3*step&31:], v)
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
	q.repeat = [3]uint32{last[0], last[1], last[2]}
	if at > l.end {
		return 0, errCut
	}
	l.at = at
	return op, nil
}
