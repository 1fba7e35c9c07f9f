package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Reasons why a page is damaged.
var (
	errCut       = errors.New("the stream ends too early")
	errTrailing  = errors.New("bytes behind the end of the stream")
	errLong      = errors.New("more bytes than the page has")
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
	lengths [512 + 8]uint8 // of the codes of up to 286 literals and lengths, and 30 distances
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
	var lengths [litLenSymbols]uint8
	for i := range lengths {
		switch { // RFC 1951, 3.2.6
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	_ = s.huffman.build(s.fixed.litLen[:], s.symbols.litLens(), lengths[:]) // complete codes both
	_ = s.huffman.build(s.fixed.distance[:], s.symbols.distances(), bytes.Repeat([]byte{5}, distanceSymbols))
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

func (s *inflater) block(w *windows, kind uint) error {
	switch kind {
	case 0:
		return s.stored(w)
	case 1:
		return s.coded(w, &s.fixed)
	case 2:
		if err := s.readCodes(w); err != nil {
			return err
		}
		return s.coded(w, &s.dynamic)
	}
	return errBlockType
}

// take takes n bits, at most 56.
func (s *inflater) take(w *windows, n uint) uint {
	s.in = s.in.refill(&w.in)
	v := uint(s.in.pending & (1<<n - 1))
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
	litLens, distances, n := s.take(w, 5)+257, s.take(w, 5)+1, s.take(w, 4)+4
	if litLens > 286 || distances > 30 {
		return errCodes
	}
	order := [lengthSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var lengths [lengthSymbols]uint8
	for _, symbol := range order[:n] {
		lengths[symbol] = uint8(s.take(w, 3))
	}
	if err := s.huffman.build(s.order[:], s.symbols.lengths(), lengths[:]); err != nil {
		return err
	}
	if err := s.readLengths(w, litLens+distances); err != nil {
		return err
	}
	if err := s.huffman.build(s.dynamic.litLen[:], s.symbols.litLens(), s.lengths[:litLens]); err != nil {
		return err
	}
	return s.huffman.build(s.dynamic.distance[:], s.symbols.distances(), s.lengths[litLens:litLens+distances])
}

// readLengths reads n code lengths: 0 to 15 stand for themselves, 16 repeats the last one,
// 17 and 18 are runs of zeroes.
func (s *inflater) readLengths(w *windows, n uint) error {
	clear(s.lengths[:])
	in, i := s.in, uint(0)
	for i < n {
		in = in.refill(&w.in)
		saved := in.pending
		e := s.order[in.pending&(1<<lengthBits-1)]
		in = in.drop(e)
		if e&entryLiteral != 0 {
			s.lengths[i&511] = uint8(e >> 16)
			i++
			continue
		}
		if e&entryRare != 0 {
			return errSymbol
		}
		run := e.base(saved)
		if e&entryEnd != 0 { // at most 6, with zeroes behind them as they are there already
			if i == 0 {
				return errCodes
			}
			same := uint64(s.lengths[(i-1)&511]) * eachByte & (1<<(run*8&63) - 1)
			binary.LittleEndian.PutUint64(s.lengths[i&511:], same)
		}
		i += run
	}
	if i > n {
		return errCodes
	}
	s.in = in
	return nil
}
