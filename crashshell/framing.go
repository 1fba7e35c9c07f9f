package crashshell

import (
	"bytes"
	"math/rand/v2"
	"strconv"
)

// Behind each command stands an eval of a number that nobody has seen before. eval runs
// inside crash, needs neither the dump nor gdb, works in every mode, and prints
//
//	hexadecimal: 2d3f0c54b1a90e17
//	    decimal: 3260493276413464087
//	      octal: 264771412452065204137
//	     binary: 0010110100111111000011000101010010110001101010010000111000010111
//
// so the answer is what comes before the line with the number. The prompt will not do: it
// is absent without a terminal, and may stand in a kernel's log.

// marker is the number of one exchange.
type marker uint64

// newMarker has bit 61 set: crash prints no leading zeroes, and larger numbers as negative.
func newMarker() marker { return marker(rand.Uint64()>>2 | 1<<61) }

func (m marker) hex() string { return strconv.FormatUint(uint64(m), 16) }

// line is what is written to crash.
func (m marker) line() string { return "eval 0x" + m.hex() + "\n" }

// frame collects the output of crash up to a marker.
type frame struct {
	first  []byte // "hexadecimal: …"
	buf    []byte
	seen   int // bytes of buf in which the marker's first line does not begin
	answer int // where it begins; -1 until it is found
	max    int // bytes of buf; 0 is no bound
	drop   bool
}

// expect begins a frame. With drop the answer is of no interest and only its tail is kept.
func expect(m marker, maxBytes int, drop bool) *frame {
	return &frame{first: []byte("hexadecimal: " + m.hex()), answer: -1, max: maxBytes, drop: drop}
}

// add takes what was read. It tells whether the frame is complete.
func (f *frame) add(b []byte) (complete bool) {
	f.buf = append(f.buf, b...)
	if f.answer < 0 {
		i := bytes.Index(f.buf[f.seen:], f.first)
		if i < 0 {
			f.seen = max(0, len(f.buf)-len(f.first)+1)
			f.forget()
			return false
		}
		f.answer = f.seen + i
	}
	tail := f.buf[f.answer:]
	i := bytes.Index(tail, []byte("binary: "))
	return i >= 0 && bytes.IndexByte(tail[i:], '\n') >= 0
}

// forget drops what cannot belong to the marker any more.
func (f *frame) forget() {
	if f.drop && f.seen > 0 {
		f.buf = append(f.buf[:0], f.buf[f.seen:]...)
		f.seen = 0
	}
}

// over tells whether the answer is longer than it may be.
func (f *frame) over() bool { return f.answer < 0 && f.max > 0 && len(f.buf) > f.max }

// text is the answer so far.
func (f *frame) text() []byte {
	end := len(f.buf)
	if f.answer >= 0 {
		end = f.answer
	}
	if f.max > 0 {
		end = min(end, f.max)
	}
	return f.buf[:end:end]
}
