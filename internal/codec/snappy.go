package codec

import "encoding/binary"

// maxVarint is the longest form of a length: of 32 bits, seven a byte.
const maxVarint = 5

// snappy decodes a raw snappy block: its decoded length as a varint, then the elements. There
// is no checksum, so damage that keeps the form is not noticed.
func (d *Decoder) snappy(dst, src []byte) error {
	n, used := binary.Uvarint(src)
	switch {
	case used <= 0 || used > maxVarint:
		return damaged("snappy", errCut)
	case n != uint64(len(dst)):
		return wrongSize("snappy", int(n), len(dst))
	case !fits(dst, src):
		return largeSnappy(dst, src)
	}
	w := d.load(src)
	if err := d.ownTags().page(&w.in, &w.out, uint(used), uint(len(src)), uint(len(dst))); err != nil {
		return damaged("snappy", err)
	}
	copy(dst, w.out[:])
	return nil
}

// ownTags are the decoder's tables.
func (d *Decoder) ownTags() *snappyTags {
	if d.tags == nil {
		d.tags = newSnappyTags()
	}
	return d.tags
}

// snappyTags tell what each tag byte says, by its lowest two bits; further bytes are
// little-endian:
//
//	L LLLLL 00   L+1 literals, or those of the next 1 to 4 bytes plus one for L of 60 to 63
//	D DDLLL 01 D a match of L+4 bytes, D back, of which the tag has the highest bits
//	L LLLLL 10   a match of L+1 bytes, as far back as the next 2 bytes say
//	L LLLLL 11   the same with 4 bytes
//
//	entry   10     8 7      0
//	        | far>>8 | length |
type snappyTags struct {
	entries [256]uint16
	far     [4]uint32 // the bits of a distance in the bytes behind a tag, by its kind
}

func newSnappyTags() *snappyTags {
	t := &snappyTags{far: [4]uint32{1: 0xff, 2: 0xffff, 3: 0xffffffff}}
	for i := range t.entries {
		tag := uint16(i)
		switch tag & 3 {
		case 1:
			t.entries[i] = tag>>5<<8 | tag>>2&7 + 4
		case 2, 3:
			t.entries[i] = tag>>2 + 1
		}
	}
	return t
}

// pageGo decodes the elements between at and end in in into size bytes of out. Each tag tells
// where the next one is, which is fetched before anything is copied: that is what a page
// waits for.
func (t *snappyTags) pageGo(in, out *window, at, end, size uint) error {
	op, tag := uint(0), uint(in[at&windowMask])
	for at < end {
		at++
		kind := tag & 3
		if kind == 0 {
			n := tag>>2 + 1
			if n > 60 {
				more := n - 60
				n = uint(load64(in, at)&(1<<(8*more)-1)) + 1
				at += more
			}
			from := at
			at += n
			tag = uint(in[at&windowMask])
			if at > end {
				return errCut
			}
			if op+n > size {
				return errLong
			}
			copy32(out, op, in, from)
			if n > 32 {
				copy(out[op&windowMask:][:n], in[from&windowMask:])
			}
			op += n
			continue
		}
		e := uint(t.entries[tag&0xff])
		distance := e&0x700 + uint(load32(in, at)&t.far[kind])
		at += kind
		if kind == 3 {
			at++
		}
		tag = uint(in[at&windowMask])
		if distance-1 >= op { // or zero
			return errDistance
		}
		to := op
		op += e & 0xff
		if op > size {
			return errLong
		}
		if distance < 8 {
			v, step := spread(load64(out, to-distance), distance), spreads[distance&7].step
			for ; to < op; to += step {
				store64(out, to, v)
			}
			continue
		}
		out.copyWords(to, out, to-distance)
		for to += 32; to < op; to += 8 {
			store64(out, to, load64(out, to-distance))
		}
	}
	if at != end {
		return errCut
	}
	if op != size {
		return errShort
	}
	return nil
}
