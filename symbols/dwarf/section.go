package dwarf

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

const (
	// maxInMemory is the size up to which a compressed section is unpacked in memory.
	maxInMemory = 8 << 20
	// maxUnpacked bounds what a compressed section may unpack to, whatever it says itself.
	maxUnpacked = 8 << 30
	// maxRatio is the most that zlib can do; zstd can do more, but not with debug information.
	maxRatio = 1100
	// maxPiece is the largest piece of a section that is read at once: a unit, mostly. The
	// largest of a 6.1 vmlinux has 1.2 MB.
	maxPiece = 64 << 20
	// wholeStrings is the size up to which a section of strings is read as a whole: 3.6 MB
	// in a 6.1 vmlinux, and asked for everywhere.
	wholeStrings = 16 << 20
)

// section is a section of the file as its reader wants it: plain and relocated.
type section struct {
	f    *File
	name string
	elf  *elf.Section // nil: the file has none of that name

	once sync.Once // guards what follows
	raw  io.ReaderAt
	size int64 // of the plain bytes
	rel  *relocations
	err  error

	wholeOnce sync.Once
	whole     []byte // of a section of strings
}

// section finds a section by its name; .debug_x is found as .zdebug_x too. One that the file
// has not is empty.
func (f *File) section(name string) *section {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sections[name]; s != nil {
		return s
	}
	s := &section{f: f, name: name}
	for _, es := range f.elf.Sections {
		if es.Type == elf.SHT_NOBITS {
			continue
		}
		if f.skeleton != nil && (es.Name == name+".dwo" || es.Name == ".z"+name[1:]+".dwo") || f.skeleton == nil && (es.Name == name || len(name) > 1 && es.Name == ".z"+name[1:]) {
			s.elf, s.name = es, es.Name
			break
		}
	}
	f.sections[name] = s
	return s
}

// open makes the section's bytes readable.
func (s *section) open() error {
	s.once.Do(func() {
		if s.elf == nil {
			s.raw = bytes.NewReader(nil)
			return
		}
		if s.err = s.plain(); s.err == nil {
			s.err = s.narrow()
		}
		if s.err == nil && s.f.elf.Type == elf.ET_REL {
			s.rel, s.err = s.f.relocations(s)
		}
	})
	return s.err
}

// narrow leaves what a unit of a package has of the section.
func (s *section) narrow() error {
	w, ok := s.f.windows[strings.TrimSuffix(s.name, ".dwo")]
	if !ok {
		return nil
	}
	if w.off > s.size || w.size > s.size-w.off {
		return wrong(s.name, w.off, phys.ErrCorrupt, "%d bytes reach beyond the section's %d", w.size, s.size)
	}
	s.raw, s.size = io.NewSectionReader(s.raw, w.off, w.size), w.size
	return nil
}

// plain finds the section's own bytes, unpacked.
func (s *section) plain() error {
	es := s.elf
	if es.Offset > uint64(s.f.size) || es.FileSize > uint64(s.f.size)-es.Offset {
		return wrong(s.name, 0, phys.ErrLost, "%d bytes at file offset %#x are not in the file of %d bytes", es.FileSize, es.Offset, s.f.size)
	}
	in := io.NewSectionReader(s.f.r, int64(es.Offset), int64(es.FileSize))
	switch {
	case es.Flags&elf.SHF_COMPRESSED != 0:
		return s.chdr(in)
	case len(s.name) > 2 && s.name[:3] == ".zd":
		return s.zdebug(in)
	}
	s.raw, s.size = in, int64(es.FileSize)
	return nil
}

// chdr unpacks a section behind an Elf32_Chdr or Elf64_Chdr: ch_type, (64: ch_reserved),
// ch_size, ch_addralign.
func (s *section) chdr(in *io.SectionReader) error {
	head := make([]byte, 24)
	n, _ := in.ReadAt(head, 0)
	c := bin.NewCursor(s.name, head[:n], 0, s.f.elf.ByteOrder)
	typ, long := c.U32(), s.f.elf.Class == elf.ELFCLASS64
	var size uint64
	if long {
		c.Skip(4)
		size = c.U64()
		c.Skip(8)
	} else {
		size = uint64(c.U32())
		c.Skip(4)
	}
	if c.Err() != nil {
		return c.Err()
	}
	return s.unpack(io.NewSectionReader(in, c.Off(), in.Size()-c.Off()), elf.CompressionType(typ), size)
}

// zdebug unpacks the form before SHF_COMPRESSED: "ZLIB" and the length, big-endian.
func (s *section) zdebug(in *io.SectionReader) error {
	head := make([]byte, 12)
	if n, _ := in.ReadAt(head, 0); n < 12 || string(head[:4]) != "ZLIB" {
		return wrong(s.name, 0, phys.ErrCorrupt, "does not begin with ZLIB")
	}
	var size uint64
	for _, b := range head[4:] {
		size = size<<8 | uint64(b)
	}
	return s.unpack(io.NewSectionReader(in, 12, in.Size()-12), elf.COMPRESS_ZLIB, size)
}

