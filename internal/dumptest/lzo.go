package dumptest

import "encoding/binary"

// Distances that the kinds of LZO1X matches reach.
const (
	reachM2 = 0x800
	reachM3 = 0x4000
	reachM4 = 0xbfff
)

// lzoWriter builds an LZO1X stream.
//
//	literals  17+n at the start, else n-3, or 0 and n-18 in steps of 255; up to three
//	          of them ride in the low bits of the match before
//	match M2  1..8 bytes, up to 2 KiB back        M3  001LLLLL, up to 16 KiB back
//	match M4  0001HLLL, up to 48 KiB back         end 11 00 00
type lzoWriter struct{ out []byte }

// encodeLZO packs greedily, by the last place of each four bytes.
func encodeLZO(page []byte) []byte {
	var w lzoWriter
	seen := map[uint32]int{}
	from := 0
	for at := 0; at+4 <= len(page); {
		key := binary.LittleEndian.Uint32(page[at:])
		was, ok := seen[key]
		seen[key] = at
		if !ok || at-was > reachM4 {
			at++
			continue
		}
		n := 4
		for at+n < len(page) && page[was+n] == page[at+n] {
			n++
		}
		w.literals(page[from:at])
		w.match(n, at-was)
		at += n
		from = at
	}
	w.literals(page[from:])
	return append(w.out, 0x11, 0, 0)
}

func (w *lzoWriter) literals(b []byte) {
	n := len(b)
	switch {
	case n == 0:
		return
	case len(w.out) == 0 && n <= 238:
		w.out = append(w.out, byte(17+n))
	case n <= 3:
		w.out[len(w.out)-2] |= byte(n)
	default:
		w.run(0, n-3, 15)
	}
	w.out = append(w.out, b...)
}

// run writes an instruction whose low bits hold n, which is at least 1; what is more
// than most follows in steps of 255.
func (w *lzoWriter) run(instruction byte, n, most int) {
	if n <= most {
		w.out = append(w.out, instruction|byte(n))
		return
	}
	w.out = append(w.out, instruction)
	for n -= most; n > 255; n -= 255 {
		w.out = append(w.out, 0)
	}
	w.out = append(w.out, byte(n))
}

func (w *lzoWriter) match(n, back int) {
	switch {
	case n <= 8 && back <= reachM2:
		back--
		w.out = append(w.out, byte(n-1)<<5|byte(back&7)<<2, byte(back>>3))
		return
	case back <= reachM3:
		back--
		w.run(0x20, n-2, 31)
	default:
		back -= 0x4000
		w.run(0x10|byte(back>>11&8), n-2, 7)
	}
	w.out = append(w.out, byte(back&63)<<2, byte(back>>6))
}
