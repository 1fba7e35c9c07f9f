package codec_test

import (
	"bytes"
	"io"
	"os"
	"slices"
	"testing"

	stdzlib "compress/zlib"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/codec"
)

// presetDictionary is FDICT in a zlib stream's second byte (RFC 1950, 2.2). compress/zlib
// takes such a stream when its dictionary is the empty one; C's zlib and kautopsy do not.
const presetDictionary = 0x20

// inflateAll is what a zlib reader finds in src, or nil where src is not exactly one
// stream of size bytes.
func inflateAll(src []byte, size int, open func(io.Reader) (io.ReadCloser, error)) []byte {
	in := bytes.NewReader(src)
	r, err := open(in)
	if err != nil || src[1]&presetDictionary != 0 {
		return nil
	}
	page, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil || len(page) != size || in.Len() != 0 {
		return nil
	}
	return page
}

func standardZlib(_ testing.TB, src []byte, size int) []byte {
	return inflateAll(src, size, stdzlib.NewReader)
}

func klauspostZlib(_ testing.TB, src []byte, size int) []byte {
	return inflateAll(src, size, zlib.NewReader)
}

func anchoreLZO(_ testing.TB, src []byte, size int) []byte {
	page := make([]byte, size)
	if n, err := lzo.Decompress(src, page); err != nil || n != size {
		return nil
	}
	return page
}

// slow makes a reference of a decoder for large pages.
func slow(decode func(dst, src []byte) error) reference {
	return func(_ testing.TB, src []byte, size int) []byte {
		page := make([]byte, size)
		if decode(page, src) != nil {
			return nil
		}
		return page
	}
}

// realPages are pages of the committed dump, joined up to size bytes, from all over it.
func realPages(tb testing.TB, size, count int) [][]byte {
	tb.Helper()
	b, err := os.ReadFile("../../testdata/tiny/vmcore.zlib")
	if err != nil {
		tb.Fatal(err)
	}
	f, err := diskdump.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		tb.Fatal(err)
	}
	var all []byte
	page := make([]byte, f.PageSize())
	for p := range f.MaxPFN() {
		if _, err := f.ReadPage(p, page); err == nil && slices.Max(page) != 0 {
			all = append(all, page...)
		}
	}
	step := max(len(all)/size/count, 1) * size
	var out [][]byte
	for i := 0; i+size <= len(all) && len(out) < count; i += step {
		out = append(out, all[i:i+size])
	}
	if len(out) != count {
		tb.Fatalf("%d packs of %d bytes, want %d", len(out), size, count)
	}
	return out
}

// libraries are the decoders that kautopsy's are measured by, each with its state kept.
func libraries(tb testing.TB) map[codec.Method]func(dst, src []byte) error {
	in := new(bytes.Reader)
	var r io.ReadCloser
	inflate := func(dst, src []byte) (err error) {
		in.Reset(src)
		if r == nil {
			r, err = zlib.NewReader(in)
		} else {
			err = r.(zlib.Resetter).Reset(in, nil)
		}
		if err == nil {
			_, err = io.ReadFull(r, dst)
		}
		return err
	}
	frames, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(frames.Close)
	return map[codec.Method]func(dst, src []byte) error{
		codec.Zlib: inflate,
		codec.LZO: func(dst, src []byte) error {
			_, err := lzo.Decompress(src, dst)
			return err
		},
		codec.Snappy: func(dst, src []byte) error {
			_, err := s2.Decode(dst, src)
			return err
		},
		codec.Zstd: func(dst, src []byte) error {
			_, err := frames.DecodeAll(src, dst[:0])
			return err
		},
	}
}

// BenchmarkDecode decodes pages of a real dump, beside the library of each codec.
func BenchmarkDecode(b *testing.B) {
	sizes := []struct {
		name  string
		bytes int
		count int
	}{{"4K", 4 << 10, 256}, {"64K", 64 << 10, 16}}
	for _, m := range []codec.Method{codec.Zlib, codec.LZO, codec.Snappy, codec.Zstd} {
		for _, size := range sizes {
			pages := realPages(b, size.bytes, size.count)
			var d codec.Decoder
			ours := func(dst, src []byte) error { return d.Decode(m, dst, src) }
			b.Run(m.String()+"/"+size.name+"/kautopsy", func(b *testing.B) { benchmark(b, m, pages, ours) })
			b.Run(m.String()+"/"+size.name+"/library", func(b *testing.B) { benchmark(b, m, pages, libraries(b)[m]) })
		}
	}
}

func benchmark(b *testing.B, m codec.Method, pages [][]byte, decode func(dst, src []byte) error) {
	coded := make([][]byte, len(pages))
	for i, page := range pages {
		coded[i] = encode(b, m, page)
	}
	dst := make([]byte, len(pages[0]))
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := decode(dst, coded[i%len(coded)]); err != nil {
			b.Fatal(err)
		}
	}
}
