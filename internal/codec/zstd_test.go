package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// frames are zstd frames of page in many forms: by all levels, with literals coded or not,
// with and without checksum and size, and in one block or in blocks of a window of 1 KiB.
func frames(tb testing.TB, page []byte) [][]byte {
	tb.Helper()
	var out [][]byte
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBestCompression} {
		for _, more := range [][]zstd.EOption{
			nil,
			{zstd.WithEncoderCRC(false)},
			{zstd.WithAllLitEntropyCompression(true)},
			{zstd.WithNoEntropyCompression(true)},
			{zstd.WithSingleSegment(true)},
		} {
			w, err := zstd.NewWriter(nil, append(more, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1))...)
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, w.EncodeAll(page, nil))
		}
		for _, window := range []int{1 << 10, 8 << 10} { // blocks of that size, and no content size
			var b bytes.Buffer
			w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(level), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
			if err != nil {
				tb.Fatal(err)
			}
			for half := range slices.Chunk(page, len(page)/2) {
				if _, err := w.Write(half); err != nil {
					tb.Fatal(err)
				}
				if err := w.Flush(); err != nil {
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

// klauspostZstd decodes one frame by the library.
func klauspostZstd(tb testing.TB) reference {
	tb.Helper()
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(1<<40), zstd.WithDecoderMaxWindow(15<<28))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(dec.Close)
	room := make([]byte, 0, 128<<10)
	return func(tb testing.TB, src []byte, size int) []byte {
		if !bytes.HasPrefix(src, frameMagic) {
			return nil
		}
		if bytes.Contains(src[1:], frameMagic) || bytes.Contains(src, skippableMagic) {
			tb.Skip("can be several frames, which the library joins")
		}
		page, err := dec.DecodeAll(src, room)
		if err != nil || len(page) != size {
			return nil
		}
		return page
	}
}

func TestZstdForms(t *testing.T) {
	var d codec.Decoder
	pages := append(shapes(), realPages(t, 4096, 12)...)
	for i, page := range append(pages, realPages(t, 65536, 4)...) {
		for j, src := range frames(t, page) {
			got := make([]byte, len(page))
			if err := d.Decode(codec.Zstd, got, src); err != nil || !bytes.Equal(got, page) {
				t.Errorf("page %d, form %d: %v", i, j, err)
			}
		}
	}
}

// TestZstdLongSequence: a sequence of more bits than eight bytes have, behind one that leaves just
// one byte's bits taken. The states are those of the usual tables.
func TestZstdLongSequence(t *testing.T) {
	const (
		literals = 16383 + 16384
		size     = literals + 3 + 16387 + 3
	)
	stream := big.NewInt(1) // read from its highest bit on, which is a mark
	for _, n := range [][2]int64{
		{63, 6}, {0, 5}, {0, 6}, // 8192 literals and more, the distance used last, length 3
		{8191, 13}, {62, 6}, {59, 6}, {12, 5}, // 16384 literals and more, likewise length and distance
		{5, 14}, {0, 14}, {0, 14}, {0, 6}, {0, 6}, {10, 5}, // none, length 3 and a distance of 29 and more
		{7, 5},
	} {
		stream.Or(stream.Lsh(stream, uint(n[1])), big.NewInt(n[0]))
	}
	bits := stream.Bytes()
	slices.Reverse(bits)
	block := slices.Concat([]byte{3<<2 | literals&15<<4, literals >> 4 & 0xff, literals >> 12},
		dumptest.Random(literals, 5), []byte{3, 0}, bits)
	frame := slices.Concat(frameMagic, []byte{0x60, (size - 256) & 0xff, (size - 256) >> 8})
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(block)<<3|2<<1|1))
	var d codec.Decoder
	if agree(t, &d, codec.Zstd, append(frame[:len(frame)-1], block...), size, klauspostZstd(t)) != 1 {
		t.Error("no page")
	}
}

// TestZstdFrames: a page is one frame; another behind it, even an empty one, is garbage.
// Skippable frames are none.
func TestZstdFrames(t *testing.T) {
	var d codec.Decoder
	page := dumptest.Random(4096, 1)
	src := encode(t, codec.Zstd, page)
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2}
	empty := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0}
	for name, in := range map[string][]byte{
		"twice":          append(bytes.Clone(src), src...),
		"nothing behind": append(bytes.Clone(src), empty...),
		"cut behind":     append(bytes.Clone(src), skippable[:9]...),
		"cut before":     append(bytes.Clone(skippable[:9]), src...),
		"skippable only": skippable,
	} {
		if err := d.Decode(codec.Zstd, make([]byte, 4096), in); !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	around := slices.Concat(skippable, skippable, src, skippable)
	got := make([]byte, 4096)
	if err := d.Decode(codec.Zstd, got, around); err != nil || !bytes.Equal(got, page) {
		t.Errorf("skippable frames around: %v", err)
	}
	if err := d.Decode(codec.Zstd, nil, empty); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

// TestZstdHeaders: what a frame's header says is looked at. The frames hold "abab", as one
// block that is stored, unless a case says otherwise.
func TestZstdHeaders(t *testing.T) {
	magic := "\x28\xb5\x2f\xfd"
	stored := "\x21\x00\x00abab"
	good := map[string]string{
		"single segment":       "\x20\x04" + stored,
		"window, no size":      "\x00\x00" + stored,
		"window of 2 GiB":      "\x00\xa8" + stored,
		"unused bit":           "\x30\x04" + stored,
		"size of four bytes":   "\xa0\x04\x00\x00\x00" + stored,
		"size of eight bytes":  "\xc0\x00\x04\x00\x00\x00\x00\x00\x00\x00" + stored,
		"no dictionary, named": "\x23\x00\x00\x00\x00\x04" + stored,
		"two blocks":           "\x20\x04\x10\x00\x00ab\x11\x00\x00ab",
		"literals alone":       "\x00\x00\x35\x00\x00\x20abab\x00",
		"checksum":             "\x24\x04" + stored + "\xbe\xc1\xa1\xeb",
	}
	bad := map[string]string{
		"other magic":       "",
		"reserved bit":      "\x28\x04" + stored,
		"dictionary":        "\x21\x07\x04" + stored,
		"window too large":  "\x00\xb0" + stored,
		"another size":      "\x20\x05" + stored,
		"size of 260":       "\x60\x04\x00" + stored,
		"size of 4 GiB + 4": "\xe0\x04\x00\x00\x00\x01\x00\x00\x00" + stored,
		"block type 3":      "\x20\x04\x27\x00\x00abab",
		"not the last":      "\x20\x04\x20\x00\x00abab",
		"wrong checksum":    "\x24\x04" + stored + "\xbe\xc1\xa1\xec",
		"no checksum":       "\x24\x04" + stored,
		"bytes behind":      "\x20\x04" + stored + "\x00",
	}
	var d codec.Decoder
	ref := klauspostZstd(t)
	for name, frame := range good {
		if agree(t, &d, codec.Zstd, []byte(magic+frame), 4, ref) != 1 {
			t.Errorf("%s: no page", name)
		}
	}
	for name, frame := range bad {
		if agree(t, &d, codec.Zstd, []byte(magic+frame), 4, ref) != 0 {
			t.Errorf("%s: a page", name)
		}
	}
}
