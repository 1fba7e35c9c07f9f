package vmcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/kautopsy/kautopsy/phys"
)

// pattern is test memory: n bytes that tell where they belong, and do not pack to nothing.
func pattern(a, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((a+i)*13 + (a+i)>>6 ^ (a+i)>>11)
	}
	return b
}

// recordHeader is the header that LiME and AVML share.
func recordHeader(magic, version uint32, start, n int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(le.AppendUint32(nil, magic), version)
	b = le.AppendUint64(b, uint64(start))
	b = le.AppendUint64(b, uint64(start+n-1))
	return le.AppendUint64(b, 0)
}

// limeRecord has the pattern of its addresses.
func limeRecord(start, n int) []byte {
	return append(recordHeader(limeMagic, limeVersion, start, n), pattern(start, n)...)
}

// avmlRecord has the same, packed by a writer of the framing format that is not ours.
func avmlRecord(start, n, chunk int) []byte {
	var stream bytes.Buffer
	w := s2.NewWriter(&stream, s2.WriterSnappyCompat(), s2.WriterBlockSize(max(chunk, 4<<10)), s2.WriterConcurrency(1))
	w.Write(pattern(start, n))
	w.Close()
	b := append(recordHeader(avmlMagic, avmlVersion, start, n), stream.Bytes()...)
	return binary.LittleEndian.AppendUint64(b, uint64(stream.Len()))
}

// want is what a page must read as: n bytes of the pattern, then the reason.
type want struct {
	pfn phys.PFN
	n   int
	why error
}

func checkPages(t *testing.T, c Container, pages []want) {
	t.Helper()
	buf := make([]byte, c.PageSize())
	for _, w := range pages {
		clear(buf)
		n, err := c.ReadPage(w.pfn, buf)
		if n != w.n || phys.Reason(err) != w.why || (err == nil) != (w.why == nil) {
			t.Errorf("page %#x: %d, %v; want %d, %v", w.pfn, n, err, w.n, w.why)
		}
		if !bytes.Equal(buf[:n], pattern(int(w.pfn)*c.PageSize(), n)) {
			t.Errorf("page %#x has other bytes", w.pfn)
		}
		var pe *phys.PageError
		if err != nil && !errors.As(err, &pe) {
			t.Errorf("page %#x: %v does not say where", w.pfn, err)
		}
	}
}

// checkReasons holds a container to its contract, whatever is in the file.
func checkReasons(t *testing.T, c Container, h Header, err error) {
	t.Helper()
	if err != nil {
		if phys.Reason(err) == nil && !errors.Is(err, ErrNotDump) {
			t.Fatalf("open: %v wraps no reason", err)
		}
		return
	}
	for _, p := range h.Problems {
		if phys.Reason(p) == nil {
			t.Fatalf("problem %v wraps no reason", p)
		}
	}
	buf, next, pages := make([]byte, c.PageSize()), phys.PFN(0), 0
	for run, err := range c.Runs() {
		if err != nil || run.Start < next || run.Len() == 0 || run.End > c.MaxPFN() {
			t.Fatalf("run %v after %#x, MaxPFN %#x: %v", run, next, c.MaxPFN(), err)
		}
		next = run.End
		for p := run.Start; p < run.End && pages < 100; p, pages = p+1, pages+1 {
			n, err := c.ReadPage(p, buf)
			corrupt := errors.Is(err, phys.ErrCorrupt) // known when it is decoded
			if (err == nil) != (n == len(buf)) || !corrupt && phys.Reason(err) != phys.Reason(run.Why) {
				t.Fatalf("page %#x of %v: %d, %v", p, run, n, err)
			}
		}
	}
}

type opener func(file []byte) (Container, Header, error)

func lime(file []byte) (Container, Header, error) {
	return openLime(bytes.NewReader(file), int64(len(file)), nil)
}

