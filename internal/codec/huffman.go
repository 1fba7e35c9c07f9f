package codec

import "math/bits"

// entry is what a table says of the bits at the front of the stream:
//
//	31          16 15      14     13    12    11       8       5        0
//	|    value    | literal | rare | end | sub | codeBits |     | dropBits |
//
// dropBits counts the code and the extra bits behind it, codeBits the code alone. value is
// the literal, or the base of a length, distance or run, to which the extra bits are added.
// Where sub is set, codeBits bits more index a further table, which starts at value. rare
// is set for what the fast path does not handle, and alone where there is no such code.
type entry uint32

const (
	entrySub     entry = 1 << 12
	entryEnd     entry = 1 << 13
	entryRare    entry = 1 << 14
	entryLiteral entry = 1 << 15

	entryDrop entry = 63    // mask of dropBits
	entryBit  entry = 0x101 // what a bit of code adds to an entry
)

// noCode is the entry of bits that are no code.
const noCode = entryRare

func (e entry) codeBits() uint { return uint(e>>8) & 15 }

func (e entry) value() uint { return uint(e >> 16) }

// base is the value plus the extra bits, which are those between the code and what is
// left after the entry's bits were dropped. No flag below entryRare is set.
func (e entry) base(before, after uint64) uint {
	return e.value() + uint(before^after<<(e&entryDrop))>>(e>>8&63)
}

// sub is the index into the further table.
func (e entry) sub(pending uint64) uint {
	return e.value() + uint(pending&(1<<e.codeBits()-1))
}

// maxCodeBits is the longest code (RFC 1951, 3.2.7).
const maxCodeBits = 15

// alphabet is a set of symbols that a code is made for.
type alphabet struct {
	symbols []entry // without the code
	root    uint32  // so many bits index the first part of a table
}

// coded is a symbol that has a code, and the code's length:
//
//	15       4      0
//	| symbol | bits |
type coded uint16

// huffman builds decoding tables from code lengths.
type huffman struct {
	count  [16]uint16  // how many codes have a length
	sorted [512]uint16 // symbols by the length of their code
}

// build fills table, whose first 1<<root entries are indexed by the next bits of the
// stream; further tables for longer codes follow those. It takes complete codes and, as
// compress/flate does, a lone code of one bit and no code at all.
func (h *huffman) build(table []entry, a alphabet, codes []coded) error {
	sorted, unused := h.sort(codes)
	if unused == 0 {
		code, sorted := h.short(table, a, sorted)
		if len(sorted) != 0 {
			h.long(table, a, code, sorted)
		}
		return nil
	}
	lone := len(sorted) == 1 && h.count[1] == 1
	if len(sorted) != 0 && !lone {
		return errCodes
	}
	for i := range table[:1<<a.root] {
		table[i] = noCode
		if lone && i&1 == 0 {
			table[i] = a.symbols[sorted[0]] + entryBit
		}
	}
	return nil
}

// sort orders symbols by the length of their codes, then by number: the order of the codes
// themselves (RFC 1951, 3.2.2). unused counts the codes of maxCodeBits that are left over;
// it is negative where the lengths ask for too many.
func (h *huffman) sort(codes []coded) (sorted []uint16, unused int) {
	clear(h.count[:])
	for _, c := range codes {
		h.count[c&15]++
	}
	var next [16]uint16
	unused = 1 << maxCodeBits
	for n := 1; n <= maxCodeBits; n++ {
		next[n] = next[n-1] + h.count[n-1]
		unused -= int(h.count[n]) << (maxCodeBits - n)
	}
	for _, c := range codes {
		at := &next[c&15]
		h.sorted[*at&511] = uint16(c >> 4)
		*at++
	}
	return h.sorted[:len(codes)], unused
}

// short enters the codes of at most root bits. It returns the first longer one, its first
// bit highest, and the symbols from there on. Codes stand in a table with their first bit
// lowest, as the stream has them. The table doubles with the length of the codes: each is
// written once and copied with its half.
func (h *huffman) short(table []entry, a alphabet, sorted []uint16) (code uint16, longer []uint16) {
	step, drop := uint16(1<<15), entryBit
	for n := range a.root {
		copy(table[1<<n:2<<n], table[:1<<n])
		count := h.count[(n+1)&15]
		for _, symbol := range sorted[:count] {
			table[bits.Reverse16(code)] = a.symbols[symbol] + drop
			code += step
		}
		sorted = sorted[count:]
		step >>= 1
		drop += entryBit
	}
	return code, sorted
}

// long enters the codes of more than root bits, in a further table for each beginning of
// root bits that they have.
func (h *huffman) long(table []entry, a alphabet, code uint16, sorted []uint16) {
	begin, end := ^uint32(0), uint32(1)<<a.root
	var further []entry
	for n := a.root + 1; n <= maxCodeBits; n++ {
		for left := uint32(h.count[n]); left > 0; left-- {
			reversed := uint32(bits.Reverse16(code))
			if first := reversed & (1<<a.root - 1); first != begin {
				begin = first
				width := h.width(a.root, n, left)
				table[begin] = entryRare | entrySub | entry(end<<16|width<<8|a.root)
				further = table[end : end+1<<width]
				end += 1 << width
			}
			e := a.symbols[sorted[0]] + entry(n-a.root)*entryBit
			sorted = sorted[1:]
			for i := reversed >> a.root; i < uint32(len(further)); i += 1 << (n - a.root) {
				further[i] = e
			}
			code += 1 << (16 - n)
		}
	}
}

// width is how many bits index the further table that begins with a code of n bits, of
// which left are still to be entered: enough for the longest code in it.
func (h *huffman) width(root, n, left uint32) uint32 {
	for left < 1<<(n-root) && n < maxCodeBits {
		n++
		left = left<<1 + uint32(h.count[n])
	}
	return n - root
}
