package codec_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"testing"

	stdzlib "compress/zlib"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// encoders are the codecs' encoders, zlib's at some levels.
func encoders() map[string]func() (codec.Method, *codec.Encoder) {
	out := make(map[string]func() (codec.Method, *codec.Encoder))
	for _, m := range []codec.Method{codec.Zlib, codec.LZO, codec.Snappy, codec.Zstd} {
		out[m.String()] = func() (codec.Method, *codec.Encoder) { return m, new(codec.Encoder) }
	}
	for _, level := range []int{1, 2, 6, 9} {
		out[fmt.Sprintf("zlib %d", level)] = func() (codec.Method, *codec.Encoder) {
			return codec.Zlib, &codec.Encoder{Level: level}
		}
	}
	return out
}

// others decode what the encoders write by other means.
func others() map[codec.Method][]reference {
	return map[codec.Method][]reference{
		codec.Zlib:   {standardZlib, klauspostZlib, slow(codec.LargeZlib)},
		codec.LZO:    {anchoreLZO, slow(codec.LargeLZO)},
		codec.Snappy: {naiveSnappy},
	}
}

// roundTrip codes a page and decodes it by all means. It returns the size of what is stored.
func roundTrip(tb testing.TB, m codec.Method, e *codec.Encoder, d *codec.Decoder, page []byte) int {
	tb.Helper()
	coded := make([]byte, len(page))
	n, err := e.Encode(m, coded, page)
	if err != nil || n < 0 || n >= max(len(page), 1) {
		tb.Fatalf("%v: a page of %d bytes became %d: %v", m, len(page), n, err)
	}
	if n == 0 {
		return len(page)
	}
	got := make([]byte, len(page))
	if err := d.Decode(m, got, coded[:n]); err != nil || !bytes.Equal(got, page) {
		tb.Fatalf("%v: %v; a page of %x became %x", m, err, page, coded[:n])
	}
	for i, ref := range others()[m] {
		if !bytes.Equal(ref(tb, coded[:n], len(page)), page) {
			tb.Fatalf("%v: reference %d: a page of %x became %x", m, i, page, coded[:n])
		}
	}
	return n
}

// extremes are pages that a codec's fields just hold or just do not: runs of literals and
// matches of all lengths, and matches of all distances.
func extremes() [][]byte {
	var out [][]byte
	noise := noise(1 << 16)
	for n := range 600 {
		page := bytes.Clone(noise[:n])
		page = append(page, make([]byte, n)...)
		page = append(page, noise[:n]...)
		out = append(out, append(page, make([]byte, 2048)...))
	}
	for _, far := range []int{2 << 10, 3 << 10, 16 << 10, 32 << 10, 48 << 10} {
		for distance := far - 3; distance <= far+3; distance++ {
			page := make([]byte, 1<<16)
			copy(page, noise[:100])
			copy(page[distance:], noise[:100])
			out = append(out, page)
		}
	}
	return out
}

func TestEncode(t *testing.T) {
	pages := append(shapes(), extremes()...)
	if testing.Short() {
		pages = pages[:64]
	}
	pages = append(pages, realPages(t, 4096, 128)...)
	pages = append(pages, realPages(t, 65536, 8)...)
	for n := range 70 {
		pages = append(pages, make([]byte, n), dumptest.Random(n, 1), dumptest.Fill(n, "ab"))
	}
	for name, open := range encoders() {
		m, e := open()
		var d codec.Decoder
		for i, page := range pages {
			if roundTrip(t, m, e, &d, page); t.Failed() {
				t.Fatalf("%s: page %d", name, i)
			}
		}
	}
}

// TestEncodeNoMemory: a page's stream does not depend on the pages before.
func TestEncodeNoMemory(t *testing.T) {
	for name, open := range encoders() {
		m, used := open()
		for i, page := range realPages(t, 4096, 6) {
			_, fresh := open()
			a, b := make([]byte, 4096), make([]byte, 4096)
			n, _ := used.Encode(m, a, page)
			k, _ := fresh.Encode(m, b, page)
			if !bytes.Equal(a[:n], b[:k]) {
				t.Errorf("%s, page %d: %d bytes, by a new encoder %d", name, i, n, k)
			}
		}
	}
}

