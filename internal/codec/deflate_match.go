package codec

import "math/bits"

const (
	deflateMinMatch = 4 // the format has 3, which seldom pay
	deflateMaxMatch = 258
	deflateDistance = 32 << 10
	matchBits       = 13
)

// hashFactor spreads four bytes over the highest bits of 32: it is 2^32 by the golden ratio.
const hashFactor = 0x9e3779b1

// matchTable tells where four bytes were last seen, and the time before, by their hash.
// What has not been seen is at the page's begin, where other bytes are found.
type matchTable [1 << matchBits][2]uint16

func (t *matchTable) place(v uint32) *[2]uint16 { return &t[v*hashFactor>>(32-matchBits)] }

// sequence is literals and the match behind them; length is 0 in the last one.
type sequence struct {
	literals uint32
	length   uint16
	distance uint16
}

// sequences appends what a page of end bytes is made of: at each position the longer of
// the two matches that the table knows, at once.
func (t *matchTable) sequences(to []sequence, in *window, end uint) []sequence {
	clear(t[:])
	run := uint(0)
	for at := uint(1); at+deflateMinMatch < end; {
		v := load32(in, at)
		place := t.place(v)
		first, second := uint(place[0]), uint(place[1])
		place[0], place[1] = uint16(at), uint16(first)
		n, from, most := uint(0), first, min(end, at+deflateMaxMatch)
		if load32(in, first) == v {
			n = matchLength(in, at, first, most)
		}
		if load32(in, second) == v {
			if m := matchLength(in, at, second, most); m > n {
				n, from = m, second
			}
		}
		if n == 0 || at-from > deflateDistance {
			at++
			continue
		}
		to = append(to, sequence{uint32(at - run), uint16(n), uint16(at - from)})
		run = at + n
		for at++; at < run; at++ {
			place := t.place(load32(in, at))
			place[0], place[1] = uint16(at), place[0]
		}
	}
	return append(to, sequence{literals: uint32(end - run)})
}

// matchLength is how many bytes at are those at from, up to end. Four are known to be. It
// may look behind end, but not far.
func matchLength(in *window, at, from, end uint) uint {
	n := uint(4)
	for {
		if diff := load64(in, at+n) ^ load64(in, from+n); diff != 0 {
			return min(n+uint(bits.TrailingZeros64(diff))/8, end-at)
		}
		if n += 8; at+n >= end {
			return end - at
		}
	}
}
