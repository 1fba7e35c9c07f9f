package codec_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"testing"

	"github.com/anchore/go-lzo"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// pageSize of the fuzz targets: small, so that the fuzzer can make whole pages.
const pageSize = 512

// reference decodes a stream by other means; nil if it is no page of size bytes.
type reference func(tb testing.TB, src []byte, size int) []byte

// fuzzCodec feeds streams to a codec and compares with references.
func fuzzCodec(f *testing.F, m codec.Method, refs ...reference) {
	for _, page := range [][]byte{
		make([]byte, pageSize), dumptest.Fill(pageSize, "task_struct"), dumptest.Random(pageSize, 1), dumptest.Random(pageSize, 2),
	} {
		f.Add(encode(f, m, page))
	}
	var d codec.Decoder // kept: what a page leaves behind must not show in the next
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, ref := range refs {
			agree(t, &d, m, src, pageSize, ref)
		}
	})
}

// agree holds a decoder against a reference, and returns 1 for a page.
func agree(tb testing.TB, d *codec.Decoder, m codec.Method, src []byte, size int, ref reference) int {
	tb.Helper()
	got := make([]byte, size)
	err := d.Decode(m, got, src)
	if err != nil && !errors.Is(err, phys.ErrCorrupt) {
		tb.Fatalf("%v: no reason: %v", m, err)
	}
	agreeInPlace(tb, d, m, src, got, err)
	agreeWithoutAssembly(tb, d, m, src, got, err)
	want := ref(tb, src, size)
	if (err == nil) != (want != nil) {
		tb.Fatalf("%v: error %v, the reference holds %d bytes; of %x", m, err, len(want), src)
	}
	if err != nil {
		return 0
	}
	if !bytes.Equal(got, want) {
		tb.Fatalf("%v: holds %x, the reference %x; of %x", m, got, want, src)
	}
	return 1
}

// agreeWithoutAssembly decodes a stream by the twin in Go: the outcome is that of Decode.
func agreeWithoutAssembly(tb testing.TB, d *codec.Decoder, m codec.Method, src, want []byte, wantErr error) {
	tb.Helper()
	if m != codec.Zstd && m != codec.Snappy {
		return
	}
	got := make([]byte, len(want))
	var err error
	codec.WithoutAssembly(func() { err = d.Decode(m, got, src) })
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
		tb.Fatalf("%v: without assembly %v, with it %v; of %x", m, err, wantErr, src)
	}
}

func FuzzDecodeZlib(f *testing.F) {
	for _, page := range [][]byte{dumptest.Fill(pageSize, "task_struct"), dumptest.Random(pageSize, 3)} {
		for _, src := range streams(f, page) {
			f.Add(src)
		}
	}
	f.Add([]byte{0x78, 0x20, 0, 0, 0, 1}) // a preset dictionary, the empty one
	fuzzCodec(f, codec.Zlib, standardZlib, klauspostZlib, slow(codec.LargeZlib))
}

// FuzzInflate is FuzzDecodeZlib with a header and a checksum that are always right, so
// that the fuzzer comes to the blocks.
func FuzzInflate(f *testing.F) {
	for _, page := range [][]byte{dumptest.Fill(pageSize, "task_struct"), dumptest.Random(pageSize, 3)} {
		for _, src := range streams(f, page) {
			f.Add(src[2 : len(src)-4])
		}
	}
	var d codec.Decoder
	f.Fuzz(func(t *testing.T, blocks []byte) {
		page, _ := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(blocks)), 1<<16))
		src := append([]byte{0x78, 1}, blocks...)
		src = binary.BigEndian.AppendUint32(src, adler32.Checksum(page))
		agree(t, &d, codec.Zlib, src, len(page), standardZlib)
		agree(t, &d, codec.Zlib, src, len(page), klauspostZlib)
	})
}

func FuzzDecodeZstd(f *testing.F) {
	for _, page := range [][]byte{dumptest.Fill(pageSize, "task_struct"), dumptest.Random(pageSize, 3), realPages(f, pageSize, 1)[0]} {
		for _, src := range frames(f, page) {
			f.Add(src)
		}
	}
	fuzzCodec(f, codec.Zstd, klauspostZstd(f))
}

var (
	frameMagic     = []byte{0x28, 0xb5, 0x2f, 0xfd}
	skippableMagic = []byte{0x2a, 0x4d, 0x18} // behind 0x50 to 0x5f
)

func FuzzDecodeSnappy(f *testing.F) { fuzzCodec(f, codec.Snappy, naiveSnappy) }

// naiveSnappy decodes by the text of the format, byte by byte.
func naiveSnappy(_ testing.TB, src []byte, pageSize int) (page []byte) {
	size, n := binary.Uvarint(src)
	if n <= 0 || size != uint64(pageSize) {
		return nil
	}
	src = src[n:]
	for len(src) > 0 {
		length, offset, used := snappyElement(src)
		if used == 0 || length > pageSize-len(page) {
			return nil
		}
		if offset < 0 { // a literal
			if length > len(src)-used {
				return nil
			}
			page = append(page, src[used:used+length]...)
			src = src[used+length:]
			continue
		}
		if offset == 0 || offset > len(page) {
			return nil
		}
		for range length {
			page = append(page, page[len(page)-offset])
		}
		src = src[used:]
	}
	if len(page) != pageSize {
		return nil
	}
	return page
}

// snappyElement reads a tag and its operands; offset is -1 for a literal, used 0 if cut.
func snappyElement(src []byte) (length, offset, used int) {
	tag := int(src[0])
	extra := [4]int{0, 1, 2, 4}[tag&3]
	if tag&3 == 0 && tag>>2 >= 60 {
		extra = tag>>2 - 59
	}
	if len(src) < 1+extra {
		return 0, 0, 0
	}
	var operand [8]byte
	copy(operand[:], src[1:1+extra])
	v := int(binary.LittleEndian.Uint64(operand[:]))
	switch {
	case tag&3 == 0 && extra == 0:
		return tag>>2 + 1, -1, 1
	case tag&3 == 0:
		return v + 1, -1, 1 + extra
	case tag&3 == 1:
		return tag>>2&7 + 4, tag>>5<<8 | v, 2
	}
	return tag>>2 + 1, v, 1 + extra
}

func FuzzDecodeLZO(f *testing.F) {
	f.Add([]byte{0x11, 0, 0})
	f.Add([]byte("\x120 \x00\xdf\x00\x00\x11\x01\x00")) // the end mark's low bits are not looked at
	f.Add([]byte{0x12, 'a', 0x20, 0, 0, 0xe0, 0, 0, 0x11, 0, 0})
	fuzzCodec(f, codec.LZO, anchoreLZO, slow(codec.LargeLZO))
}

// FuzzLZO is FuzzDecodeLZO with pages of any size: of that which the stream has.
func FuzzLZO(f *testing.F) {
	for _, page := range append(shapes()[:6], shapes()[12:]...) {
		f.Add(encode(f, codec.LZO, page))
	}
	for _, page := range realPages(f, 4096, 8) {
		f.Add(encode(f, codec.LZO, page))
	}
	page := make([]byte, 1<<16)
	var d codec.Decoder
	f.Fuzz(func(t *testing.T, src []byte) {
		n, err := lzo.Decompress(src, page)
		if err != nil {
			n = len(page)
		}
		agree(t, &d, codec.LZO, src, n, anchoreLZO)
		agree(t, &d, codec.LZO, src, n, slow(codec.LargeLZO))
	})
}
