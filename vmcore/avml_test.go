package vmcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

func avml(file []byte) (Container, Header, error) {
	return openAVML(bytes.NewReader(file), int64(len(file)), nil)
}

// frame is one chunk of a snappy stream.
func frame(kind byte, body []byte) []byte {
	return append([]byte{kind, byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16)}, body...)
}

// dataFrame packs data into a chunk, or stores it.
func dataFrame(kind byte, data []byte) []byte {
	body := binary.LittleEndian.AppendUint32(nil, maskedCRC(data))
	if kind == chunkPacked {
		return frame(kind, append(body, s2.EncodeSnappy(nil, data)...))
	}
	return frame(kind, append(body, data...))
}

// framedRecord is an AVML record with the given chunks.
func framedRecord(start, n int, chunks ...[]byte) []byte {
	stream := slices.Concat(append([][]byte{frame(0xff, []byte("sNaPpY"))}, chunks...)...)
	b := append(recordHeader(avmlMagic, avmlVersion, start, n), stream...)
	return binary.LittleEndian.AppendUint64(b, uint64(len(stream)))
}

func TestAVML(t *testing.T) {
	// 16 MiB as AVML writes them, from an address that is on no 64 KiB boundary.
	file := slices.Concat(avmlRecord(0x1000, 16<<20, maxChunk), avmlRecord(0x2001000, 0x21000, maxChunk))
	c, h, err := avml(file)
	if err != nil || h.Incomplete || len(h.Problems) > 0 || h.Format != "avml" || h.Codec != "snappy" {
		t.Fatalf("%+v, %v", h, err)
	}
	var pages []want
	for p := phys.PFN(1); p <= 0x1000; p += 7 {
		pages = append(pages, want{p, 4096, nil})
	}
	pages = append(pages, want{0x2001, 4096, nil}, want{0x2021, 4096, nil}, want{0x2022, 0, phys.ErrHole}, want{0x1801, 0, phys.ErrHole})
	slices.Reverse(pages[:len(pages)/2])
	checkPages(t, c, pages)
	if _, ok := c.(phys.Reader); ok {
		t.Error("packed memory is read past the page cache")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { checkPages(t, c, pages) })
	}
	wg.Wait()
}

// TestAVMLChunks: every kind of chunk, odd sizes, more chunks than lie between marks.
func TestAVMLChunks(t *testing.T) {
	var chunks [][]byte
	start, n := 0x10000, 0
	for i := range 100 {
		size := 1 + i*37
		data := pattern(start+n, size)
		switch i % 4 {
		case 0:
			chunks = append(chunks, dataFrame(chunkPlain, data))
		case 1:
			chunks = append(chunks, frame(0xfe, make([]byte, i)), dataFrame(chunkPacked, data))
		default:
			chunks = append(chunks, dataFrame(chunkPacked, data))
		}
		n += size
	}
	c, h, err := avml(framedRecord(start, n, chunks...))
	if err != nil || len(h.Problems) > 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	var pages []want
	for p := range n / 4096 {
		pages = append(pages, want{phys.PFN(start/4096 + p), 4096, nil})
	}
	checkPages(t, c, append(pages, want{phys.PFN((start + n) / 4096), (start + n) % 4096, phys.ErrHole}))
}

