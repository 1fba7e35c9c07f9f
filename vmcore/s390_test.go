package vmcore

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

func s390(file []byte) (Container, Header, error) {
	return openS390(bytes.NewReader(file), int64(len(file)), nil)
}

const testTOD = uint64(2208988800+1700000000) * 1000000 << 12 // 2023-11-14 22:13:20 UTC

// s390Head is the header of a dump of memSize bytes.
func s390Head(magic uint64, memSize int, prefixes ...uint32) []byte {
	be := binary.BigEndian
	b := make([]byte, s390HeaderSize)
	be.PutUint64(b, magic)
	be.PutUint32(b[0x08:], 5)
	be.PutUint32(b[0x0c:], s390HeaderSize)
	be.PutUint32(b[0x14:], 4096)
	be.PutUint64(b[0x18:], uint64(memSize))
	be.PutUint64(b[0x28:], uint64(memSize))
	be.PutUint64(b[0x38:], testTOD)
	be.PutUint32(b[0x48:], 2)
	be.PutUint16(b[0x5d:], uint16(len(prefixes)))
	be.PutUint32(b[0x62:], s390EntrySize)
	for i, p := range prefixes {
		be.PutUint32(b[s390PrefixOff+4*i:], p)
	}
	return b
}

func s390Tail() []byte { return binary.BigEndian.AppendUint64([]byte(s390EndMark), testTOD+1) }

func s390Plain(memSize int) []byte {
	return slices.Concat(s390Head(s390Magic, memSize), pattern(0, memSize), s390Tail())
}

// stop marks the last segment of a chain.
type stop uint64

const (
	more stop = 0
	last stop = 1
)

// s390Segment has the pattern of its addresses; with a block size it is packed, its
// second entry plain.
func s390Segment(start, n, block int, mark stop) []byte {
	be := binary.BigEndian
	h := make([]byte, s390HeaderSize)
	be.PutUint64(h, uint64(start))
	be.PutUint64(h[8:], uint64(n))
	be.PutUint64(h[16:], uint64(mark))
	if block == 0 {
		return append(h, pattern(start, n)...)
	}
	var body []byte
	count := 0
	for at := 0; at < n; at += s390EntrySize {
		data := pattern(start+at, min(s390EntrySize, n-at))
		word := uint32(len(body) / block)
		if count == 1 {
			word |= s390PlainEntry
			body = append(body, data...)
		} else {
			var z bytes.Buffer
			w := zlib.NewWriter(&z)
			w.Write(data)
			w.Close()
			body = append(body, z.Bytes()...)
		}
		body = append(body, make([]byte, -len(body)&(block-1))...)
		be.PutUint32(h[52+4*count:], word)
		count++
	}
	be.PutUint32(h[24:], uint32(len(body)/block))
	be.PutUint32(h[48:], uint32(count))
	return append(h, body...)
}

func TestS390Plain(t *testing.T) {
	c, h, err := s390(s390Plain(0x20000))
	if err != nil {
		t.Fatal(err)
	}
	checkPages(t, c, []want{{0, 4096, nil}, {0x1f, 4096, nil}, {0x20, 0, phys.ErrHole}})
	at := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	if h.Format != "s390" || h.Arch != "s390x" || h.Order != binary.BigEndian || h.PtrSize != 8 || !h.Time.Equal(at) || h.Incomplete {
		t.Errorf("%+v", h)
	}
	if _, ok := c.(phys.Reader); !ok {
		t.Error("plain memory is not read directly")
	}
}

func TestS390Incomplete(t *testing.T) {
	file := s390Plain(0x20000)
	for _, c := range []struct {
		name string
		file []byte
		page want
	}{
		{"no end mark", file[:len(file)-16], want{0x1f, 4096, nil}},
		{"end mark of an older dump", append(bytes.Clone(file[:len(file)-8]), 0, 0, 0, 0, 0, 0, 0, 1), want{0x1f, 4096, nil}},
		{"cut in memory", file[:s390HeaderSize+0x10080], want{0x10, 0x80, phys.ErrLost}},
	} {
		m, h, err := s390(c.file)
		if err != nil || !h.Incomplete || len(h.Problems) != 1 || !errors.Is(h.Problems[0], phys.ErrLost) {
			t.Errorf("%s: %+v, %v", c.name, h, err)
			continue
		}
		checkPages(t, m, []want{c.page})
	}
}

