package codec

import (
	"errors"
)

// Reasons why a page is damaged.
var (
	errCut       = errors.New("the stream ends too early")
	errTrailing  = errors.New("bytes behind the end of the stream")
	errLong      = errors.New("more bytes than the page has")
	errShort     = errors.New("fewer bytes than the page has")
	errDistance  = errors.New("a distance beyond the page's begin")
	errBlockType = errors.New("a block of type 3")
	errStored    = errors.New("a stored block's length contradicts its complement")
	errCodes     = errors.New("code lengths that make no code")
	errSymbol    = errors.New("bits that are no code")
)

// inflater decodes DEFLATE streams (RFC 1951) that hold one page: blocks of
//
//	| final 1 | type 2 |        then, by the type,
//	00  to the next byte; | length 16 | its complement 16 | bytes |
//	01  symbols in the fixed codes
//	10  | litLen-257 5 | distances-1 5 | lengths-4 4 | 3 bits each | the codes' lengths | symbols
type inflater struct {
	in   bitReader
	end  uint // the coded page's length
	op   uint // bytes of the page so far
	size uint // bytes of the page

	huffman huffman
	codes   [512 + 8]coded // of up to 286 literals and lengths, and 30 distances
	order   [1 << lengthBits]entry
	dynamic codeTables
	fixed   codeTables
	symbols symbolTables
}

// codeTables decode the symbols of a block. Complete codes of these alphabets ask for at
// most 2,342 and 402 entries.
type codeTables struct {
	litLen   [4096]entry
	distance [512]entry
}

// newInflater makes the tables that all pages share.
func newInflater() *inflater {
	s := new(inflater)
	s.symbols.fill()
	var litLens [litLenSymbols]coded
	for i := range litLens {
		litLens[i] = coded(i<<4) | coded(fixedLength(i))
	}
	var distances [distanceSymbols]coded
	for i := range distances {
		distances[i] = coded(i<<4 | 5)
	}
	_ = s.huffman.build(s.fixed.litLen[:], s.symbols.litLens(), litLens[:]) // complete codes both
	_ = s.huffman.build(s.fixed.distance[:], s.symbols.distances(), distances[:])
	return s
}

// page decodes the stream that stands in w.in between at and end into w.out. It returns
// the offset behind the stream and how many bytes it holds, which are at most size.
func (s *inflater) page(w *windows, at, end, size int) (behind, n int, err error) {
	s.in, s.end = bitReader{at: uint(at)}, uint(end)
	s.op, s.size = 0, uint(size)
	for final := false; !final; {
		header := s.take(w, 3)
		final = header&1 != 0
		if err := s.block(w, header>>1); err != nil {
			return 0, 0, err
		}
		if s.in.behind() > s.end {
			return 0, 0, errCut
		}
	}
	return int(s.in.behind()), int(s.op), nil
}

func (s *inflater) block(w *windows, kind uint64) error {
	switch kind {
	case 0:
		return s.stored(w)
	case 1:
		return s.decode(w, &s.fixed)
	case 2:
		if err := s.readCodes(w); err != nil {
			return err
		}
		return s.decode(w, &s.dynamic)
	}
	return errBlockType
}

// take takes n bits, at most 56.
func (s *inflater) take(w *windows, n uint) uint64 {
	s.in = s.in.refill(&w.in)
	v := s.in.pending & (1<<n - 1)
	s.in = s.in.drop(entry(n))
	return v
}

// stored copies a block that was not coded (RFC 1951, 3.2.4).
func (s *inflater) stored(w *windows) error {
	at := s.in.behind()
	head := load32(&w.in, at)
	n := uint(head & 0xffff)
	at += 4
	switch {
	case at > s.end:
		return errCut
	case head>>16 != ^head&0xffff:
		return errStored
	case at+n > s.end:
		return errCut
	case s.op+n > s.size:
		return errLong
	}
	copy(w.out[s.op:], w.in[at:at+n])
	s.in = bitReader{at: at + n}
	s.op += n
	return nil
}

// readCodes reads a block's codes (RFC 1951, 3.2.7): the lengths of a code for code
// lengths, then in that code the lengths of the other two.
func (s *inflater) readCodes(w *windows) error {
	litLens, distances, n := uint(s.take(w, 5))+257, uint(s.take(w, 5))+1, uint(s.take(w, 4))+4
	if litLens > 286 || distances > 30 {
		return errCodes
	}
	if err := s.readOrder(w, n); err != nil {
		return err
	}
	end, err := s.readLengths(w, litLens+distances)
	if err != nil {
		return err
	}
	begin := end // of the distances' codes
	for ; begin > 0 && s.codes[(begin-1)&511] >= coded(litLens<<4); begin-- {
		s.codes[(begin-1)&511] -= coded(litLens << 4)
	}
	if err := s.huffman.build(s.dynamic.litLen[:], s.symbols.litLens(), s.codes[:begin]); err != nil {
		return err
	}
	return s.huffman.build(s.dynamic.distance[:], s.symbols.distances(), s.codes[begin:end])
}

// readOrder reads the first n lengths of the code for code lengths, in their own order.
func (s *inflater) readOrder(w *windows, n uint) error {
	order := [lengthSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var lengths [32]uint8
	head := s.take(w, 3*4) // as many as there are always
	rest := s.take(w, 3*(n-4))
	for i, symbol := range order {
		if i < 4 {
			lengths[symbol&31] = uint8(head>>(3*i)) & 7
		} else {
			lengths[symbol&31] = uint8(rest>>(3*(i-4))) & 7
		}
	}
	var codes [32]coded
	used := 0
	for i, n := range lengths[:lengthSymbols] {
		codes[used&31] = coded(i<<4) | coded(n)
		if n != 0 {
			used++
		}
	}
	return s.huffman.build(s.order[:], s.symbols.lengths(), codes[:used&31])
}

// readLengths reads n code lengths, and returns how many of them are not zero: those stand
// in s.codes. Each symbol is a run of one length: 0 to 15 of themselves, 16 of the last one,
// 17 and 18 of zeroes. All are written as runs of six, and what is too much is written over,
// since a branch would cost more. The next symbol is looked up before bits are loaded: it
// does not wait for those.
func (s *inflater) readLengths(w *windows, n uint) (end uint, err error) {
	in := s.in.refill(&w.in)
	e := s.order[in.pending&(1<<lengthBits-1)]
	if e&entryLiteral != 0 {
		return 0, errCodes
	}
	i, last := uint(0), uint(0)
	for i < n {
		if e&entryRare != 0 {
			return 0, errSymbol
		}
		rest := in.pending >> (e & entryDrop)
		run := e.base(in.pending, rest)
		repeat := e & entryLiteral
		next := s.order[rest&(1<<lengthBits-1)]
		in = in.refill(&w.in).drop(e)
		e = next
		length := run >> 8
		run &= 255
		if repeat != 0 {
			length = last
		}
		last = length
		c := coded(i<<4 | length)
		to := (*[6]coded)(s.codes[end&511:])
		to[0], to[1], to[2] = c, c+1<<4, c+2<<4
		to[3], to[4], to[5] = c+3<<4, c+4<<4, c+5<<4
		i += run
		if length == 0 {
			run = 0
		}
		end += run
	}
	if i > n {
		return 0, errCodes
	}
	s.in = in
	return end, nil
}
