package codec

// bitReader takes bits from a window, the lowest of each byte first (RFC 1951, 3.1.1).
//
//	           count                 what the next load brings again
//	| sure bits | right bits, or zero |        pending, from the lowest on
//
// Only the lowest six bits of count are looked at, so that an entry is subtracted as a
// whole. It is a value, and its methods return the next one: the compiler keeps it in
// registers.
type bitReader struct {
	pending uint64
	at      uint // the next byte to load
	count   uint32
}

// refill makes at least 56 bits sure, without a branch.
func (b bitReader) refill(in *window) bitReader {
	b.pending |= load64(in, b.at) << (b.count & 63)
	b.at += uint(^b.count >> 3 & 7)
	b.count |= 56
	return b
}

// drop takes the bits of an entry.
func (b bitReader) drop(e entry) bitReader {
	b.pending >>= e & entryDrop
	b.count -= uint32(e)
	return b
}

// behind is the offset of the first byte of which no bit was taken.
func (b bitReader) behind() uint { return b.at - uint(b.count>>3&7) }
