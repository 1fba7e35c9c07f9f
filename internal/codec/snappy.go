package codec

import "github.com/klauspost/compress/s2"

// snappy decodes a raw snappy block: its decoded length as a varint, then the elements. The
// library's decoder takes a copy of offset 0, which snappy does not have, for an element of
// S2; like most damage of a format without a checksum, that is not noticed.
func (d *Decoder) snappy(dst, src []byte) error {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return damaged("snappy", err)
	}
	if n != len(dst) {
		return wrongSize("snappy", n, len(dst))
	}
	out, err := s2.Decode(dst, src)
	if err != nil {
		return damaged("snappy", err)
	}
	if len(out) != len(dst) {
		return wrongSize("snappy", len(out), len(dst))
	}
	return nil
}
