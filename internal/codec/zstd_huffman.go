package codec

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errWeights = errors.New("weights of literals that make no code")

const (
	// maxWeights is how many weights can be told; that of the last symbol follows from them.
	maxWeights = 255

	// usualLog is the longest code by RFC 8878, maxLog what libzstd takes.
	usualLog = 11
	maxLog   = 12
)

// huffmanTree decodes Huffman-coded literals (RFC 8878, 4.2). The next log bits of a stream
// index the tables.
type huffmanTree struct {
	log    uint // 0 if there are no tables
	tables [2][treeRoom + 8]uint8

	weights [256 + 16]uint8
	counts  [256]uint16
	rows    [16]treeRow
	fse     fse
	states  fseTable
	values  fseSymbols
}

// The tables of a tree: how many bits a code has, and its symbol.
const (
	codeBits = iota
	codeSymbol
)

func (t *huffmanTree) init() {
	for i := range t.values {
		t.values[i] = newEntry(int32(i), 0)
	}
}

// read reads the description of a tree, which begins at at, and returns where it ends: a
// symbol of weight n > 0 has a code of log+1-n bits.
func (t *huffmanTree) read(in *window, at, end uint) (uint, error) {
	t.log = 0
	if at >= end {
		return 0, errCut
	}
	head := uint(in[at&windowMask])
	at++
	var n uint
	var err error
	clear(t.counts[:])
	if head >= 128 {
		n = head - 127
		end, err = t.directWeights(in, at, end, n)
	} else if at+head > end {
		return 0, errCut
	} else {
		end = at + head
		n, err = t.codedWeights(in, at, end)
	}
	if err != nil {
		return 0, err
	}
	t.recount(n)
	return end, t.build(n)
}

// directWeights reads n weights of four bits each.
func (t *huffmanTree) directWeights(in *window, at, end, n uint) (uint, error) {
	if at+(n+1)/2 > end {
		return 0, errCut
	}
	for i := range n {
		weight := in[(at+i/2)&windowMask] >> (4 * (^i & 1)) & 15
		t.weights[i&255] = weight
		t.counts[weight]++
	}
	return at + (n+1)/2, nil
}

// codedWeights reads weights that two states of one table take turns to tell, until a stream
// has no bits left for the next state; then the other one tells the last.
func (t *huffmanTree) codedWeights(in *window, at, end uint) (n uint, err error) {
	begin, err := t.fse.readCounts(in, at, end, 256, 6)
	if err != nil {
		return 0, err
	}
	t.fse.build(&t.states, &t.values)
	s, err := openBackward(in, begin, end)
	if err != nil {
		return 0, err
	}
	v := s.peek(in)
	log := t.fse.log
	one, two := uint(v>>(64-log)), uint(v<<log>>(64-log))
	s -= backward(2 * log)
	if s.left(begin) < 0 {
		return 0, errCut
	}
	s, one, two, n = t.inBulk(in, s, begin, one, two)
	for s.left(begin) >= 0 {
		if n+2 > maxWeights {
			return 0, errWeights
		}
		next, taken := t.weight(n, one, s.peek(in))
		s -= backward(taken)
		one, two = two, next
		n++
	}
	t.weight(n, one, 0)
	return n + 1, nil
}

// inBulkGo takes down weights, eight a turn, until there may be less left, and returns the position,
// the states, and how many weights it were.
func (t *huffmanTree) inBulkGo(in *window, s backward, begin, one, two uint) (backward, uint, uint, uint) {
	n := uint(0)
	for s.left(begin) >= 48 && n+10 <= maxWeights {
		v := s.peek(in)
		for end := n + 8; n < end; n += 2 {
			var taken uint
			one, taken = t.weight(n, one, v)
			v <<= taken & 63
			s -= backward(taken)
			two, taken = t.weight(n+1, two, v)
			v <<= taken & 63
			s -= backward(taken)
		}
	}
	return s, one, two, n
}

// weight takes down weight n, which a state tells, and returns the next state by the bits
// in v, and how many these are.
func (t *huffmanTree) weight(n, state uint, v uint64) (next, taken uint) {
	e := t.states[state&63]
	weight := uint8(e.value())
	t.weights[n&255] = weight
	t.counts[weight]++
	taken = uint(e.bits())
	return e.next() + uint(bits.RotateLeft64(v, int(taken)))&(1<<(taken&63)-1), taken
}

// build fills the table from n weights, and the one that is left to the last symbol.
func (t *huffmanTree) build(n uint) error {
	known, sum := t.counts[0], uint32(0)
	for i, count := range t.counts[1 : maxLog+1] {
		known += count
		sum += uint32(count) << i
	}
	log := uint(bits.Len32(sum))
	rest := uint32(1)<<log - sum
	if uint(known) != n || sum == 0 || log > maxLog || rest&(rest-1) != 0 {
		return errWeights
	}
	last := bits.Len32(rest)
	t.weights[n&255] = uint8(last)
	t.counts[last]++
	if t.counts[1] < 2 || t.counts[1]&1 != 0 {
		return errWeights
	}
	t.fill(log, n+1)
	return nil
}

// treeRoom is that of a table of 1<<maxLog entries and, behind it, of rows of 256 symbols that have
// less than eight entries each.
const treeRoom = 2 << maxLog

// treeRow is where the symbols of a weight go, one after the other.
type treeRow struct {
	begin, next uint16
	places      uint16 // of a symbol: as many as its code has continuations
	final       uint16 // where the row has to be
	length      uint64 // of the code, in each of eight bytes
}

// fill enters n symbols, by their number, each in the row of its weight. Eight places are written at
// once, and what is too much is the next symbol's. Rows of symbols with less places than that stand
// apart until all are written, for the last one would overwrite what is behind them.
func (t *huffmanTree) fill(log, n uint) {
	rows := &t.rows
	t.layOut(log)
	for symbol, weight := range t.weights[:n] {
		row := &rows[weight&15]
		at, places := uint(row.next), row.places
		row.next += places
		for {
			binary.LittleEndian.PutUint64(t.tables[codeBits][at&(treeRoom-1):], row.length)
			binary.LittleEndian.PutUint64(t.tables[codeSymbol][at&(treeRoom-1):], uint64(symbol)*eachByte)
			if places <= 8 {
				break
			}
			at += 8
			places -= 8
		}
	}
	for _, row := range rows[1 : maxLog+1] {
		if row.begin != row.final {
			for i := range t.tables {
				copy(t.tables[i][row.final:], t.tables[i][row.begin:row.next])
			}
		}
	}
}

// layOut lays out the rows, those of the longest codes first. Go's loop has one shift for most streams,
// so that its table has at least 1<<usualLog entries.
func (t *huffmanTree) layOut(log uint) {
	rows := &t.rows
	t.log = max(log, leastLog())
	at, apart := uint16(0), uint16(1<<maxLog+8)
	clear(rows[:])
	rows[0].next = apart // symbols without a code
	for weight := uint(1); weight <= log; weight++ {
		row := &rows[weight&15]
		row.places = 1 << ((weight + t.log - log - 1) & 15)
		row.length = uint64(log+1-weight) * eachByte
		size := t.counts[weight&15] * row.places
		row.begin, row.final = at, at
		at += size
		if row.places < 8 {
			apart += 8
			row.begin = apart
			apart += size
		}
		row.next = row.begin
	}
}
