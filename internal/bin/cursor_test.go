package bin_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// walk reads one of everything: 1+2+4+8+3+2+4 bytes.
func walk(c *bin.Cursor) (values []uint64, text string) {
	values = append(values, c.Uint(1), uint64(c.U16()), uint64(c.U32()), c.U64())
	text = string(c.Bytes(3))
	c.Skip(2)
	sub := c.Sub("inner", 4)
	return append(values, uint64(sub.U32())), text
}

const walked = 24

func TestCursor(t *testing.T) {
	b := []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0fabcxx\x11\x12\x13\x14rest")
	tests := []struct {
		order binary.ByteOrder
		want  []uint64
	}{
		{binary.LittleEndian, []uint64{1, 0x0302, 0x07060504, 0x0f0e0d0c0b0a0908, 0x14131211}},
		{binary.BigEndian, []uint64{1, 0x0203, 0x04050607, 0x08090a0b0c0d0e0f, 0x11121314}},
	}
	for _, tt := range tests {
		c := bin.NewCursor("thing", b, 100, tt.order)
		got, text := walk(c)
		for i := range tt.want {
			if got[i] != tt.want[i] {
				t.Errorf("%v: value %d is %#x, want %#x", tt.order, i, got[i], tt.want[i])
			}
		}
		if text != "abc" || c.Err() != nil || c.Off() != 100+walked || c.Len() != 4 {
			t.Errorf("%v: %q, %v, at %d with %d left", tt.order, text, c.Err(), c.Off(), c.Len())
		}
	}
}

// TestCursorCut cuts the input at every byte: the error names the first read that failed,
// stays, and reads behind it give nothing.
func TestCursorCut(t *testing.T) {
	starts := []int64{0, 1, 3, 7, 15, 18, 20}
	b := bytes.Repeat([]byte{0xff}, walked)
	for n := range b {
		c := bin.NewCursor("thing", b[:n], 0, binary.LittleEndian)
		walk(c)
		first := c.Err()
		var de *bin.DecodeError
		if !errors.As(first, &de) || !errors.Is(first, phys.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", n, first)
		}
		want := int64(0)
		for _, s := range starts {
			if s <= int64(n) {
				want = s
			}
		}
		if de.Off != want || de.What != "thing" {
			t.Errorf("cut at %d: %s at %d, want %d", n, de.What, de.Off, want)
		}
		if c.U64() != 0 || c.Bytes(1) != nil || c.Sub("x", 0).Uint(1) != 0 || c.Err() != first {
			t.Errorf("cut at %d: reads go on, error %v", n, c.Err())
		}
	}
}

// TestCursorSub: a child's error is its parent's, whichever met it.
func TestCursorSub(t *testing.T) {
	c := bin.NewCursor("outer", make([]byte, 8), 0x10, binary.LittleEndian)
	sub := c.Sub("inner", 4)
	sub.U64()
	var de *bin.DecodeError
	if !errors.As(c.Err(), &de) || de.What != "inner" || de.Off != 0x10 {
		t.Errorf("parent's error %v", c.Err())
	}
	if c.U32() != 0 || c.Off() != 0x14 {
		t.Errorf("parent reads on, at %#x", c.Off())
	}
}

// TestCursorNegative: a negative length is an error, not a panic.
func TestCursorNegative(t *testing.T) {
	c := bin.NewCursor("x", make([]byte, 8), 0, binary.LittleEndian)
	if c.Bytes(-1) != nil || !errors.Is(c.Err(), phys.ErrCorrupt) {
		t.Errorf("error %v", c.Err())
	}
}

func TestCString(t *testing.T) {
	for in, want := range map[string]string{"": "", "\x00": "", "ab\x00cd": "ab", "whole": "whole"} {
		if got := bin.CString([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestReadN(t *testing.T) {
	file := []byte("0123456789")
	tests := []struct {
		off  int64
		n    uint64
		max  int
		got  string
		want error
	}{
		{0, 10, 10, "0123456789", nil},
		{3, 4, 100, "3456", nil},
		{10, 0, 100, "", nil},
		{0, 11, 10, "", phys.ErrLimit},
		{0, 1<<64 - 1, 1 << 30, "", phys.ErrLimit},
		{8, 5, 100, "89", phys.ErrLost},
		{10, 1, 100, "", phys.ErrLost},
		{11, 1, 100, "", phys.ErrLost},
		{-1, 1, 100, "", phys.ErrLost},
		{-1 << 63, 1, 100, "", phys.ErrLost},
		{0, 1 << 30, 1 << 30, "0123456789", phys.ErrLost},
	}
	for _, tt := range tests {
		b, err := bin.ReadN(bytes.NewReader(file), int64(len(file)), tt.off, tt.n, tt.max)
		if string(b) != tt.got || !errors.Is(err, tt.want) || cap(b) > 16 {
			t.Errorf("%d bytes at %d: %q (cap %d), %v, want %q, %v", tt.n, tt.off, b, cap(b), err, tt.got, tt.want)
		}
	}
}

// shrunk is a file that lost its end since its size was taken.
type shrunk struct{ io.ReaderAt }

func TestReadNErrors(t *testing.T) {
	b, err := bin.ReadN(shrunk{bytes.NewReader([]byte("0123"))}, 100, 2, 8, 8)
	if string(b) != "23" || !errors.Is(err, phys.ErrLost) {
		t.Errorf("file that shrank: %q, %v", b, err)
	}
	sticky := errors.New("bad sector")
	_, err = bin.ReadN(readerAt{iotest.ErrReader(sticky)}, 100, 0, 8, 8)
	if !errors.Is(err, sticky) || phys.Reason(err) != nil {
		t.Errorf("disk error: %v", err)
	}
}

type readerAt struct{ io.Reader }

func (r readerAt) ReadAt(p []byte, _ int64) (int, error) { return r.Read(p) }