func TestS390Extended(t *testing.T) {
	const mib = 1 << 20
	for _, block := range []int{0, 512, 4096} {
		file := slices.Concat(
			s390Head(s390ExtMagic, 8*mib),
			s390Segment(0x1000, 2*mib+0x5000, block, more),
			s390Segment(4*mib, mib, block, more),
			s390Segment(6*mib, 0x3000, 0, last),
			s390Tail(),
		)
		c, h, err := s390(file)
		if err != nil || h.Incomplete || len(h.Problems) > 0 {
			t.Fatalf("block %d: %+v, %v", block, h, err)
		}
		checkPages(t, c, []want{{1, 4096, nil}, {0x100, 4096, nil}, {0x101, 4096, nil}, {0x205, 4096, nil}, {0x4ff, 4096, nil}, {0x602, 4096, nil}, {0x800, 0, phys.ErrHole}})
		buf := pattern(0, 4096)
		for _, p := range []phys.PFN{0, 0x206, 0x603, 0x7ff} { // between segments: zeros
			if n, err := c.ReadPage(p, buf); n != 4096 || err != nil || !bytes.Equal(buf, make([]byte, 4096)) {
				t.Errorf("block %d: page %#x: %d, %v", block, p, n, err)
			}
		}
		checkReasons(t, c, h, nil)
	}
}

func TestS390ExtendedDamage(t *testing.T) {
	const mib = 1 << 20
	file := slices.Concat(s390Head(s390ExtMagic, 8*mib), s390Segment(0, 2*mib, 4096, more), s390Segment(4*mib, mib, 4096, last), s390Tail())
	cut := len(file) - 16 - 5000
	m, h, err := s390(file[:cut])
	if err != nil || !h.Incomplete {
		t.Fatal(h, err)
	}
	checkPages(t, m, []want{{0x1ff, 4096, nil}, {0x400, 0, phys.ErrLost}, {0x7ff, 0, phys.ErrLost}})

	bad := bytes.Clone(file)
	for i := range 64 {
		bad[2*s390HeaderSize+100+i] ^= 0x5a
	}
	m, h, err = s390(bad)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadPage(0, make([]byte, 4096)); !errors.Is(err, phys.ErrCorrupt) {
		t.Errorf("changed entry: %v", err)
	}
	checkReasons(t, m, h, nil)
}

func TestS390Refused(t *testing.T) {
	edit := func(off int, v byte) []byte {
		b := s390Plain(0x2000)
		b[off] = v
		return b
	}
	for _, c := range []struct {
		file []byte
		why  error
	}{
		{edit(0x5c, 1), ErrNotDump},         // one of several volumes
		{edit(0x0e, 0), phys.ErrCorrupt},    // hdr_size 0
		{edit(0x0c, 0xff), phys.ErrCorrupt}, // hdr_size huge
		{edit(0x16, 0), phys.ErrCorrupt},    // page_size
		{edit(0x18, 0xff), phys.ErrCorrupt}, // mem_size
		{s390Plain(0x2000)[:4095], phys.ErrLost},
	} {
		if _, _, err := s390(c.file); !errors.Is(err, c.why) {
			t.Errorf("%v, want %v", err, c.why)
		}
	}
}

