package codec

import "math/bits"

// prefixCode is a code of an alphabet: how often each symbol comes, how long its code is,
// and the code itself, its first bit lowest.
type prefixCode struct {
	count  [512]uint16
	length [512]uint8
	code   [512]uint16
}

// bits is what the page's symbols take.
func (c *prefixCode) bits(symbols int) uint {
	n := uint(0)
	for i, count := range c.count[:symbols] {
		n += uint(count) * uint(c.length[i])
	}
	return n
}

// used is how many of the first symbols there are, up to the last that has a code, and at
// least so many.
func (c *prefixCode) used(symbols, least int) int {
	for symbols > least && c.length[symbols-1] == 0 {
		symbols--
	}
	return symbols
}

// codeBuilder makes codes of the least size.
type codeBuilder struct {
	sorted [2][512]uint32 // | count 16 | symbol 16 |
	weight [512]uint32    // of inner nodes of the tree
	parent [1024]uint16
	atBits [64]uint16 // how many codes have a length
}

// build gives the symbols that are counted codes of at most most bits.
func (b *codeBuilder) build(c *prefixCode, symbols int, most uint) {
	clear(c.length[:symbols])
	leaves := b.sort(c.count[:symbols])
	switch len(leaves) {
	case 0:
		c.length[0] = 1
		c.code[0] = 0
		return
	case 1:
		// A code of one bit, and another for a symbol that does not come: some decoders take
		// complete codes only.
		symbol := leaves[0] & 0xffff
		other := 1 - min(symbol, 1)
		c.length[symbol], c.length[other] = 1, 1
		c.code[min(symbol, other)], c.code[max(symbol, other)] = 0, 1
		return
	}
	b.depths(leaves)
	b.limit(most)
	b.assign(c, leaves)
	c.assign(symbols)
}

// sort returns the symbols that are counted, the rarest first.
func (b *codeBuilder) sort(count []uint16) []uint32 {
	n := 0
	var low, high [256]uint16
	for symbol, k := range count {
		b.sorted[0][n&511] = uint32(k)<<16 | uint32(symbol)
		if k != 0 {
			n++
			low[k&255]++
			high[k>>8]++
		}
	}
	offsets(&low)
	offsets(&high)
	for _, v := range b.sorted[0][:n] {
		to := &low[v>>16&255]
		b.sorted[1][*to&511] = v
		*to++
	}
	for _, v := range b.sorted[1][:n] {
		to := &high[v>>24]
		b.sorted[0][*to&511] = v
		*to++
	}
	return b.sorted[0][:n]
}

// offsets turns counts into sums of those before.
func offsets(count *[256]uint16) {
	sum := uint16(0)
	for i, n := range count {
		count[i] = sum
		sum += n
	}
}

// depths builds the tree of Huffman's algorithm over the leaves, and counts those at each
// depth. Inner nodes are made in the order of their weight, so that the lightest two are
// always at the front of the leaves or of the inner nodes.
func (b *codeBuilder) depths(leaves []uint32) {
	n := len(leaves)
	leaf, inner := 0, 0
	for made := range n - 1 {
		sum := uint32(0)
		for range 2 {
			if leaf < n && (inner == made || leaves[leaf]>>16 <= b.weight[inner&511]) {
				sum += leaves[leaf] >> 16
				b.parent[leaf&1023] = uint16(made)
				leaf++
			} else {
				sum += b.weight[inner&511]
				b.parent[(512+inner)&1023] = uint16(made)
				inner++
			}
		}
		b.weight[made&511] = sum
	}
	// From the root, which was made last, weights are no longer needed: depths are.
	clear(b.atBits[:])
	b.weight[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		b.weight[i] = b.weight[b.parent[512+i]&511] + 1
	}
	for i := range leaves {
		b.atBits[(b.weight[b.parent[i]&511]+1)&63]++
	}
}

// limit shortens what is longer than most bits, at the cost of the longest shorter code
// each time.
func (b *codeBuilder) limit(most uint) {
	over := uint(0) // in codes of most bits
	for n := len(b.atBits) - 1; n > int(most); n-- {
		b.atBits[most] += b.atBits[n]
		b.atBits[n] = 0
	}
	for n := uint(1); n <= most; n++ {
		over += uint(b.atBits[n]) << (most - n)
	}
	for ; over > 1<<most; over-- {
		n := most - 1
		for b.atBits[n] == 0 {
			n--
		}
		b.atBits[n]--
		b.atBits[n+1] += 2
		b.atBits[most]--
	}
}

// assign gives the rarest symbols the longest codes.
func (b *codeBuilder) assign(c *prefixCode, leaves []uint32) {
	for n := uint8(maxCodeBits); n > 0; n-- {
		count := b.atBits[n]
		for _, v := range leaves[:count] {
			c.length[v&511] = n
		}
		leaves = leaves[count:]
	}
}

// assign makes the codes of the lengths (RFC 1951, 3.2.2).
func (c *prefixCode) assign(symbols int) {
	var count, next [16]uint16
	for _, n := range c.length[:symbols] {
		count[n&15]++
	}
	code := uint16(0) // the first bit highest
	for n := 1; n <= maxCodeBits; n++ {
		next[n] = code
		code += count[n] << (16 - n)
	}
	for symbol, n := range c.length[:symbols] {
		c.code[symbol] = bits.Reverse16(next[n&15])
		next[n&15] += 1 << (16 - n&15)
	}
}
