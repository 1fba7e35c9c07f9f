package codec

// The alphabets' sizes (RFC 1951, 3.2.5 to 3.2.7), and how many bits index the first parts
// of their tables: by measurement, a bit less costs kernel pages more in second look-ups
// than it saves in building.
const (
	litLenSymbols   = 288 // 286 and 287 have fixed codes, but no meaning
	distanceSymbols = 32  // 30 and 31 likewise
	lengthSymbols   = 19

	litLenBits   = 11
	distanceBits = 8
	lengthBits   = 7
)

// symbolTables are the entries of all symbols.
type symbolTables struct {
	litLen   [litLenSymbols]entry
	distance [distanceSymbols]entry
	length   [lengthSymbols]entry
}

func (t *symbolTables) litLens() alphabet   { return alphabet{t.litLen[:], litLenBits} }
func (t *symbolTables) distances() alphabet { return alphabet{t.distance[:], distanceBits} }
func (t *symbolTables) lengths() alphabet   { return alphabet{t.length[:], lengthBits} }

// fill works out the tables of RFC 1951: a group of four lengths or two distances has a
// bit more behind its codes than the group before.
func (t *symbolTables) fill() {
	for i := range entry(256) {
		t.litLen[i] = entryLiteral | i<<16
	}
	t.litLen[256] = entryRare | entryEnd
	base := entry(3)
	for i := range entry(28) {
		extra := max(i/4, 1) - 1
		t.litLen[257+i] = base<<16 | extra
		base += 1 << extra
	}
	t.litLen[285] = 258 << 16 // which is also the last of the group before
	t.litLen[286], t.litLen[287] = noCode, noCode

	base = 1
	for i := range entry(30) {
		extra := max(i/2, 1) - 1
		t.distance[i] = base<<16 | extra
		base += 1 << extra
	}
	t.distance[30], t.distance[31] = noCode, noCode

	for i := range entry(16) {
		t.length[i] = i<<24 | 1<<16
	}
	t.length[16] = entryLiteral | 3<<16 | 2 // the one that is no run of zeroes
	t.length[17] = 3<<16 | 3
	t.length[18] = 11<<16 | 7
}

// decode decodes a block's literals and matches (RFC 1951, 3.2.3) up to its end mark.
//
// It is one function, since what it keeps in registers is what makes it fast. A turn
// begins with at least 56 sure bits and the entry of the next symbol, and does one of
//
//	three literals              11 bits each
//	up to two and a long code   15 bits: a literal, the end, or a length with 5 more
//	and a distance              15 and 13 bits more, loaded if they are not there
//
// A turn writes at most 2+258 bytes and reads at most 16, so that one look at both
// positions a turn is enough: the windows have room for what the last one does too much.
func (s *inflater) decode(w *windows, t *codeTables) error {
	in, op := s.in.refill(&w.in), s.op
	last := s.end + 8
	e := t.litLen[in.pending&(1<<litLenBits-1)]
	for op <= s.size && in.at <= last {
		saved := in.pending
		in = in.drop(e)
		if e&entryLiteral != 0 {
			w.out[op&windowMask] = byte(e >> 16)
			op++
			e = t.litLen[in.pending&(1<<litLenBits-1)]
			saved = in.pending
			in = in.drop(e)
			if e&entryLiteral != 0 {
				w.out[op&windowMask] = byte(e >> 16)
				op++
				e = t.litLen[in.pending&(1<<litLenBits-1)]
				saved = in.pending
				in = in.drop(e)
				if e&entryLiteral != 0 {
					w.out[op&windowMask] = byte(e >> 16)
					op++
					e = t.litLen[in.pending&(1<<litLenBits-1)]
					in = in.refill(&w.in)
					continue
				}
			}
		}
		if e&entryRare != 0 {
			if e&entrySub != 0 {
				e = t.litLen[e.sub(in.pending)&4095]
				saved = in.pending
				in = in.drop(e)
			}
			if e&entryEnd != 0 {
				s.in, s.op = in, op
				return nil
			}
			if e&entryRare != 0 {
				return errSymbol
			}
			if e&entryLiteral != 0 {
				w.out[op&windowMask] = byte(e >> 16)
				op++
				e = t.litLen[in.pending&(1<<litLenBits-1)]
				in = in.refill(&w.in)
				continue
			}
		}
		length := e.base(saved, in.pending)

		if in.count&63 < 28 {
			in = in.refill(&w.in)
		}
		d := t.distance[in.pending&(1<<distanceBits-1)]
		if d&entryRare != 0 {
			if d&entrySub == 0 {
				return errSymbol
			}
			in = in.drop(d)
			d = t.distance[d.sub(in.pending)&511]
			if d&entryRare != 0 {
				return errSymbol
			}
		}
		saved = in.pending
		in = in.drop(d)
		distance := d.base(saved, in.pending)
		if distance > op {
			return errDistance
		}

		// The next symbol's entry is on its way while the match is copied, and does not wait
		// for more bits where those that are there are enough.
		if in.count&63 >= litLenBits {
			e = t.litLen[in.pending&(1<<litLenBits-1)]
			in = in.refill(&w.in)
		} else {
			in = in.refill(&w.in)
			e = t.litLen[in.pending&(1<<litLenBits-1)]
		}
		to, end := op, op+length
		op = end
		if distance < 8 {
			v, step := spread(load64(&w.out, to-distance), distance), spreads[distance&7].step
			for ; to < end; to += step {
				store64(&w.out, to, v)
			}
			continue
		}
		w.out.copyWords(to, &w.out, to-distance)
		for to += 32; to < end; to += 8 {
			store64(&w.out, to, load64(&w.out, to-distance))
		}
	}
	if op > s.size {
		return errLong
	}
	return errCut
}
