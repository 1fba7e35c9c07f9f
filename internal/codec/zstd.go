package codec

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// Reasons why a zstd frame is damaged, beside those of DEFLATE.
var (
	errFrame      = errors.New("no frame of zstd")
	errReserved   = errors.New("a reserved bit is set")
	errDictionary = errors.New("a frame that needs a dictionary")
	errContent    = errors.New("the frame's content is not as long as its header says")
	errChecksum   = errors.New("wrong checksum")
	errWindow     = errors.New("a window of more than 2 GiB")
	errBlockSize  = errors.New("a block larger than blocks of this frame may be")
	errNoTable    = errors.New("a block that uses a table of the block before, which has none")
)

const (
	frameMagic = 0xfd2fb528

	// skippableMagic and the fifteen numbers behind it begin a frame that holds no data.
	skippableMagic = 0x184d2a50

	// maxBlock bounds what a block holds (RFC 8878, 3.1.1.2.4).
	maxBlock = 128 << 10
)

// frameDecoder decodes zstd frames (RFC 8878, 3.1.1) that hold one page:
//
//	| magic 4 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | blocks | checksum 0 or 4 |
//
// and blocks of
//
//	| last 1 bit, type 2, size 21 |   type 0: the bytes; 1: a byte, size times; 2: see below
//	| literals section | sequences section |
//
// It accepts what libzstd 1.5.7 does, with two exceptions where that is laxer than the RFC:
// no block may hold more than the frame's blocks can, and a Huffman-coded stream ends with
// its last symbol's last bit.
type frameDecoder struct {
	at, end  uint // in the coded page: the next byte and the first behind
	op, size uint // bytes of the page so far, and in all
	maxBlock uint // what a block of this frame may hold

	literals  literals
	sequences sequences
}

// zstd decodes one frame. Skippable frames around it are passed over, as libzstd does.
func (d *Decoder) zstd(dst, src []byte) error {
	src, err := unskip(src)
	if err != nil {
		return damaged("zstd", err)
	}
	if !fits(dst, src) {
		return d.frames.decode(dst, src)
	}
	w := d.load(src)
	n, err := d.ownFrame().page(&w.in, &w.out, uint(len(src)), uint(len(dst)))
	if err != nil {
		return damaged("zstd", err)
	}
	if n != uint(len(dst)) {
		return wrongSize("zstd", int(n), len(dst))
	}
	copy(dst, w.out[:])
	return nil
}

// ownFrame is the decoder's state of zstd.
func (d *Decoder) ownFrame() *frameDecoder {
	if d.frame == nil {
		d.frame = newFrameDecoder()
	}
	return d.frame
}

func newFrameDecoder() *frameDecoder {
	f := new(frameDecoder)
	f.literals.tree.init()
	f.sequences.init()
	return f
}

// unskip returns src from the first frame on that is not skippable (RFC 8878, 3.1.2).
func unskip(src []byte) ([]byte, error) {
	for len(src) >= 8 && binary.LittleEndian.Uint32(src)&^15 == skippableMagic {
		n := uint64(binary.LittleEndian.Uint32(src[4:]))
		if n > uint64(len(src)-8) {
			return nil, errCut
		}
		src = src[8+n:]
	}
	return src, nil
}

// page decodes the frame of end bytes in in into out, and returns how many bytes it
// holds, which are at most size.
func (f *frameDecoder) page(in, out *window, end, size uint) (uint, error) {
	f.at, f.end = 0, end
	f.op, f.size = 0, size
	f.literals.tree.log = 0
	f.sequences.reset()
	content, checksum, err := f.header(in)
	if err != nil {
		return 0, err
	}
	for last := false; !last; {
		if last, err = f.block(in, out); err != nil {
			return 0, err
		}
	}
	if content != unknownContent && content != uint64(f.op) {
		return 0, errContent
	}
	if checksum {
		if f.at+4 > end {
			return 0, errCut
		}
		if load32(in, f.at) != uint32(xxh64(out[:f.op])) {
			return 0, errChecksum
		}
		f.at += 4
	}
	if rest, err := unskip(in[f.at:end]); err != nil || len(rest) != 0 {
		return 0, errTrailing
	}
	return f.op, nil
}

