//go:build !purego && !noasm

package codec

// matchCopy is how a match of a distance below 16, its index, or more is copied: 16 bytes at a
// time, of which the first are shuffled so that they repeat the distance's. Then each step the
// 16 bytes that far back follow, where back is a multiple of the distance.
type matchCopy struct {
	shuffle    [16]uint8
	step, back uint64 // of 16 and more, the distance
}

var matchCopies = newMatchCopies()

func newMatchCopies() (copies [17]matchCopy) {
	for distance := 1; distance <= 16; distance++ {
		c := &copies[distance]
		for i := range c.shuffle {
			c.shuffle[i] = uint8(i % distance)
		}
		c.step = uint64(16 - 16%distance)
		c.back = c.step
	}
	return copies
}

// run is runGo, or does the same.
func (q *sequences) run(in, out *window, op, at, end uint) (uint, uint, error) {
	if !hasAssembly {
		return q.runGo(in, out, op, at)
	}
	repeat := [3]uint64{uint64(q.repeat[0]), uint64(q.repeat[1]), uint64(q.repeat[2])}
	b, op, at, last, status := runSequences(in, out, q.from, &q.tables, &matchCopies, &q.entries, &repeat,
		q.in, op, at, q.limit, end, q.left)
	q.in, q.last = b, last
	q.repeat[0], q.repeat[1], q.repeat[2] = uint32(repeat[0]), uint32(repeat[1]), uint32(repeat[2])
	return op, at, [...]error{nil, errLong, errDistance, errCut}[status&3]
}

// runSequences carries out left sequences, see runGo. The page goes to out from op on and not
// beyond limit, with literals of from between at and end.
//
//go:noescape
func runSequences(in, out, from *window, tables *[3]fseTable, copies *[17]matchCopy, entries *[3]fseEntry, repeat *[3]uint64, b backward, op, at, limit, end, left uint) (b2 backward, op2, at2 uint, last fseEntry, status uint)

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
func decodeInTurns(in, to *window, tables *[2][1<<maxLog + 8]uint8, streams *[4]backward, shift, quarter, n uint) (done uint)
