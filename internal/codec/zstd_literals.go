package codec

import "math/bits"

// literals are those of a block; sequences take them in order.
type literals struct {
	from    *window // where they stand: in the coded page, or in decoded
	at, end uint

	decoded window
	tree    huffmanTree
}

// read reads the literals section between at and end, of at most room literals, and returns
// the offset behind it (RFC 8878, 3.1.1.3.1). It begins with the type in two bits and the
// form of sizes in two more:
//
//	type 0, 1   form 0, 2  type 2 | 1 bit | size 5     1  size 12      3  size 20
//	type 2, 3   form 0, 1  size 10 | coded size 10     2  14 and 14    3  18 and 18
//
// and then has, by the type, 0 the literals, 1 one that stands for all, 2 a Huffman tree and
// codes in it, or 3 codes in the tree of the block before. Of the codes there is one stream
// in form 0, else four.
func (l *literals) read(in *window, at, end, room uint) (uint, error) {
	if at+2 > end {
		return 0, errCut
	}
	head := uint(load64(in, at))
	kind, form := head&3, head>>2&3
	if kind >= 2 {
		if at+5 > end {
			return 0, errCut
		}
		width := [4]uint{10, 10, 14, 18}[form]
		size, coded := head>>4&(1<<width-1), head>>(4+width)&(1<<width-1)
		at += [4]uint{3, 3, 4, 5}[form]
		if size > room {
			return 0, errLong
		}
		if coded > end-at {
			return 0, errCut
		}
		return at + coded, l.huffman(in, kind == 2, form != 0, at, at+coded, size)
	}
	size := head >> 4 & (1<<20 - 1)
	switch form {
	case 0, 2:
		size = head >> 3 & 31
		at++
	case 1:
		size &= 1<<12 - 1
		at += 2
	case 3:
		at += 3
	}
	if size > room {
		return 0, errLong
	}
	if kind == 0 {
		l.from, l.at, l.end = in, at, at+size
		at += size
	} else {
		fill(l.decoded[:size], in[at&windowMask])
		l.from, l.at, l.end = &l.decoded, 0, size
		at++
	}
	if at > end {
		return 0, errCut
	}
	return at, nil
}

// huffman decodes size literals from between at and end, which begins with a tree if
// withTree, and holds four streams or one.
func (l *literals) huffman(in *window, withTree, four bool, at, end, size uint) (err error) {
	if withTree {
		if at, err = l.tree.read(in, at, end); err != nil {
			return err
		}
	}
	if l.tree.log == 0 {
		return errNoTable
	}
	l.from, l.at, l.end = &l.decoded, 0, size
	if four {
		return l.fourStreams(in, at, end, size)
	}
	s, err := openBackward(in, at, end)
	if err != nil {
		return err
	}
	return l.stream(in, s, at, 0, size)
}

// stream decodes the codes that are left in s, whose first byte is at begin, into literals
// op to end. The stream's last bit is the last code's.
func (l *literals) stream(in *window, s backward, begin, op, end uint) error {
	t, shift := &l.tree, 64-l.tree.log
	for op+4 <= end { // four codes are at most 48 bits
		v := s.peek(in)
		d := (*[8]byte)(l.decoded[op&windowMask:])
		for k := range 4 {
			code := v >> (shift & 63) & (1<<maxLog - 1)
			d[k] = t.tables[codeSymbol][code]
			v <<= t.tables[codeBits][code] & 63
			s -= backward(t.tables[codeBits][code])
		}
		op += 4
	}
	for v := s.peek(in); op < end; op++ {
		code := v >> (shift & 63) & (1<<maxLog - 1)
		l.decoded[op&windowMask] = t.tables[codeSymbol][code]
		v <<= t.tables[codeBits][code] & 63
		s -= backward(t.tables[codeBits][code])
	}
	if s.left(begin) != 0 {
		return errEndMark
	}
	return nil
}

// fourStreams decodes four streams, which lie in a row behind the sizes of the first three.
// Each of these holds a quarter of the literals, rounded up.
func (l *literals) fourStreams(in *window, at, end, size uint) error {
	quarter := (size + 3) / 4
	if size < 6 || 3*quarter > size || at+6 > end {
		return errCut
	}
	sizes := load64(in, at)
	begin := [5]uint{at + 6, 0, 0, 0, end}
	for i := range 3 {
		begin[i+1] = begin[i] + uint(sizes>>(16*i))&0xffff
	}
	if begin[3] > end {
		return errCut
	}
	var s [4]backward
	for i := range s {
		var err error
		if s[i], err = openBackward(in, begin[i], begin[i+1]); err != nil {
			return err
		}
	}
	done := l.inTurns(in, &s, quarter, size-3*quarter)
	for i := range s {
		op := uint(i) * quarter
		if err := l.stream(in, s[i], begin[i], op+done, min(op+quarter, size)); err != nil {
			return err
		}
	}
	return nil
}

// inTurnsGo decodes about n literals of each of the four streams, whose literals stand quarter
// apart, and returns how many it did. The streams do not wait for each other: the processor
// looks codes up in the next ones while one waits for its table.
//
// A stream's bits are shifted out to the left, behind them a mark: where the mark stands
// tells how many bits are gone. Five codes of at most 11 bits are done between refills.
func (l *literals) inTurnsGo(in *window, s *[4]backward, quarter, n uint) uint {
	t := &l.tree
	if t.log != usualLog {
		return 0
	}
	var marked [4]uint64
	var at [4]uint
	for i := range s {
		at[i] = uint(s[i]) >> 3
		marked[i] = (load64(in, uint(s[i])>>3) | 1) << (^s[i] & 7)
	}
	op := uint(0)
	for ; op+5 <= n; op += 5 {
		to := op
		for i := range marked {
			v, d := marked[i], (*[8]byte)(l.decoded[to&windowMask:])
			to += quarter
			d[0] = t.tables[codeSymbol][v>>(64-usualLog)]
			v <<= t.tables[codeBits][v>>(64-usualLog)] & 63
			d[1] = t.tables[codeSymbol][v>>(64-usualLog)]
			v <<= t.tables[codeBits][v>>(64-usualLog)] & 63
			d[2] = t.tables[codeSymbol][v>>(64-usualLog)]
			v <<= t.tables[codeBits][v>>(64-usualLog)] & 63
			d[3] = t.tables[codeSymbol][v>>(64-usualLog)]
			v <<= t.tables[codeBits][v>>(64-usualLog)] & 63
			d[4] = t.tables[codeSymbol][v>>(64-usualLog)]
			v <<= t.tables[codeBits][v>>(64-usualLog)] & 63
			at[i] -= uint(bits.TrailingZeros64(v)) >> 3
			marked[i] = (load64(in, at[i]) | 1) << (bits.TrailingZeros64(v) & 7)
		}
	}
	for i := range s {
		s[i] = backward(at[i]*8 + 7 - uint(bits.TrailingZeros64(marked[i])))
	}
	return op
}