func TestLime(t *testing.T) {
	for _, c := range []struct {
		name       string
		file       []byte
		pages      []want
		incomplete bool
		problems   []error // reasons
	}{
		{
			"two ranges, descending", slices.Concat(limeRecord(0x10000, 0x2000), limeRecord(0x1000, 0x1800)),
			[]want{{1, 4096, nil}, {2, 0x800, phys.ErrHole}, {3, 0, phys.ErrHole}, {0x10, 4096, nil}, {0x11, 4096, nil}, {0x12, 0, phys.ErrHole}},
			false, nil,
		},
		{
			"the later of two records wins", slices.Concat(recordHeader(limeMagic, 1, 0x1000, 0x2000), make([]byte, 0x2000), limeRecord(0x2000, 0x1000)),
			[]want{{2, 4096, nil}},
			false,
			[]error{phys.ErrCorrupt},
		},
		{
			"cut in the last record", limeRecord(0x1000, 0x3000)[:recordSize+0x1100],
			[]want{{1, 4096, nil}, {2, 0x100, phys.ErrLost}, {3, 0, phys.ErrLost}},
			true,
			[]error{phys.ErrLost},
		},
		{
			"cut in a header", slices.Concat(limeRecord(0x1000, 0x1000), limeRecord(0x5000, 0x1000)[:20]),
			[]want{{1, 4096, nil}, {5, 0, phys.ErrHole}},
			true,
			[]error{phys.ErrLost},
		},
		{
			"something else behind it", slices.Concat(limeRecord(0x1000, 0x1000), make([]byte, 64)),
			[]want{{1, 4096, nil}},
			true,
			[]error{phys.ErrCorrupt},
		},
		{
			"an AVML record in between", slices.Concat(limeRecord(0x1000, 0x1000), avmlRecord(0x2000, 0x1000, 4096), limeRecord(0x3000, 0x1000)),
			[]want{{1, 4096, nil}, {2, 4096, nil}, {3, 4096, nil}},
			false, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, h, err := lime(c.file)
			if err != nil {
				t.Fatal(err)
			}
			checkPages(t, m, c.pages)
			checkReasons(t, m, h, err)
			if h.Incomplete != c.incomplete || len(h.Problems) != len(c.problems) {
				t.Errorf("incomplete %v, problems %v", h.Incomplete, h.Problems)
			}
			for i := range h.Problems {
				if phys.Reason(h.Problems[i]) != c.problems[i] {
					t.Errorf("problem %v, want %v", h.Problems[i], c.problems[i])
				}
			}
			if h.Format != "lime" || h.DumpLevel != -1 || h.Order != binary.LittleEndian {
				t.Errorf("header %+v", h)
			}
		})
	}
}

func TestLimeRefused(t *testing.T) {
	bad := func(edit func(b []byte)) []byte {
		b := limeRecord(0x1000, 0x1000)
		edit(b)
		return b
	}
	le := binary.LittleEndian
	for _, c := range []struct {
		file []byte
		why  error
	}{
		{limeRecord(0x1000, 16)[:31], phys.ErrLost},
		{bad(func(b []byte) { b[4] = 2 }), phys.ErrUnsupported},
		{bad(func(b []byte) { le.PutUint64(b[16:], 0) }), phys.ErrCorrupt},
		{bad(func(b []byte) { le.PutUint64(b[16:], ^uint64(0)) }), phys.ErrCorrupt},
	} {
		if _, _, err := lime(c.file); !errors.Is(err, c.why) {
			t.Errorf("%x: %v, want %v", c.file[:16], err, c.why)
		}
	}
}

// damage opens a file cut at every byte and with each field of its start set to 0, 1 and
// the maximum.
func damage(t *testing.T, file []byte, headers int, open opener) {
	t.Helper()
	for n := range file {
		c, h, err := open(file[:n])
		checkReasons(t, c, h, err)
	}
	for off := range min(headers, len(file)) {
		for _, width := range []int{1, 2, 4, 8} {
			for _, v := range []byte{0, 1, 0xff} {
				bad := bytes.Clone(file)
				for i := off; i < min(off+width, len(bad)); i++ {
					bad[i] = v
				}
				c, h, err := open(bad)
				checkReasons(t, c, h, err)
			}
		}
	}
}

func TestLimeDamage(t *testing.T) {
	damage(t, slices.Concat(limeRecord(0x1000, 0x300), limeRecord(0x4000, 0x80)), 64, lime)
}

func FuzzOpenLime(f *testing.F) {
	f.Add(slices.Concat(limeRecord(0x1000, 0x300), limeRecord(0x4000, 0x80)))
	f.Add(slices.Concat(limeRecord(0x1000, 0x300), avmlRecord(0x4000, 0x800, 4096)))
	f.Add(limeRecord(0x1000, 0x3000)[:100])
	f.Fuzz(func(t *testing.T, file []byte) {
		c, h, err := lime(file)
		checkReasons(t, c, h, err)
	})
}
