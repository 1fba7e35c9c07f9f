package codec

import "github.com/anchore/go-lzo"

// lzo decodes a raw LZO1X block: no container, no checksum.
func (d *Decoder) lzo(dst, src []byte) error {
	n, err := lzo.Decompress(src, dst)
	if err != nil {
		return damaged("lzo", err)
	}
	if n != len(dst) {
		return wrongSize("lzo", n, len(dst))
	}
	return nil
}
