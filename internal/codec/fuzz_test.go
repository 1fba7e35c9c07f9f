package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	stdzlib "compress/zlib"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// pageSize of the fuzz targets: small, so that the fuzzer can make whole pages.
const pageSize = 512

// fuzzCodec feeds streams to a codec and compares with a reference, which gives nil for a
// stream that is no page, and skips those of which it does not know.
func fuzzCodec(f *testing.F, m codec.Method, reference func(t *testing.T, src []byte) []byte) {
	for _, page := range [][]byte{
		make([]byte, pageSize), dumptest.Fill(pageSize, "task_struct"), dumptest.Random(pageSize, 1), dumptest.Random(pageSize, 2),
	} {
		f.Add(encode(f, m, page))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var d codec.Decoder
		got := make([]byte, pageSize)
		err := d.Decode(m, got, src)
		if err != nil && !errors.Is(err, phys.ErrCorrupt) {
			t.Fatalf("no reason: %v", err)
		}
		want := reference(t, src)
		if (err == nil) != (want != nil) {
			t.Fatalf("error %v, the reference holds %d bytes", err, len(want))
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("holds %x, the reference %x", got, want)
		}
	})
}

func FuzzDecodeZlib(f *testing.F) {
	fuzzCodec(f, codec.Zlib, func(_ *testing.T, src []byte) []byte {
		in := bytes.NewReader(src)
		r, err := stdzlib.NewReader(in)
		if err != nil {
			return nil
		}
		page, err := io.ReadAll(io.LimitReader(r, pageSize+1))
		if err != nil || len(page) != pageSize || in.Len() != 0 {
			return nil
		}
		return page
	})
}

func FuzzDecodeZstd(f *testing.F) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(dec.Close)
	fuzzCodec(f, codec.Zstd, func(t *testing.T, src []byte) []byte {
		if !bytes.HasPrefix(src, frameMagic) {
			return nil
		}
		if bytes.Contains(src[1:], frameMagic) || bytes.Contains(src, skippableMagic) {
			t.Skip("can be several frames, which the library joins")
		}
		page, err := dec.DecodeAll(src, nil)
		if err != nil || len(page) != pageSize {
			return nil
		}
		return page
	})
}

var (
	frameMagic     = []byte{0x28, 0xb5, 0x2f, 0xfd}
	skippableMagic = []byte{0x2a, 0x4d, 0x18} // behind 0x50 to 0x5f
)

func FuzzDecodeSnappy(f *testing.F) { fuzzCodec(f, codec.Snappy, naiveSnappy) }

// naiveSnappy decodes by the text of the format, byte by byte.
func naiveSnappy(t *testing.T, src []byte) (page []byte) {
	size, n := binary.Uvarint(src)
	if n <= 0 || size != pageSize {
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
		if offset == 0 {
			t.Skip("S2, whose decoder is used, has a meaning for offset 0")
		}
		if offset > len(page) {
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
	fuzzCodec(f, codec.LZO, naiveLZO)
}
