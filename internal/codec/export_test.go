package codec

import "unsafe"

// What tests look at beside Decode.
var (
	LargeLZO = largeLZO
	Adler32  = adler32
)

// LargeZlib is the decoder of large pages behind the check that all streams pass.
func LargeZlib(dst, src []byte) error {
	if err := checkZlib(src); err != nil {
		return err
	}
	return largeZlib(dst, src)
}

// CodeLengths are the lengths of the codes that symbols get which come so often.
func CodeLengths(count []uint16, most uint) []uint8 {
	c, b := new(prefixCode), new(codeBuilder)
	copy(c.count[:], count)
	b.build(c, len(count), most)
	return c.length[:len(count)]
}

// FrameSize is how much memory the decoder's state of zstd takes.
const FrameSize = int(unsafe.Sizeof(frameDecoder{}))

// KeepFrameIn has the decoder keep its state of zstd in mem, of FrameSize bytes.
func (d *Decoder) KeepFrameIn(mem []byte) {
	d.frame = (*frameDecoder)(unsafe.Pointer(unsafe.SliceData(mem)))
	*d.frame = *newFrameDecoder()
}
