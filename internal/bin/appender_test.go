package bin_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/bin"
)

// file is written at any place; what was never written is zero. It is full at max bytes.
type file struct {
	b   []byte
	max int
}

var errFull = errors.New("full")

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	end := int(off) + len(b)
	if end > f.max {
		return 0, errFull
	}
	if end > len(f.b) {
		f.b = append(f.b, make([]byte, end-len(f.b))...)
	}
	return copy(f.b[off:], b), nil
}

// TestAppender: small and large pieces and holes lie one behind the other.
func TestAppender(t *testing.T) {
	f := &file{max: 4 << 20}
	a := bin.Appender{W: f, At: 3}
	want := make([]byte, 3)
	for i, n := range []int{1, 1000, 300 << 10, 0, 5, 256 << 10, 70} {
		piece := bytes.Repeat([]byte{byte(i + 1)}, n)
		if _, err := a.Write(piece); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece...)
		if i%2 == 0 {
			a.Skip(9)
			want = append(want, make([]byte, 9)...)
		}
		if a.End() != int64(len(want)) {
			t.Errorf("piece %d: end %d, want %d", i, a.End(), len(want))
		}
	}
	a.Write([]byte("x"))
	if err := a.Flush(); err != nil || !bytes.Equal(f.b, append(want, 'x')) {
		t.Errorf("%d bytes, want %d, %v", len(f.b), len(want)+1, err)
	}
	a = bin.Appender{W: &file{max: 10}}
	a.Write(make([]byte, 20))
	if err := errors.Join(a.Flush(), a.Err()); !errors.Is(err, errFull) {
		t.Errorf("full: %v", err)
	}
}
