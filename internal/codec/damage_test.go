package codec_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"hash/adler32"
	"math/rand/v2"
	"testing"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// streams are zlib streams of page in many forms: stored, with Huffman codes only, with
// all kinds of matches, and in one block or several.
func streams(tb testing.TB, page []byte) [][]byte {
	tb.Helper()
	var out [][]byte
	for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
		for _, blocks := range []int{1, 3, 40} {
			var b bytes.Buffer
			w, err := zlib.NewWriterLevel(&b, level)
			if err != nil {
				tb.Fatal(err)
			}
			for n := range blocks {
				if _, err := w.Write(page[len(page)*n/blocks : len(page)*(n+1)/blocks]); err != nil {
					tb.Fatal(err)
				}
				if err := w.Flush(); err != nil { // ends the block, and adds an empty one
					tb.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				tb.Fatal(err)
			}
			out = append(out, b.Bytes())
		}
	}
	return out
}

func TestZlibForms(t *testing.T) {
	var d codec.Decoder
	pages := append(shapes(), realPages(t, 4096, 12)...)
	for i, page := range append(pages, realPages(t, 65536, 2)...) {
		for j, src := range streams(t, page) {
			got := make([]byte, len(page))
			if err := d.Decode(codec.Zlib, got, src); err != nil || !bytes.Equal(got, page) {
				t.Errorf("page %d, form %d: %v", i, j, err)
			}
		}
	}
}

// TestDamaged changes streams of real pages a little: decoders and references agree on
// what is still a page, and on which.
func TestDamaged(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	references := map[codec.Method][]reference{
		codec.Zlib:   {standardZlib, slow(codec.LargeZlib)},
		codec.LZO:    {anchoreLZO, slow(codec.LargeLZO)},
		codec.Zstd:   {klauspostZstd(t)},
		codec.Snappy: {naiveSnappy},
	}
	var d codec.Decoder
	r := rand.New(rand.NewPCG(1, 2))
	pages := append(realPages(t, 4096, 64), realPages(t, 65536, 8)...) // the latter as large as windows
	for m, refs := range references {
		good := 0
		for i, page := range pages {
			for range rounds {
				src := damage(r, encode(t, m, page))
				for _, ref := range refs {
					good += agree(t, &d, m, src, len(page), ref)
				}
			}
			if t.Failed() {
				t.Fatalf("%v: page %d", m, i)
			}
		}
		t.Logf("%v: %d of %d were pages", m, good/len(refs), len(pages)*rounds)
	}
}

// damage flips a bit, sets a byte, or cuts the end off.
func damage(r *rand.Rand, src []byte) []byte {
	i := r.IntN(len(src))
	switch r.IntN(5) {
	case 0:
		return src[:i]
	case 1:
		src[i] = byte(r.Uint32())
	default:
		src[i] ^= 1 << r.IntN(8)
	}
	return src
}

// TestLarge: pages beyond what any kernel has, which slower decoders take.
func TestLarge(t *testing.T) {
	var d codec.Decoder
	for _, size := range []int{64<<10 + 1, 128 << 10, 1 << 20} {
		page := dumptest.Random(size, 1)
		for m := range methods() {
			src := encode(t, m, page)
			got := make([]byte, size)
			if err := d.Decode(m, got, src); err != nil || !bytes.Equal(got, page) {
				t.Errorf("%v, %d bytes: %v", m, size, err)
			}
			for name, in := range map[string][]byte{"cut": src[:len(src)-1], "longer": append(bytes.Clone(src), 0)} {
				if err := d.Decode(m, got, in); err == nil {
					t.Errorf("%v, %d bytes, %s: no error", m, size, name)
				}
			}
		}
	}
}

// TestRoom: a page that stands in the decoder's own memory is the same as elsewhere.
func TestRoom(t *testing.T) {
	for _, size := range []int{4096, 64 << 10, 96 << 10} {
		page := dumptest.Fill(size, "task_struct")
		for m := range methods() {
			var d codec.Decoder
			src, got := encode(t, m, page), make([]byte, size)
			for range 2 {
				room := d.Room(len(src))
				copy(room, src)
				if err := d.Decode(m, got, room); err != nil || !bytes.Equal(got, page) {
					t.Errorf("%v, %d bytes: %v, or another page", m, size, err)
				}
			}
		}
	}
}

// TestNoAllocations: a page takes no memory once the decoder has met its codec.
func TestNoAllocations(t *testing.T) {
	var d codec.Decoder
	for m := range methods() {
		page := dumptest.Random(4096, 1)
		src := encode(t, m, page)
		n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(m, page, src); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v: %v allocations a page", m, n)
		}
	}
}

func TestAdler32(t *testing.T) {
	most := bytes.Repeat([]byte{0xff}, 64<<10)
	random := dumptest.Random(64<<10, 7)
	for _, b := range [][]byte{most, random} {
		for n := range 300 {
			if got, want := codec.Adler32(b[n:2*n]), adler32.Checksum(b[n:2*n]); got != want {
				t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
			}
		}
		if got, want := codec.Adler32(b), adler32.Checksum(b); got != want {
			t.Errorf("%#x, want %#x", got, want)
		}
	}
}
