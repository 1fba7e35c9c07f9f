package codec

import "encoding/binary"

const (
	// maxPage is the largest page that this package decodes itself: no kernel of a machine
	// that writes dumps has larger ones. See large.go for what is larger.
	maxPage = 64 << 10

	// maxCoded bounds the coded form of such a page. The writers store a page raw when
	// coding does not shrink it.
	maxCoded = 64 << 10

	windowMask  = 64<<10 - 1
	windowSlack = 320
)

// window is memory that positions in a page or in its coded form index after a mask.
//
//	0                     len                 windowMask+1
//	| page or coded page  | slack or old bytes | windowSlack |
//
// An index of at most windowMask and an access of at most windowSlack bytes need no bounds
// check, and the compiler sees that; a position that damage made wrong reads or writes
// nothing else than the decoder's own memory. The decoders therefore look at positions
// once a turn and not once an access, and copy more than they need to, in whole words.
// A mask of 16 bits is free, and the end of a page of 64 KiB is position 0 to it: nothing
// is written there but by a stream that is too long.
type window [windowMask + 1 + windowSlack]byte

// windows hold a coded page and the page it becomes.
type windows struct {
	in, out window
}

// load takes in a coded page, with zeroes behind it: what a decoder looks at after the
// end is the same each time. It may stand in its place already.
func (w *windows) load(src []byte) {
	n := min(len(src), maxCoded)
	if n > 0 && &src[0] != &w.in[0] {
		copy(w.in[:], src[:n])
	}
	clear(w.in[n : n+windowSlack])
}

func load32(w *window, at uint) uint32 { return binary.LittleEndian.Uint32(w[at&windowMask:]) }

func load64(w *window, at uint) uint64 { return binary.LittleEndian.Uint64(w[at&windowMask:]) }

func store64(w *window, at uint, v uint64) {
	binary.LittleEndian.PutUint64(w[at&windowMask:], v)
}

// copy32 copies 16 bytes and then the 16 behind them, which the first may have changed.
func copy32(dst *window, to uint, src *window, from uint) {
	d, s := (*[32]byte)(dst[to&windowMask:]), (*[32]byte)(src[from&windowMask:])
	*(*[16]byte)(d[:16]) = *(*[16]byte)(s[:16])
	*(*[16]byte)(d[16:]) = *(*[16]byte)(s[16:])
}

// copyWords copies four words from a window, one after the other: what a distance of 8 and more
// repeats in the same window is right.
func (w *window) copyWords(to uint, src *window, from uint) {
	d, s := (*[32]byte)(w[to&windowMask:]), (*[32]byte)(src[from&windowMask:])
	*(*[8]byte)(d[:8]) = *(*[8]byte)(s[:8])
	*(*[8]byte)(d[8:16]) = *(*[8]byte)(s[8:16])
	*(*[8]byte)(d[16:24]) = *(*[8]byte)(s[16:24])
	*(*[8]byte)(d[24:]) = *(*[8]byte)(s[24:])
}

// copy16 copies 16 bytes within a window.
func (w *window) copy16(to, from uint) {
	*(*[16]byte)(w[to&windowMask:]) = *(*[16]byte)(w[from&windowMask:])
}

// spreads tell how a pattern of 1 to 7 bytes, by its length, fills words: the factor that
// repeats it over eight bytes, and how many of those are whole repetitions.
var spreads = [8]struct {
	times uint64
	step  uint
}{
	1: {1 | 1<<8 | 1<<16 | 1<<24 | 1<<32 | 1<<40 | 1<<48 | 1<<56, 8},
	2: {1 | 1<<16 | 1<<32 | 1<<48, 8},
	3: {1 | 1<<24 | 1<<48, 6},
	4: {1 | 1<<32, 8},
	5: {1 | 1<<40, 5},
	6: {1 | 1<<48, 6},
	7: {1 | 1<<56, 7},
}

// spread repeats the lowest bytes of v, as many as distance, which is 1 to 7, over all eight.
func spread(v uint64, distance uint) uint64 {
	cut := -distance * 8 & 63
	return v << cut >> cut * spreads[distance&7].times
}

// store4 stores v four times, each a step of at most 8 behind the one before.
func (w *window) store4(to, step uint, v uint64) {
	d := (*[40]byte)(w[to&windowMask:])
	binary.LittleEndian.PutUint64(d[:], v)
	binary.LittleEndian.PutUint64(d[step&15:], v)
	binary.LittleEndian.PutUint64(d[2*step&31:], v)
	binary.LittleEndian.PutUint64(d[3*step&31:], v)
}
