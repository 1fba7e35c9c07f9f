package codec

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errCounts = errors.New("counts of symbols that make no table")

// fseEntry is what a state of a finite state entropy decoder says (RFC 8878, 4.1):
//
//	63     32 31          16 15     8 7     0
//	|  value  | next state  | extra  |  bits |
//
// The symbol stands for value plus the number in the next extra bits of the stream; the state
// after it is next plus the number in as many bits as bits says. Bits and extras of several
// entries can be added up in one go.
type fseEntry uint64

func newEntry(value int32, extra uint8) fseEntry {
	return fseEntry(value)<<32 | fseEntry(extra)<<8
}

// next has the value above its bits, which an index into a table leaves out.
func (e fseEntry) next() uint   { return uint(e >> 16) }
func (e fseEntry) value() int64 { return int64(e) >> 32 }
func (e fseEntry) extra() uint8 { return uint8(e >> 8) }
func (e fseEntry) bits() uint8  { return uint8(e) }

// fseTable has an entry for each state. Tables of sequences have up to 512.
type fseTable [512]fseEntry

// fseSymbols are the entries of symbols, without states.
type fseSymbols [256]fseEntry

// eachByte times a byte has it in each of eight bytes.
const eachByte = 0x0101010101010101

// fse builds tables from how often, of 1<<log times, each symbol comes. A count of -1 is a
// symbol that is less frequent than once.
type fse struct {
	counts [256 + 3]int16
	n      uint // how many counts there are
	log    uint

	next   [256]uint16
	row    [512 + 8]uint8 // symbols, each as often as it comes
	spread [512 + 8]uint8
}

// fseSteps are what states tell of the next one, without their symbols: of the nth of a
// symbol that comes m times of 1<<log, fseSteps[log][n+m].
var fseSteps = newSteps()

func newSteps() (steps [10][1024]uint32) {
	for log := uint32(5); log <= 9; log++ {
		for n := uint32(1); n < 2<<log; n++ {
			width := log + 1 - uint32(bits.Len32(n))
			steps[log][n] = (n<<width-1<<log)<<16 | width
		}
	}
	return steps
}

// readCounts reads the description of a table of up to symbols symbols and 1<<maxLog states
// (RFC 8878, 4.1.1), and returns where it ends.
func (f *fse) readCounts(in *window, at, end, symbols, maxLog uint) (uint, error) {
	f.log = uint(in[at&windowMask]&15) + 5
	if at >= end || f.log > maxLog {
		return 0, errCounts
	}
	clear(f.counts[:])
	bit, left, n := f.shares(in, at*8+4, 1<<f.log+1, symbols)
	at = (bit + 7) >> 3
	if left != 1 || n > symbols || at > end {
		return 0, errCounts
	}
	f.n = n
	return at, nil
}

// sharesGo reads the counts of symbols, from bit on, until nothing is left to be shared out, of which
// left is one more, or there are no symbols. It returns the bit behind them, what is left, and how
// many symbols it were.
func (f *fse) sharesGo(in *window, bit, left, symbols uint) (uint, uint, uint) {
	n := uint(0)
	for left > 1 && n < symbols {
		width := uint(bits.Len(left)) // of a number of at most left
		v := uint(load64(in, bit>>3) >> (bit & 7))
		// Numbers below this one take a bit less.
		short := uint(2)<<(width-1) - 1 - left
		number := v & (1<<(width-1) - 1)
		if number < short {
			bit += width - 1
		} else {
			bit += width
			number = v & (1<<width - 1)
			if number >= 1<<(width-1) {
				number -= short
			}
		}
		f.counts[n&255] = int16(number) - 1
		n++
		if number == 1 { // zero times, and two bits say how many more have none
			for more := uint(3); more == 3 && n < symbols; n += more {
				more = uint(load32(in, bit>>3)>>(bit&7)) & 3
				bit += 2
			}
			continue
		}
		if number == 0 {
			left--
		} else {
			left -= number - 1
		}
	}
	return bit, left, n
}

// build fills the table of the counts.
func (f *fse) build(table *fseTable, symbols *fseSymbols) {
	size := uint(1) << f.log
	turn, spread := f.spreadSymbols()
	steps := &fseSteps[min(f.log, 9)]
	for state, at := uint(0), uint(0); state < size; state++ {
		symbol := spread[at&511]
		at = (at + turn) & (size - 1)
		n := f.next[symbol]
		f.next[symbol] = n + 1
		table[state&511] = symbols[symbol] | fseEntry(steps[n&1023])
	}
}

// spreadSymbols lays out f.next, and symbols by states: that of state s is spread[s*turn%size].
//
// The states of a symbol are a number of steps apart (RFC 8878, 4.1.1). Where all symbols
// take part in that, they are left in a row, and the steps back are returned.
func (f *fse) spreadSymbols() (turn uint, spread *[512 + 8]uint8) {
	at, rare := uint(0), uint(0)
	for symbol, count := range f.counts[:f.n&511] {
		f.next[symbol&255] = uint16(count)
		if count <= 0 {
			rare += uint(count) >> 63
			continue
		}
		v := uint64(symbol) * eachByte
		binary.LittleEndian.PutUint64(f.row[at&511:], v)
		for i := uint(8); i < uint(count); i += 8 {
			binary.LittleEndian.PutUint64(f.row[(at+i)&511:], v)
		}
		at += uint(count)
	}
	size := uint(1) << f.log
	step := size>>1 + size>>3 + 3
	if rare != 0 {
		f.spreadRare(size-rare, step)
		return 1, &f.spread
	}
	// The steps are an odd number; so is its inverse, by which the order is turned round.
	back := step
	for range 3 { // Newton: each time twice as many bits are right
		back *= 2 - step*back
	}
	return back & (size - 1), &f.row
}

// spreadRare lays out symbols by their states. Those of count -1 take one of the states from
// begin on each, the first of them the last one, and the others the states before, as they come
// step by step.
func (f *fse) spreadRare(begin, step uint) {
	size := uint(1) << f.log
	for i, at := uint(0), uint(0); i < begin; at = (at + step) & (size - 1) {
		f.spread[at&511] = f.row[i&511] // again where that is a rare one's state
		i += (at - begin) >> 63
	}
	high := size
	for symbol, count := range f.counts[:f.n&511] {
		if count == -1 {
			high--
			f.spread[high&511] = uint8(symbol)
			f.next[symbol&255] = 1
		}
	}
}