const unknownContent = 1<<64 - 1

// header reads a frame's header (RFC 8878, 3.1.1.1).
func (f *frameDecoder) header(in *window) (content uint64, checksum bool, err error) {
	descriptor := in[4]
	var (
		single    = descriptor >> 5 & 1
		windowLen = uint(single ^ 1)
		dictLen   = [4]uint{0, 1, 2, 4}[descriptor&3]
		sizeLen   = [4]uint{uint(single), 2, 4, 8}[descriptor>>6]
	)
	f.at = 5 + windowLen + dictLen + sizeLen
	switch {
	case load32(in, 0) != frameMagic:
		return 0, false, errFrame
	case f.at+3 > f.end:
		return 0, false, errCut
	case descriptor&8 != 0:
		return 0, false, errReserved
	case dictLen != 0 && load32(in, 5+windowLen)&(1<<(8*dictLen)-1) != 0:
		return 0, false, errDictionary
	}
	content = unknownContent
	if sizeLen != 0 {
		content = load64(in, f.at-sizeLen) & (1<<(8*sizeLen) - 1)
		if sizeLen == 2 {
			content += 256
		}
	}
	window := content
	if single == 0 {
		exponent, eighths := uint(in[5]>>3), uint64(in[5]&7)
		if exponent > 31-10 {
			return 0, false, errWindow
		}
		window = (8 + eighths) << (exponent + 10 - 3)
	}
	f.maxBlock = uint(min(window, maxBlock))
	return content, descriptor&4 != 0, nil
}

// block decodes a block (RFC 8878, 3.1.1.2).
func (f *frameDecoder) block(in, out *window) (last bool, err error) {
	if f.at+3 > f.end {
		return false, errCut
	}
	head := uint(load32(in, f.at)) & (1<<24 - 1)
	f.at += 3
	size, coded := head>>3, head>>3
	if head>>1&3 == 1 {
		coded = 1
	}
	if coded > f.end-f.at {
		return false, errCut
	}
	switch head >> 1 & 3 {
	case 0, 1:
		if size > f.size-f.op {
			return false, errLong
		}
		if head>>1&3 == 0 {
			copy(out[f.op:], in[f.at:f.at+size])
		} else {
			fill(out[f.op:f.op+size], in[f.at&windowMask])
		}
		f.op += size
	case 2:
		if size > f.maxBlock {
			return false, errBlockSize
		}
		if err := f.compressed(in, out, f.at+size); err != nil {
			return false, err
		}
	case 3:
		return false, errBlockType
	}
	f.at += coded
	return head&1 != 0, nil
}

// fill sets each byte of b to v.
func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// compressed decodes a compressed block, which goes from f.at to end (RFC 8878, 3.1.1.3).
func (f *frameDecoder) compressed(in, out *window, end uint) error {
	room := min(f.size-f.op, f.maxBlock)
	at, err := f.literals.read(in, f.at, end, room)
	if err != nil {
		return err
	}
	f.op, err = f.sequences.decode(in, out, &f.literals, at, end, f.op, f.op+room)
	return err
}

// backward is a position in a stream that is read from its end (RFC 8878, 4.1), in bits: of
// the eight bytes that hold the next ones, it is that of the first byte, times eight, and 7
// less how many bits of the last byte are taken.
type backward uint

// openBackward opens the stream between begin and end. A set bit, and zeroes above it, are
// what it ends with.
func openBackward(in *window, begin, end uint) (backward, error) {
	if begin >= end {
		return 0, errCut
	}
	last := in[(end-1)&windowMask]
	if last == 0 {
		return 0, errEndMark
	}
	return backward((end-8)*8 + uint(bits.Len8(last)) - 2), nil
}

// peek is the next bits, the first one highest. At least 57 are sure.
func (b backward) peek(in *window) uint64 {
	return load64(in, uint(b)>>3) << (^b & 7)
}

// left is how many bits are between begin and the position, negative if that is before.
func (b backward) left(begin uint) int {
	return int(b) + 57 - int(begin*8)
}
