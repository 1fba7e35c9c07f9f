package codec

import "encoding/binary"

// adlerModulus is the largest prime below 1<<16 (RFC 1950, 8.2).
const adlerModulus = 65521

// adler32 is the checksum of RFC 1950: in its low half 1 and the sum of all bytes, in its
// high half the sum of the low half after each byte, both modulo adlerModulus.
//
// It takes 32 bytes a step. The bytes of a word are added as four lanes of 16 bits, the
// even and the odd ones apart. A byte counts once for itself and each byte behind it:
//
//	in its word     even bytes 8, 6, 4, 2 times, odd ones 7, 5, 3, 1 times
//	in the step     8 times for each word behind its own
//	in the page     by the 32 times that the low half is taken at the step's begin
//
// The top lane of a product with a constant is a weighted sum of the lanes. No lane and no
// sum of up to maxPage bytes overflows, so the modulus waits for the end.
func adler32(p []byte) uint32 {
	const (
		lanes = 0x00ff00ff00ff00ff
		evens = 8<<48 | 6<<32 | 4<<16 | 2 // the lowest lane has the first byte and gets 8
		odds  = 7<<48 | 5<<32 | 3<<16 | 1
		ones  = 1<<48 | 1<<32 | 1<<16 | 1
	)
	low, high := uint64(1), uint64(0)
	for ; len(p) >= 32; p = p[32:] {
		a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		c, d := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		a0, b0, c0, d0 := a&lanes, b&lanes, c&lanes, d&lanes
		a1, b1, c1, d1 := a>>8&lanes, b>>8&lanes, c>>8&lanes, d>>8&lanes
		even, odd := a0+b0+c0+d0, a1+b1+c1+d1
		before := 3*(a0+a1) + 2*(b0+b1) + (c0 + c1)
		high += 32*low + even*evens>>48 + odd*odds>>48 + 8*(before*ones>>48)
		low += (even + odd) * ones >> 48
	}
	for _, c := range p {
		low += uint64(c)
		high += low
	}
	return uint32(high%adlerModulus<<16 | low%adlerModulus)
}