// unpack inflates a section into memory, or into a file without a name when it is large.
func (s *section) unpack(in io.Reader, typ elf.CompressionType, size uint64) error {
	if size > maxUnpacked || size > maxRatio*s.elf.FileSize {
		return wrong(s.name, 0, phys.ErrLimit, "unpacks to %d bytes", size)
	}
	var from io.Reader
	switch typ {
	case elf.COMPRESS_ZLIB:
		z, err := zlib.NewReader(in)
		if err != nil {
			return wrong(s.name, 0, phys.ErrCorrupt, "%v", err)
		}
		from = z
	case elf.COMPRESS_ZSTD:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxInMemory))
		if err != nil {
			return wrong(s.name, 0, phys.ErrCorrupt, "%v", err)
		}
		defer z.Close()
		from = z
	default:
		return wrong(s.name, 0, phys.ErrUnsupported, "compression %d", typ)
	}
	s.size = int64(size)
	if size <= maxInMemory {
		var b bytes.Buffer // grows with what is there, not with what is promised
		n, err := io.Copy(&b, io.LimitReader(from, s.size))
		s.raw = bytes.NewReader(b.Bytes())
		return s.unpacked(n, err)
	}
	return s.unpackFile(from)
}

// unpackFile inflates into a file that vanishes with the process.
func (s *section) unpackFile(from io.Reader) error {
	tmp, err := os.CreateTemp("", "kautopsy-section-")
	if err != nil {
		return fmt.Errorf("section %s: %w", s.name, err)
	}
	os.Remove(tmp.Name())
	s.f.scratch(tmp)
	n, err := io.Copy(tmp, io.LimitReader(from, s.size))
	s.raw = tmp
	return s.unpacked(n, err)
}

// unpacked judges what came out.
func (s *section) unpacked(n int64, err error) error {
	var pe *os.PathError
	switch {
	case errors.As(err, &pe):
		return fmt.Errorf("section %s, unpacked: %w", s.name, err)
	case err != nil:
		return wrong(s.name, n, phys.ErrCorrupt, "%v", err)
	case n < s.size:
		return wrong(s.name, n, phys.ErrCorrupt, "unpacks to %d bytes, not %d", n, s.size)
	}
	return nil
}

// len is the number of bytes of the section, 0 when the file has none.
func (s *section) len() int64 {
	if s.open() != nil {
		return 0
	}
	return s.size
}

// read fills b, or as much as it is long, with the bytes at off; into fresh memory when b is
// too short. Fewer bytes than n come with an error.
func (s *section) read(b []byte, off int64, n uint64) ([]byte, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	switch {
	case n > maxPiece:
		return nil, wrong(s.name, off, phys.ErrLimit, "%d bytes at once", n)
	case s.elf == nil:
		return nil, wrong(s.name, off, phys.ErrLost, "the file has no such section")
	case off < 0 || off > s.size || n > uint64(s.size-off):
		return nil, wrong(s.name, off, phys.ErrCorrupt, "%d bytes reach beyond the section's %d", n, s.size)
	}
	if uint64(cap(b)) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	if got, err := s.raw.ReadAt(b, off); got < len(b) {
		return nil, fmt.Errorf("section %s at %#x: %w", s.name, off+int64(got), err)
	}
	if s.rel != nil {
		if err := s.rel.apply(b, off); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// buf reads n bytes at off into fresh memory, fewer where the section ends.
func (s *section) buf(off int64, n int64) (buf, error) {
	if room := s.len() - off; off >= 0 && room >= 0 && n > room {
		n = room
	}
	b, err := s.read(nil, off, uint64(max(n, 0)))
	return buf{what: s.name, base: off, b: b, order: s.f.elf.ByteOrder}, err
}

// decode calls try with bytes of the section from off on, twice as many each time it runs
// out of them: at first n, at last most. It is for what does not tell its length beforehand.
func (s *section) decode(off, n, most int64, try func(*buf) error) error {
	for {
		r, err := s.buf(off, n)
		if err != nil {
			return err
		}
		err = try(&r)
		if err == nil {
			err = r.err
		}
		if err == nil || r.err == nil || int64(len(r.b)) < n || n >= most {
			return err
		}
		n *= 2
	}
}

// maxText bounds a name; Rust's mangled ones can have some hundreds of bytes.
const maxText = 1 << 16

// text reads the string at off.
func (s *section) text(off uint64) (string, error) {
	if err := s.open(); err != nil {
		return "", err
	}
	if s.size <= wholeStrings && off < uint64(s.size) {
		s.wholeOnce.Do(func() { s.whole, _ = s.read(nil, 0, uint64(s.size)) })
		if s.whole != nil {
			r := buf{what: s.name, b: s.whole, at: int(off), order: s.f.elf.ByteOrder}
			t := r.text()
			return string(t[:min(len(t), maxText)]), r.err
		}
	}
	var out string
	err := s.decode(int64(off), 128, maxText, func(r *buf) error {
		out = string(r.text())
		return nil
	})
	return out, err
}
