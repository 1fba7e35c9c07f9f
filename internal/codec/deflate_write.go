package codec

// bitWriter puts bits into a window, the lowest of each byte first.
type bitWriter struct {
	pending uint64
	count   uint // bits in pending
	at      uint // where they go
}

// put adds n bits; there is room for 56 after a flush.
func (b bitWriter) put(v uint64, n uint) bitWriter {
	b.pending |= v << (b.count & 63)
	b.count += n
	return b
}

// flush writes what is pending, and keeps the bits of the last byte if it is not whole.
func (b bitWriter) flush(out *window) bitWriter {
	store64(out, b.at, b.pending)
	b.at += b.count >> 3
	b.pending >>= b.count & 56
	b.count &= 7
	return b
}

// symbol adds the code of a symbol.
func (b bitWriter) symbol(c *prefixCode, symbol uint) bitWriter {
	return b.put(uint64(c.code[symbol&511]), uint(c.length[symbol&511]))
}

// writeSymbols writes the page's literals and matches, and the end mark.
func (s *deflater) writeSymbols(out bitWriter, w *windows, codes *blockCodes) {
	at := uint(0)
	for _, q := range s.found {
		end := at + uint(q.literals)
		for ; at+3 < end; at += 4 {
			out = out.symbol(&codes.litLens, uint(w.in[at&windowMask]))
			out = out.symbol(&codes.litLens, uint(w.in[(at+1)&windowMask]))
			out = out.symbol(&codes.litLens, uint(w.in[(at+2)&windowMask]))
			out = out.symbol(&codes.litLens, uint(w.in[(at+3)&windowMask]))
			out = out.flush(&w.out)
		}
		for ; at < end; at++ {
			out = out.symbol(&codes.litLens, uint(w.in[at&windowMask]))
		}
		out = out.flush(&w.out)
		if q.length == 0 {
			break
		}
		symbol, extra := lengthSymbol(uint(q.length))
		out = out.symbol(&codes.litLens, symbol)
		out = out.put(uint64(q.length-3)&(1<<extra-1), extra)
		symbol, extra = distanceSymbol(uint(q.distance))
		out = out.symbol(&codes.distances, symbol)
		out = out.put(uint64(q.distance-1)&(1<<extra-1), extra)
		out = out.flush(&w.out)
		at += uint(q.length)
	}
	out.symbol(&codes.litLens, endOfBlock).flush(&w.out)
}

// lengthRuns are the lengths of a block's two codes as runs (RFC 1951, 3.2.7).
type lengthRuns struct {
	litLens, distances int // how many lengths there are of each
	runs               [320]lengthRun
	n                  int
}

// lengthRun is a symbol of the code for code lengths, and its extra bits.
type lengthRun struct{ symbol, extra uint8 }

// find takes the lengths of two codes, and counts the symbols that their runs take.
func (r *lengthRuns) find(litLens, distances, order *prefixCode) {
	r.litLens, r.distances = litLens.used(286, 257), distances.used(30, 1)
	var all [320]uint8
	copy(all[:], litLens.length[:r.litLens])
	copy(all[r.litLens:], distances.length[:r.distances])
	clear(order.count[:lengthSymbols])
	r.n = 0
	lengths := all[:r.litLens+r.distances]
	for i := 0; i < len(lengths); {
		n := 1
		for i+n < len(lengths) && lengths[i+n] == lengths[i] {
			n++
		}
		r.run(lengths[i], n)
		i += n
	}
	for _, run := range r.runs[:r.n] {
		order.count[run.symbol]++
	}
}

// run adds n equal lengths.
func (r *lengthRuns) run(length uint8, n int) {
	if length != 0 {
		r.add(length, 0)
		n--
	}
	for n >= 3 {
		symbol, least, most := uint8(16), 3, 6
		if length == 0 {
			symbol, most = 17, 10
			if n > 10 {
				symbol, least, most = 18, 11, 138
			}
		}
		k := min(n, most)
		r.add(symbol, uint8(k-least))
		n -= k
	}
	for ; n > 0; n-- {
		r.add(length, 0)
	}
}

func (r *lengthRuns) add(symbol, extra uint8) {
	r.runs[r.n] = lengthRun{symbol, extra}
	r.n++
}

// lengthOrder is the order in which the lengths of the code for code lengths are written.
var lengthOrder = [lengthSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// written is how many of these are.
func (r *lengthRuns) written(order *prefixCode) int {
	n := lengthSymbols
	for n > 4 && order.length[lengthOrder[n-1]] == 0 {
		n--
	}
	return n
}

// bits is what the codes' description takes.
func (r *lengthRuns) bits(order *prefixCode) uint {
	n := 14 + 3*uint(r.written(order)) + order.bits(lengthSymbols)
	return n + 2*uint(order.count[16]) + 3*uint(order.count[17]) + 7*uint(order.count[18])
}

// writeCodes begins the block and describes its codes.
func (s *deflater) writeCodes(out bitWriter, to *window) bitWriter {
	r := &s.lengths
	written := r.written(&s.order)
	out = out.put(uint64(r.litLens-257), 5).put(uint64(r.distances-1), 5).put(uint64(written-4), 4)
	out = out.flush(to)
	for _, symbol := range lengthOrder[:written] {
		out = out.put(uint64(s.order.length[symbol]), 3).flush(to)
	}
	for _, run := range r.runs[:r.n] {
		out = out.symbol(&s.order, uint(run.symbol))
		out = out.put(uint64(run.extra), runBits(run.symbol)).flush(to)
	}
	return out
}

// runBits is how many bits follow a symbol.
func runBits(symbol uint8) uint {
	switch symbol {
	case 16:
		return 2
	case 17:
		return 3
	case 18:
		return 7
	}
	return 0
}