// TestS390Registers: the lowcore's save area becomes the notes that /proc/vmcore has.
func TestS390Registers(t *testing.T) {
	const prefix = 0x6000
	be := binary.BigEndian
	file := slices.Concat(s390Head(s390Magic, 0x20000, prefix, 0xfffff000), make([]byte, 0x20000), s390Tail())
	mem := file[s390HeaderSize:]
	low := mem[prefix+lowcoreSave:]
	be.PutUint64(low[savePSW:], 0x0704c00180000000)
	be.PutUint64(low[savePSW+8:], 0x00123456)
	for i := range 16 {
		be.PutUint64(low[saveGPRs+8*i:], uint64(0x1000+i))
		be.PutUint32(low[saveAccess+4*i:], uint32(0x2000+i))
		be.PutUint64(low[saveControl+8*i:], uint64(0x3000+i))
		be.PutUint64(low[saveFPRs+8*i:], uint64(0x4000+i))
	}
	be.PutUint32(low[savePrefix:], prefix)
	be.PutUint32(low[saveFPC:], 0x5005)
	info := "OSRELEASE=6.1.0-s390x\nPAGESIZE=4096\n"
	be.PutUint64(mem[lowcoreVMCoreInfo:], 0x9000)
	copy(mem[0x9000:], elfnote.Append(nil, be, elfnote.Note{Name: "VMCOREINFO", Desc: []byte(info)}))

	_, h, err := s390(file)
	if err != nil || len(h.Notes) != 1 || h.CPUs != 2 { // the second CPU's lowcore is not in memory
		t.Fatal(err, len(h.Notes), h.CPUs)
	}
	got := map[uint32][]byte{}
	for n, err := range elfnote.All(h.Notes[0], be) {
		if err != nil {
			t.Fatal(err)
		}
		got[n.Type] = n.Desc
	}
	for _, c := range []struct {
		typ  uint32
		off  int
		want uint64
	}{
		{elfnote.TypePRStatus, 112, 0x0704c00180000000},
		{elfnote.TypePRStatus, 120, 0x00123456},
		{elfnote.TypePRStatus, 128, 0x1000},
		{elfnote.TypePRStatus, 248, 0x100f},
		{elfnote.TypePRStatus, 256, 0x200000002001},
		{noteFPRegs, 0, 0x500500000000},
		{noteFPRegs, 8, 0x4000},
		{noteFPRegs, 128, 0x400f},
		{noteS390Ctrs, 120, 0x300f},
	} {
		if v := be.Uint64(got[c.typ][c.off:]); v != c.want {
			t.Errorf("note %#x at %d: %#x, want %#x", c.typ, c.off, v, c.want)
		}
	}
	if len(got[elfnote.TypePRStatus]) != 336 || be.Uint32(got[noteS390Prefix]) != prefix {
		t.Errorf("notes %v", got)
	}
	if !bytes.HasPrefix(h.VMCoreInfo, []byte(info)) {
		t.Errorf("vmcoreinfo %q", h.VMCoreInfo)
	}
}

func TestS390EveryHeaderByte(t *testing.T) {
	for _, magic := range []uint64{s390Magic, s390ExtMagic} {
		file := slices.Concat(s390Head(magic, 0x3000, 0), s390Segment(0, 0x1000, 4096, more), s390Segment(0x2000, 0x100, 0, last), s390Tail())
		// Headers only: every byte of 12 KiB, with all widths and values, would take minutes.
		for _, at := range []int{0, s390HeaderSize} {
			for off := at; off < at+0x70; off++ {
				for _, v := range []byte{0, 1, 0x7f, 0xff} {
					for _, width := range []int{1, 4, 8} {
						bad := bytes.Clone(file)
						for i := off; i < off+width; i++ {
							bad[i] = v
						}
						c, h, err := s390(bad)
						checkReasons(t, c, h, err)
					}
				}
			}
		}
		for n := 0; n < len(file); n += 61 {
			c, h, err := s390(file[:n])
			checkReasons(t, c, h, err)
		}
	}
}

func FuzzOpenS390(f *testing.F) {
	f.Add(s390Plain(0x2000))
	f.Add(slices.Concat(s390Head(s390ExtMagic, 0x3000, 0), s390Segment(0, 0x1000, 4096, more), s390Segment(0x2000, 0x100, 0, last), s390Tail()))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, h, err := s390(file)
		checkReasons(t, c, h, err)
	})
}
