package codec

import "encoding/binary"

const (
	// maxPage is the largest page that this package decodes itself: no kernel of a machine
	// that writes dumps has larger ones. See large.go for what is larger.
	maxPage = 64 << 10

	// maxCoded bounds the coded form of such a page. The writers store a page raw when
	// coding does not shrink it.
	maxCoded = 128 << 10

	windowMask  = 128<<10 - 1
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
type window [windowMask + 1 + windowSlack]byte

// windows hold a coded page and the page it becomes.
type windows struct {
	in, out window
}

// load takes in a coded page, with zeroes behind it: what a decoder looks at after the
// end is the same each time.
func (w *windows) load(src []byte) {
	n := copy(w.in[:maxCoded], src)
	clear(w.in[n : n+windowSlack])
}

func load32(w *window, at uint) uint32 { return binary.LittleEndian.Uint32(w[at&windowMask:]) }

func load64(w *window, at uint) uint64 { return binary.LittleEndian.Uint64(w[at&windowMask:]) }

func store32(w *window, at uint, v uint32) {
	binary.LittleEndian.PutUint32(w[at&windowMask:], v)
}

func store64(w *window, at uint, v uint64) {
	binary.LittleEndian.PutUint64(w[at&windowMask:], v)
}

// copy16 copies 16 bytes, as they are before it.
func copy16(dst *window, to uint, src *window, from uint) {
	*(*[16]byte)(dst[to&windowMask:]) = *(*[16]byte)(src[from&windowMask:])
}

// copy32 copies 16 bytes and then the 16 behind them, which the first may have changed.
func copy32(dst *window, to uint, src *window, from uint) {
	d, s := (*[32]byte)(dst[to&windowMask:]), (*[32]byte)(src[from&windowMask:])
	*(*[16]byte)(d[:16]) = *(*[16]byte)(s[:16])
	*(*[16]byte)(d[16:]) = *(*[16]byte)(s[16:])
}

// match copies n bytes from distance back, and up to 32 behind them.
func (w *windows) match(to, distance, n uint) {
	if distance < 16 {
		w.out.repeat(to, distance, n)
		return
	}
	end := to + n
	copy32(&w.out, to, &w.out, to-distance)
	for to += 32; to < end; to += 16 {
		copy16(&w.out, to, &w.out, to-distance)
	}
}

// eachByte times a byte has it in each of eight bytes.
const eachByte = 0x0101010101010101

// repeat writes n bytes at to, each equal to the one distance before it, with a distance of
// at most 15: the source runs into what is written. Up to 16 bytes behind are overwritten.
func (w *window) repeat(to, distance, n uint) {
	end := to + n
	if distance == 1 {
		v := uint64(w[(to-1)&windowMask]) * eachByte
		for ; to < end; to += 8 {
			store64(w, to, v)
		}
		return
	}
	step := min(distance, 8) // what of the 8 bytes is known to be right
	for ; to < end; to += step {
		store64(w, to, load64(w, to-distance))
	}
}
