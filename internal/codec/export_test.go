package codec

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
