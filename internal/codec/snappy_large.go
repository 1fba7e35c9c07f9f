package codec

import "github.com/klauspost/compress/s2"

// largeSnappy decodes pages that do not fit the windows. The library's decoder takes a copy
// of offset 0, which snappy does not have, for an element of S2.
func largeSnappy(dst, src []byte) error {
	out, err := s2.Decode(dst, src)
	if err != nil {
		return damaged("snappy", err)
	}
	if len(out) != len(dst) {
		return wrongSize("snappy", len(out), len(dst))
	}
	return nil
}
