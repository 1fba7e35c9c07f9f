//go:build !amd64 || purego || noasm

package codec

func (q *sequences) run(in, out *window, op, at, _ uint) (uint, uint, error) {
	return q.runGo(in, out, op, at)
}

func (l *literals) inTurns(in *window, s *[4]backward, quarter, n uint) uint {
	return l.inTurnsGo(in, s, quarter, n)
}

func (f *fse) shares(in *window, bit, left, symbols uint) (uint, uint, uint) {
	return f.sharesGo(in, bit, left, symbols)
}

func (t *huffmanTree) inBulk(in *window, s backward, begin, one, two uint) (backward, uint, uint, uint) {
	return t.inBulkGo(in, s, begin, one, two)
}

func (t *huffmanTree) recount(uint) {}

func leastLog() uint { return usualLog }

func (t *snappyTags) page(in, out *window, at, end, size uint) error {
	return t.pageGo(in, out, at, end, size)
}
