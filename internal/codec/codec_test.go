package codec_test

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// methods pairs the codecs with their writers.
func methods() map[codec.Method]dumptest.Codec {
	return map[codec.Method]dumptest.Codec{
		codec.Raw: dumptest.Raw, codec.Zlib: dumptest.Zlib, codec.LZO: dumptest.LZO,
		codec.Snappy: dumptest.Snappy, codec.Zstd: dumptest.Zstd,
	}
}

func encode(t testing.TB, m codec.Method, page []byte) []byte {
	t.Helper()
	b, err := methods()[m].Encode(page)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shapes are pages of every kind, in the sizes that dumps have.
func shapes() [][]byte {
	var out [][]byte
	for _, size := range []int{4096, 16384, 65536} {
		far := dumptest.Random(size, 3)
		copy(far[size-64:], far[:64]) // a match as far back as the page allows
		out = append(out, make([]byte, size), dumptest.Fill(size, "a"), dumptest.Fill(size, "task_struct"),
			dumptest.Random(size, 1), dumptest.Random(size, 2), far)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	var d codec.Decoder
	for m := range methods() {
		for i, page := range shapes() {
			got := bytes.Repeat([]byte{0xa5}, len(page))
			if err := d.Decode(m, got, encode(t, m, page)); err != nil || !bytes.Equal(got, page) {
				t.Errorf("%v, shape %d of %d bytes: %v", m, i, len(page), err)
			}
		}
	}
}

// TestWrongLength: a stream that holds another number of bytes is no page.
func TestWrongLength(t *testing.T) {
	var d codec.Decoder
	for m := range methods() {
		for _, size := range []int{4096, 65535, 65536, 65537} {
			src := encode(t, m, dumptest.Random(size, 1))
			for _, n := range []int{0, 1, size - 1, size + 1, size + 300, 2 * size} {
				if err := d.Decode(m, make([]byte, n), src); !errors.Is(err, phys.ErrCorrupt) {
					t.Errorf("%v: %d bytes as %d: %v", m, size, n, err)
				}
			}
		}
	}
}

// TestCutStream cuts each stream at every byte, and hangs a byte behind it.
func TestCutStream(t *testing.T) {
	var d codec.Decoder
	page := dumptest.Fill(4096, "task_struct 0123456789")
	got := make([]byte, len(page))
	for m := range methods() {
		src := encode(t, m, page)
		for n := range src {
			if err := d.Decode(m, got, src[:n]); !errors.Is(err, phys.ErrCorrupt) {
				t.Errorf("%v: %d of %d bytes: %v", m, n, len(src), err)
			}
		}
		for _, tail := range []string{"\x00", "\x11\x00\x00", "garbage behind"} {
			if err := d.Decode(m, got, append(bytes.Clone(src), tail...)); !errors.Is(err, phys.ErrCorrupt) {
				t.Errorf("%v with %q behind it: %v", m, tail, err)
			}
		}
		if err := d.Decode(m, got, src); err != nil || !bytes.Equal(got, page) {
			t.Errorf("%v after errors: %v", m, err)
		}
	}
}

// TestChecksum: zlib's Adler-32 is looked at.
func TestChecksum(t *testing.T) {
	var d codec.Decoder
	src := encode(t, codec.Zlib, dumptest.Random(4096, 1))
	for i := 1; i <= 4; i++ {
		src[len(src)-i] ^= 1
		if err := d.Decode(codec.Zlib, make([]byte, 4096), src); !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("byte %d from the end: %v", i, err)
		}
		src[len(src)-i] ^= 1
	}
}

// TestMethods: only single bits that name a codec are one.
func TestMethods(t *testing.T) {
	var d codec.Decoder
	for flags := range codec.Method(0x80) {
		_, known := methods()[flags]
		if err := d.Decode(flags, nil, nil); !known && !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("flags %#x: %v", uint32(flags), err)
		}
	}
	for m, want := range map[codec.Method]string{0: "none", 1: "zlib", 2: "lzo", 4: "snappy", 0x20: "zstd", 0x21: "flags 0x21"} {
		if m.String() != want {
			t.Errorf("%#x is %q, want %q", uint32(m), m, want)
		}
	}
}

// TestBombs: what a stream claims to hold takes no memory; what it holds stops at a page.
func TestBombs(t *testing.T) {
	var d codec.Decoder
	page := make([]byte, 4096)
	for m := range methods() {
		if m == codec.Raw {
			continue
		}
		src := encode(t, m, make([]byte, 4<<20))
		if err := d.Decode(m, page, src); !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("%v: %v", m, err)
		}
		if got := allocated(func() { _ = d.Decode(m, page, src) }); got > 1<<16 {
			t.Errorf("%v: %d bytes taken", m, got)
		}
	}
}

// allocated is how many bytes f takes when it is run again.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
