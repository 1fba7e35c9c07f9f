package kernel

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/kautopsy/kautopsy/phys"
)

// byteRing walks the ring of bytes of kernels until 3.4: log_buf holds the text as it was
// printed, "<6>[    0.000000] text\n", log_end counts the bytes ever written and wraps at
// 2^32, logged_chars those since the log was cleared. A page that cannot be had cuts a line:
// its beginning, the error and its end come one after the other.
func (k *Kernel) byteRing(yield func(Record, error) bool) {
	spans, err := k.ringSpans()
	if err != nil {
		yield(Record{}, fmt.Errorf("log_buf: %w", err))
		return
	}
	seq := uint64(0)
	lines := func(text []byte) bool {
		for line := range bytes.Lines(text) {
			rec := parseLine(line)
			rec.Seq = seq
			seq++
			if !yield(rec, nil) {
				return false
			}
		}
		return true
	}
	var text []byte
	for part, err := range k.parts(spans) {
		if err == nil {
			text = append(text, part...)
			continue
		}
		if !lines(text) || !yield(Record{}, fmt.Errorf("log_buf: %w", err)) {
			return
		}
		text = nil
	}
	lines(text)
}

// virtSpan is a run of virtual memory.
type virtSpan struct{ va, n uint64 }

// ringSpans tells where the ring's text stands, the oldest first.
func (k *Kernel) ringSpans() ([]virtSpan, error) {
	f := &fields{k: k}
	at := func(symbol string) uint64 { a, _ := k.info.Symbol(symbol); return a }
	buf := f.uint(at("log_buf"), k.ptrSize())
	size := f.uint(at("log_buf_len"), 4)
	end := f.uint(at("log_end"), 4)
	chars := min(end, size) // before 2.6.30; wrong only in the lap in which log_end wraps
	if a, ok := k.info.Symbol("logged_chars"); ok {
		chars = f.uint(a, 4)
	}
	if f.err != nil {
		return nil, f.err
	}
	if size == 0 || size > maxLog || size&(size-1) != 0 {
		return nil, fmt.Errorf("ring of %d bytes: %w", size, phys.ErrCorrupt)
	}
	n := min(chars, size)
	start := (end - n) & (size - 1)
	head := min(n, size-start)
	return []virtSpan{{buf + start, head}, {buf, n - head}}, nil
}

// parts reads memory of which pages may be absent: what is there, and for each page that is
// not why.
func (k *Kernel) parts(spans []virtSpan) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, s := range spans {
			for s.n > 0 {
				b := make([]byte, min(s.n, partBytes))
				got, err := k.ReadVirt(b, s.va)
				if got > 0 && !yield(b[:got], nil) || err != nil && !yield(nil, err) {
					return
				}
				next := s.va + uint64(got)
				if err != nil {
					next = k.nextPage(next)
				}
				s = virtSpan{next, s.n - min(s.n, next-s.va)}
			}
		}
	}
}

// partBytes is how much of the ring is read at once.
const partBytes = 64 << 10

// nextPage is the beginning of the page behind the one of va.
func (k *Kernel) nextPage(va uint64) uint64 { return (va | uint64(k.PageSize()-1)) + 1 }

// parseLine reads "<6>[   12.345678] text" as far as it has that form.
func parseLine(line []byte) Record {
	rec := Record{Level: -1, Facility: -1, Raw: line}
	rest := bytes.TrimSuffix(line, []byte("\n"))
	if i := bytes.IndexByte(rest, '>'); i > 1 && i < 6 && rest[0] == '<' {
		if n, err := strconv.Atoi(string(rest[1:i])); err == nil && n >= 0 {
			rec.Level, rec.Facility = n&7, n>>3
			rest = rest[i+1:]
		}
	}
	if t, after, ok := parseStamp(rest); ok {
		rec.Since, rest = t, after
	}
	rec.Text = rest
	return rec
}

// parseStamp reads "[   12.345678] ".
func parseStamp(b []byte) (t time.Duration, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '[' {
		return 0, b, false
	}
	i := bytes.IndexByte(b, ']')
	if i < 0 || i > 24 {
		return 0, b, false
	}
	sec, usec, found := bytes.Cut(bytes.TrimLeft(b[1:i], " "), []byte("."))
	s, err1 := strconv.ParseInt(string(sec), 10, 32)
	u, err2 := strconv.ParseUint(string(usec), 10, 32)
	if !found || len(usec) != 6 || err1 != nil || err2 != nil || s < 0 {
		return 0, b, false
	}
	return time.Duration(s)*time.Second + time.Duration(u)*time.Microsecond, bytes.TrimPrefix(b[i+1:], []byte(" ")), true
}
