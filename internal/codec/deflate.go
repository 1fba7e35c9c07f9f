package codec

import (
	"encoding/binary"
	"math/bits"
)

// deflater codes pages as zlib streams of one DEFLATE block each.
type deflater struct {
	search    matchTable
	sequences [maxPage/deflateMinMatch + 1]sequence
	found     []sequence

	dynamic blockCodes
	fixed   blockCodes
	order   prefixCode // of the lengths of the dynamic codes
	lengths lengthRuns
	builder codeBuilder
}

// blockCodes are the codes of a block's symbols.
type blockCodes struct {
	litLens   prefixCode
	distances prefixCode
}

func newDeflater() *deflater {
	s := new(deflater)
	for i := range s.fixed.litLens.length[:litLenSymbols] {
		s.fixed.litLens.length[i] = fixedLength(i)
	}
	for i := range s.fixed.distances.length[:distanceSymbols] {
		s.fixed.distances.length[i] = 5
	}
	s.fixed.litLens.assign(litLenSymbols)
	s.fixed.distances.assign(distanceSymbols)
	return s
}

// page codes the page of end bytes in w.in into w.out, and returns how many bytes that
// takes; 0 if it is not less.
func (s *deflater) page(w *windows, end uint) uint {
	s.found = s.search.sequences(s.sequences[:0], &w.in, end)
	s.count(&w.in)
	dynamic, fixed := s.dynamicBits(), s.fixedBits()
	size := zlibHeader + (min(dynamic, fixed)+7)/8 + zlibTrailer
	if size >= end {
		return 0
	}
	binary.BigEndian.PutUint16(w.out[:], zlibFastest)
	out := bitWriter{at: zlibHeader}
	if dynamic < fixed {
		out = s.writeCodes(out.put(1|2<<1, 3), &w.out)
		s.writeSymbols(out, w, &s.dynamic)
	} else {
		s.writeSymbols(out.put(1|1<<1, 3), w, &s.fixed)
	}
	binary.BigEndian.PutUint32(w.out[size-zlibTrailer:], adler32(w.in[:end]))
	return size
}

// zlibFastest is the header of a stream with a window of 32 KiB, coded as fast as possible.
const zlibFastest = 0x7801

// count counts the symbols of the page.
func (s *deflater) count(in *window) {
	clear(s.dynamic.litLens.count[:])
	clear(s.dynamic.distances.count[:])
	at := uint(0)
	for _, q := range s.found {
		for end := at + uint(q.literals); at < end; at++ {
			s.dynamic.litLens.count[in[at&windowMask]]++
		}
		if q.length != 0 {
			length, _ := lengthSymbol(uint(q.length))
			s.dynamic.litLens.count[length&511]++
			distance, _ := distanceSymbol(uint(q.distance))
			s.dynamic.distances.count[distance&511]++
			at += uint(q.length)
		}
	}
	s.dynamic.litLens.count[endOfBlock]++
}

const endOfBlock = 256

// lengthSymbol is the symbol of a match's length, and how many bits follow it (RFC 1951,
// 3.2.5).
func lengthSymbol(length uint) (symbol, extra uint) {
	if length == 258 {
		return 285, 0
	}
	x := length - 3
	if x < 8 {
		return 257 + x, 0
	}
	extra = uint(bits.Len(x)) - 3
	return 257 + 4*extra + x>>extra, extra
}

// distanceSymbol is the symbol of a distance, and how many bits follow it.
func distanceSymbol(distance uint) (symbol, extra uint) {
	x := distance - 1
	if x < 4 {
		return x, 0
	}
	extra = uint(bits.Len(x)) - 2
	return 2*extra + x>>extra, extra
}

// extraBits are those behind the symbols of all matches, whatever the codes are.
func (s *deflater) extraBits() uint {
	n := uint(0)
	for i, count := range s.dynamic.litLens.count[265:285] {
		n += uint(count) * (uint(i)/4 + 1)
	}
	for i, count := range s.dynamic.distances.count[4:30] {
		n += uint(count) * (uint(i)/2 + 1)
	}
	return n
}

// fixedBits is the size of the block in the fixed codes (RFC 1951, 3.2.6).
func (s *deflater) fixedBits() uint {
	n := 3 + s.extraBits()
	for i, count := range s.dynamic.litLens.count[:litLenSymbols] {
		n += uint(count) * uint(fixedLength(i))
	}
	for _, count := range s.dynamic.distances.count[:distanceSymbols] {
		n += uint(count) * 5
	}
	return n
}

// fixedLength is the length of a literal's or length's fixed code.
func fixedLength(symbol int) uint8 {
	switch {
	case symbol >= 256 && symbol < 280:
		return 7
	case symbol >= 144 && symbol < 256:
		return 9
	}
	return 8
}

// dynamicBits builds codes for the page, and is the size of the block in them.
func (s *deflater) dynamicBits() uint {
	s.builder.build(&s.dynamic.litLens, litLenSymbols-2, 14)
	s.builder.build(&s.dynamic.distances, distanceSymbols-2, 15)
	s.lengths.find(&s.dynamic.litLens, &s.dynamic.distances, &s.order)
	s.builder.build(&s.order, lengthSymbols, 7)
	n := 3 + s.extraBits() + s.lengths.bits(&s.order)
	return n + s.dynamic.litLens.bits(litLenSymbols) + s.dynamic.distances.bits(distanceSymbols)
}