// TestEncodeSize: zlib pages are no larger than compress/zlib's, and LZO pages little larger
// than those of an encoder that looks at each byte.
func TestEncodeSize(t *testing.T) {
	var e codec.Encoder
	var d codec.Decoder
	for size, count := range map[int]int{4096: 256, 65536: 16} {
		var zlib, lzo, standard, greedy int
		for _, page := range realPages(t, size, count) {
			zlib += roundTrip(t, codec.Zlib, &e, &d, page)
			lzo += roundTrip(t, codec.LZO, &e, &d, page)
			var b bytes.Buffer
			w, _ := stdzlib.NewWriterLevel(&b, flate.BestSpeed)
			_, _ = w.Write(page)
			_ = w.Close()
			standard += min(b.Len(), size)
			greedy += min(len(encode(t, codec.LZO, page)), size)
		}
		if zlib > standard || lzo > greedy+greedy/20 {
			t.Errorf("pages of %d bytes: zlib %d, compress/zlib %d; LZO %d, greedy %d", size, zlib, standard, lzo, greedy)
		}
		t.Logf("pages of %d bytes: zlib %d, compress/zlib %d; LZO %d, greedy %d", size, zlib, standard, lzo, greedy)
	}
}

// TestEncodeRaw: a page that does not shrink is told as such, and nothing behind dst is touched.
func TestEncodeRaw(t *testing.T) {
	for name, open := range encoders() {
		m, e := open()
		for _, size := range []int{0, 1, 3, 16, 4096, 65536} {
			dst := bytes.Repeat([]byte{0xa5}, size+8)
			n, err := e.Encode(m, dst, noise(size))
			if n != 0 || err != nil || !bytes.Equal(dst[size:], bytes.Repeat([]byte{0xa5}, 8)) {
				t.Errorf("%s: %d bytes became %d, %v", name, size, n, err)
			}
		}
	}
}

// noise does not shrink.
func noise(size int) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(out)
	return out
}

// TestEncodeLarge: pages beyond what any kernel has are coded by the library, or stay raw.
func TestEncodeLarge(t *testing.T) {
	page := dumptest.Fill(1<<17, "task_struct")
	for name, open := range encoders() {
		m, e := open()
		var d codec.Decoder
		if n := roundTrip(t, m, e, &d, page); n == len(page) != (m == codec.LZO) {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	for m := range codec.Method(0x80) {
		_, err := new(codec.Encoder).Encode(m, nil, nil)
		if _, known := methods()[m]; (err == nil) != (known && m != codec.Raw) {
			t.Errorf("flags %#x: %v", uint32(m), err)
		}
	}
	if _, err := (&codec.Encoder{Level: 10}).Encode(codec.Zlib, nil, nil); err == nil {
		t.Error("level 10 of zlib was taken")
	}
}

// TestEncodeNoAllocations: a page takes no memory once the encoder has met its codec.
func TestEncodeNoAllocations(t *testing.T) {
	if dumptest.Race {
		t.Skip("the race detector makes sync.Pool drop what is put into it")
	}
	pages := realPages(t, 4096, 8)
	dst := make([]byte, 4096)
	for name, open := range encoders() {
		m, e := open()
		encode := func() {
			for _, page := range pages {
				if _, err := e.Encode(m, dst, page); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := testing.AllocsPerRun(20, encode); n != 0 {
			t.Errorf("%s: %v allocations for %d pages", name, n, len(pages))
		}
	}
}

// TestPrefixCodes: codes are complete and no longer than allowed, for the counts that make the
// deepest trees.
func TestPrefixCodes(t *testing.T) {
	for symbols := 2; symbols <= 286; symbols++ {
		count := make([]uint16, symbols)
		a, b := uint16(1), uint16(1)
		for i := range count {
			count[i] = a
			if a < 1<<14 {
				a, b = b, a+b
			}
		}
		for most := uint(7); most <= 15; most++ {
			if symbols > 1<<most {
				continue
			}
			sum := 0
			for symbol, n := range codec.CodeLengths(count, most) {
				if n == 0 || uint(n) > most {
					t.Fatalf("%d symbols in %d bits: symbol %d has %d", symbols, most, symbol, n)
				}
				sum += 1 << (most - uint(n))
			}
			if sum != 1<<most {
				t.Fatalf("%d symbols in %d bits: %d of %d codes", symbols, most, sum, 1<<most)
			}
		}
	}
}

// BenchmarkEncode codes pages of a real dump.
func BenchmarkEncode(b *testing.B) {
	for name, open := range encoders() {
		for _, size := range []int{4 << 10, 64 << 10} {
			pages := realPages(b, size, 1<<20/size)
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				m, e := open()
				dst := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := e.Encode(m, dst, pages[i%len(pages)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// FuzzEncode codes any page, in each codec.
func FuzzEncode(f *testing.F) {
	for _, page := range append(shapes()[:6], extremes()[:40]...) {
		f.Add(page)
	}
	for _, page := range realPages(f, 4096, 16) {
		f.Add(page)
	}
	var e codec.Encoder
	var d codec.Decoder
	f.Fuzz(func(t *testing.T, page []byte) {
		for _, m := range []codec.Method{codec.Zlib, codec.LZO, codec.Snappy, codec.Zstd} {
			roundTrip(t, m, &e, &d, page[:min(len(page), 1<<16)])
		}
	})
}
