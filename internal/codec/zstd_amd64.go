//go:build !purego && !noasm

package codec

// run is runGo, or does the same.
func (q *sequences) run(in, out *window, op, at, end uint) (uint, uint, error) {
	if !hasAssembly {
		return q.runGo(in, out, op, at)
	}
	repeat := [3]uint64{uint64(q.repeat[0]), uint64(q.repeat[1]), uint64(q.repeat[2])}
	b, op, at, status := runSequences(in, out, q.from, &q.tables, &repetitions, &q.states, &repeat,
		q.in, op, at, q.limit, end, q.left)
	q.in, q.last = b, 0
	q.repeat[0], q.repeat[1], q.repeat[2] = uint32(repeat[0]), uint32(repeat[1]), uint32(repeat[2])
	return op, at, [8]error{nil, errLong, errDistance, errCut, errEndMark}[status&7]
}

// runSequences carries out left sequences, see runGo. The page goes to out from op on and not
// beyond limit, with literals of from between at and end. b2 is in front of the states that would
// follow.
//
//go:noescape
func runSequences(in, out, from *window, tables *[3]fseTable, copies *[16]repetition, states *[3]uint, repeat *[3]uint64, b backward, op, at, limit, end, left uint) (b2 backward, op2, at2, status uint)

// shares is sharesGo, or does the same.
func (f *fse) shares(in *window, bit, left, symbols uint) (uint, uint, uint) {
	if !hasAssembly {
		return f.sharesGo(in, bit, left, symbols)
	}
	return readShares(in, &f.counts, bit, left, symbols)
}

// readShares reads the counts of symbols from bit on as long as some are left, see sharesGo.
//
//go:noescape
func readShares(in *window, counts *[256 + 3]int16, bit, left, symbols uint) (bit2, left2, n uint)

// inBulk is inBulkGo, or does the same but for counting.
func (t *huffmanTree) inBulk(in *window, s backward, begin, one, two uint) (backward, uint, uint, uint) {
	if !hasAssembly {
		return t.inBulkGo(in, s, begin, one, two)
	}
	return decodeWeights(in, &t.states, &t.weights, s, int(begin*8)+48-57, one, two, 0, maxWeights-10)
}

// recount counts n weights, if that was not done as they were taken down.
func (t *huffmanTree) recount(n uint) {
	if hasAssembly {
		*(*[16]uint8)(t.weights[n&255:]) = noWeights
		countWeights(&t.weights, &t.counts, n)
	}
}

// noWeights are none that countWeights counts.
var noWeights = [16]uint8{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}

// decodeWeights takes down weights as long as s is not below least and n not above limit, eight a
// turn, see inBulkGo.
//
//go:noescape
func decodeWeights(in *window, states *fseTable, weights *[256 + 16]uint8, s backward, least int, one, two, n, limit uint) (s2 backward, one2, two2, n2 uint)

// countWeights counts how often each of 0 to 12 is among n weights, behind which 15 that are none stand.
//
//go:noescape
func countWeights(weights *[256 + 16]uint8, counts *[256]uint16, n uint)

// inTurns is inTurnsGo, or does the same.
func (l *literals) inTurns(in *window, s *[4]backward, quarter, n uint) uint {
	if !hasAssembly || l.tree.log > usualLog {
		return l.inTurnsGo(in, s, quarter, n)
	}
	return decodeInTurns(in, &l.decoded, &l.tree.tables, s, 64-l.tree.log, quarter, n)
}

// leastLog is the smallest table of a tree, as fast to use as a large one, and faster to fill.
func leastLog() uint {
	if hasAssembly {
		return 1
	}
	return usualLog
}

// decodeInTurns decodes about n literals of each of four streams, see inTurnsGo.
//
//go:noescape
func decodeInTurns(in, to *window, tables *[2][treeRoom + 8]uint8, streams *[4]backward, shift, quarter, n uint) (done uint)
