package bin

import "io"

// appendBytes is how much is gathered before it is written.
const appendBytes = 256 << 10

// Appender writes bytes one behind the other, in large pieces. Its first error sticks.
type Appender struct {
	W   io.WriterAt
	At  int64 // where the next byte goes that is not gathered yet
	buf []byte
	err error
}

// Write gathers b and writes when there is enough.
func (a *Appender) Write(b []byte) (int, error) {
	if a.buf == nil {
		a.buf = make([]byte, 0, appendBytes)
	}
	if len(a.buf)+len(b) > cap(a.buf) {
		a.Flush()
	}
	if len(b) > cap(a.buf) {
		a.put(b)
	} else {
		a.buf = append(a.buf, b...)
	}
	return len(b), a.err
}

// Skip leaves n bytes out: a hole of the file, which reads as zeros.
func (a *Appender) Skip(n int64) {
	a.Flush()
	a.At += n
}

// End is where the next byte goes.
func (a *Appender) End() int64 { return a.At + int64(len(a.buf)) }

// Flush writes what is gathered.
func (a *Appender) Flush() error {
	if len(a.buf) > 0 {
		a.put(a.buf)
		a.buf = a.buf[:0]
	}
	return a.err
}

func (a *Appender) put(b []byte) {
	if a.err == nil {
		_, a.err = a.W.WriteAt(b, a.At)
	}
	a.At += int64(len(b))
}

// Err is the first error.
func (a *Appender) Err() error { return a.err }
