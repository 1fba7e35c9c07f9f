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
