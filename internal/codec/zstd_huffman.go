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
	tables [2][1<<maxLog + 8]uint8

	weights [256 + 16]uint8
	sorted  [256]uint8 // symbols by weight, those without a code first
	counts  [256]uint16
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
	t.sort(n + 1)
	t.fill(log)
	return nil
}

// sort orders n symbols by their weight, and those of a weight by their number.
func (t *huffmanTree) sort(n uint) {
	var next [maxLog + 4]uint8
	for weight := range maxLog {
		next[weight+1] = next[weight] + uint8(t.counts[weight])
	}
	for symbol, weight := range t.weights[:n] {
		at := &next[weight&15]
		t.sorted[*at] = uint8(symbol)
		*at++
	}
}

// fill enters the symbols, those of the longest codes first: each in as many places as its
// code has continuations. Go's loop has one shift for most streams, so that its table has at least
// 1<<usualLog entries.
func (t *huffmanTree) fill(log uint) {
	t.log = max(log, leastLog())
	symbols := t.sorted[t.counts[0]&255:]
	at := uint(0)
	for weight := uint(1); weight <= log; weight++ {
		length := uint64(log+1-weight) * eachByte
		count := uint(t.counts[weight])
		size := uint(1) << (weight + t.log - log - 1)
		for _, symbol := range symbols[:count] {
			for i := uint(0); i < size; i += 8 { // what is too much is overwritten
				binary.LittleEndian.PutUint64(t.tables[codeBits][(at+i)&(1<<maxLog-1):], length)
				binary.LittleEndian.PutUint64(t.tables[codeSymbol][(at+i)&(1<<maxLog-1):], uint64(symbol)*eachByte)
			}
			at += size
		}
		symbols = symbols[count:]
	}
}
