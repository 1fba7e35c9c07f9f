package codec

import "encoding/binary"

// Spare is how many bytes behind the begin of a page, and of its coded form, DecodeInPlace
// wants to be there.
const Spare = windowMask + 1 + windowSlack

// DecodeInPlace is Decode without copies, for pages whose memory goes on behind them as far as the
// slices' capacities tell: what is behind dst is overwritten, and what is behind src
// looked at. Only LZO, snappy and zstd have that; others, memory that is too short, and
// pages that cannot be decoded go the way of Decode, which tells why.
func (d *Decoder) DecodeInPlace(m Method, dst, src []byte) error {
	if cap(dst) >= Spare && cap(src) >= Spare && fits(dst, src) &&
		d.inPlace(m, (*window)(dst[:Spare]), (*window)(src[:Spare]), uint(len(dst)), uint(len(src))) {
		return nil
	}
	return d.Decode(m, dst, src)
}

// inPlace decodes the end bytes of in into size bytes of out; false if that fails.
func (d *Decoder) inPlace(m Method, out, in *window, size, end uint) bool {
	switch m {
	case LZO:
		n, err := lzoPage(in, out, end, size)
		return err == nil && n == size
	case Snappy:
		n, used := binary.Uvarint(in[:min(end, maxVarint)])
		return used > 0 && n == uint64(size) && d.ownTags().page(in, out, uint(used), end, size) == nil
	case Zstd:
		n, err := d.ownFrame().page(in, out, end, size)
		return err == nil && n == size
	}
	return false
}