func TestAVMLDamagedChunks(t *testing.T) {
	a, b := dataFrame(chunkPacked, pattern(0x1000, 0x1000)), dataFrame(chunkPacked, pattern(0x2000, 0x1000))
	bad := bytes.Clone(b)
	bad[5] ^= 1 // the checksum
	long := dataFrame(chunkPacked, pattern(0x2000, 0x2000))
	behind := avmlRecord(0x8000, 0x1000, 4096)
	for _, c := range []struct {
		name  string
		file  []byte
		pages []want
		open  error // reason of the problem at open
	}{
		{"checksum", slices.Concat(framedRecord(0x1000, 0x2000, a, bad), behind), []want{{1, 4096, nil}, {2, 0, phys.ErrCorrupt}, {8, 4096, nil}}, nil},
		{"a type that is not known", slices.Concat(framedRecord(0x1000, 0x2000, a, frame(0x33, nil), b), behind), []want{{1, 4096, nil}, {2, 0, phys.ErrCorrupt}, {8, 0, phys.ErrHole}}, phys.ErrCorrupt},
		{"more data than the record", slices.Concat(framedRecord(0x1000, 0x2000, a, long), behind), []want{{1, 4096, nil}, {2, 0, phys.ErrCorrupt}}, phys.ErrCorrupt},
		{"cut in a chunk", framedRecord(0x1000, 0x2000, a, b)[:recordSize+10+len(a)+20], []want{{1, 4096, nil}, {2, 0, phys.ErrLost}}, phys.ErrLost},
		{"cut before the length", framedRecord(0x1000, 0x2000, a, b)[:recordSize+10+len(a)+len(b)], []want{{1, 4096, nil}, {2, 4096, nil}}, nil},
		{"wrong length", func() []byte {
			f := framedRecord(0x1000, 0x2000, a, b)
			f[len(f)-8]++
			return f
		}(), []want{{1, 4096, nil}, {2, 4096, nil}}, phys.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, h, err := avml(c.file)
			if err != nil {
				t.Fatal(err)
			}
			checkPages(t, m, c.pages)
			if (c.open != nil) != (len(h.Problems) == 1) || c.open != nil && (!errors.Is(h.Problems[0], c.open) || !h.Incomplete) {
				t.Errorf("problems %v, want %v", h.Problems, c.open)
			}
		})
	}
}

// TestChunkErrorSaysWhere: the offset is that of the chunk in the file.
func TestChunkErrorSaysWhere(t *testing.T) {
	chunk := dataFrame(chunkPacked, pattern(0x1000, 0x1000))
	chunk[4] ^= 0xff
	c, _, err := avml(framedRecord(0x1000, 0x1000, chunk))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ReadPage(1, make([]byte, 4096))
	var pe *phys.PageError
	var de *bin.DecodeError
	if !errors.As(err, &pe) || pe.Off != recordSize+10 || !errors.As(err, &de) {
		t.Errorf("error %v", err)
	}
}

// shrunk is a file that was longer when it was opened.
type shrunk struct {
	*bytes.Reader
	size int64
}

func (s *shrunk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.size {
		return 0, io.EOF
	}
	return s.Reader.ReadAt(p, off)
}

func TestShrunkFile(t *testing.T) {
	for _, file := range [][]byte{avmlRecord(0x1000, 0x1000, 4096), limeRecord(0x1000, 0x1000)} {
		r := &shrunk{bytes.NewReader(file), int64(len(file))}
		c, _, err := openLime(r, int64(len(file)), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.size = 100
		checkPages(t, c, []want{{1, 0, phys.ErrLost}})
	}
}

func TestAVMLDamage(t *testing.T) {
	file := framedRecord(0x1000, 0x220, dataFrame(chunkPacked, pattern(0x1000, 0x200)), dataFrame(chunkPlain, pattern(0x1200, 0x20)))
	damage(t, append(file, limeRecord(0x3000, 0x10)...), 100, avml)
}

func FuzzOpenAVML(f *testing.F) {
	f.Add(avmlRecord(0x1000, 0x1800, 4096))
	f.Add(framedRecord(0x1000, 0x220, dataFrame(chunkPacked, pattern(0x1000, 0x200)), dataFrame(chunkPlain, pattern(0x1200, 0x20))))
	f.Add(append(avmlRecord(0x1000, 0x180, 4096), limeRecord(0x4000, 16)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, h, err := avml(file)
		checkReasons(t, c, h, err)
	})
}

func BenchmarkAVMLPage(b *testing.B) {
	c, _, err := avml(avmlRecord(0x1000, 4<<20, maxChunk))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.ReadPage(phys.PFN(1+i%1024), buf); err != nil {
			b.Fatal(err)
		}
	}
}
