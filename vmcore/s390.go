package vmcore

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/kautopsy/kautopsy/elfcore"
	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// The s390 stand-alone dump tools write to DASD or tape; big-endian (s390-tools
// include/dump/s390_dump.h, zdump/dfi_s390.c):
//
//	0x0000      header: magic, sizes, TOD clock, the lowcore address of each CPU
//	hdr_size    plain: memory from 0 to mem_size
//	            extended: | segment header, 4096 | data | segment header | data | … the last
//	                      one has a stop marker; what lies between segments is zero
//	end         "DUMP_END", TOD clock
//
//	segment     0       8     16            24             28 … 48            52
//	            | start | len | stop_marker | size_on_disk | … | entry_count | entry_offset[] |
//
// size_on_disk and entry_offset count the device's blocks, whose size is not in the file;
// size_on_disk 0 is a segment that is not packed. An entry is 1 MiB, packed by zlib, or
// plain when the top bit of its offset is set. Registers are in the lowcores alone.
//
// Not read: dumps over several volumes (mvdump), registers of 31-bit machines.
const (
	s390Magic    = 0xa8190173618f23fd
	s390ExtMagic = 0xa8190173618f23fe

	s390HeaderSize = 0x1000
	s390PrefixOff  = 0x800
	s390MaxCPUs    = 512
	s390EndMark    = "DUMP_END"
	s390SegEntries = (s390HeaderSize - 52) / 4
	s390PlainEntry = 1 << 31
	s390EntrySize  = 1 << 20  // zlib_entry_size that every writer uses
	s390MaxEntry   = 16 << 20 // bounds the memory of one decoded entry

	// maxS390Segments bounds a chain; zipl's dumper writes a segment per run of
	// used memory, of which a machine has a handful.
	maxS390Segments = 1 << 16
)

// s390Header is struct df_s390_hdr, which is packed: hence no bin.Layout.
type s390Header struct {
	magic             uint64
	version           uint32
	hdrSize, pageSize uint32
	memSize           uint64
	tod               uint64
	arch              uint32 // 1: 31-bit, 2: 64-bit
	mvdump            uint8
	cpus              uint16
	entrySize         uint32
	prefixes          []uint32
}

func decodeS390Header(b []byte) (h s390Header, err error) {
	c := bin.NewCursor("df_s390_hdr", b, 0, binary.BigEndian)
	h.magic, h.version, h.hdrSize = c.U64(), c.U32(), c.U32()
	c.Skip(4) // dump_level
	h.pageSize, h.memSize = c.U32(), c.U64()
	c.Skip(8 + 8 + 4 + 4) // mem_start, mem_end, num_pages, pad
	h.tod = c.U64()
	c.Skip(8) // cpu_id
	h.arch = c.U32()
	c.Skip(4 + 4 + 8) // volnr, build_arch, mem_size_real
	h.mvdump, h.cpus = uint8(c.Uint(1)), c.U16()
	c.Skip(2 + 1) // real_cpu_cnt, zlib_version_s390
	h.entrySize = c.U32()
	p := bin.NewCursor("lc_vec", b[min(s390PrefixOff, len(b)):], s390PrefixOff, binary.BigEndian)
	for range min(int(h.cpus), s390MaxCPUs) {
		h.prefixes = append(h.prefixes, p.U32())
	}
	if err = c.Err(); err == nil {
		err = p.Err()
	}
	return h, err
}

// check tells why a dump cannot be read.
func (h *s390Header) check() error {
	switch {
	case h.mvdump != 0:
		return &NotADump{What: "one volume of an s390 multi-volume dump", Do: "join the volumes with zgetdump DEVICE > vmcore"}
	case h.hdrSize < s390HeaderSize || h.hdrSize > 1<<20:
		return fmt.Errorf("s390: hdr_size is %#x: %w", h.hdrSize, phys.ErrCorrupt)
	case h.pageSize != rawPage:
		return fmt.Errorf("s390: page_size is %d: %w", h.pageSize, phys.ErrCorrupt)
	case h.memSize == 0 || h.memSize > 1<<53: // the architecture's region-first table ends there
		return fmt.Errorf("s390: mem_size is %#x: %w", h.memSize, phys.ErrCorrupt)
	}
	return nil
}

// openS390 opens a stand-alone dump of one volume.
func openS390(r io.ReaderAt, size int64, _ *Options) (Container, Header, error) {
	raw, err := readS390Header(r, size)
	if err != nil {
		return nil, Header{}, err
	}
	h := raw.describe()
	open := openS390Plain
	if raw.magic == s390ExtMagic {
		open = openS390Segments
	}
	m, end, err := open(r, size, &raw, &h)
	if err == nil {
		err = checkS390End(r, size, end, raw.tod)
	}
	if err != nil {
		h.Incomplete = true
		h.Problems = append(h.Problems, fmt.Errorf("s390: %w", err))
	}
	if h.PtrSize == 8 {
		h.Notes = s390Notes(m, raw.prefixes)
		h.VMCoreInfo = s390VMCoreInfo(m)
	}
	if h.Codec != "none" {
		return paged{m}, h, nil
	}
	return m, h, nil
}

func readS390Header(r io.ReaderAt, size int64) (h s390Header, err error) {
	b, err := bin.ReadN(r, size, 0, s390HeaderSize, s390HeaderSize)
	if err != nil {
		return h, fmt.Errorf("s390: truncated header (%d of %d bytes): %w", size, s390HeaderSize, err)
	}
	if h, err = decodeS390Header(b); err != nil {
		return h, err
	}
	return h, h.check()
}

// describe is what the header says of the machine.
func (h *s390Header) describe() Header {
	d := Header{
		Format: "s390", Version: int(h.version), Parts: 1,
		Arch: "s390x", Order: binary.BigEndian, PtrSize: 8,
		Time: todTime(h.tod), CPUs: int(h.cpus), DumpLevel: -1, Codec: "none",
	}
	if h.arch == 1 {
		d.Arch, d.PtrSize = "s390", 4
	}
	return d
}

// todTime converts the TOD clock, whose bit 51 counts microseconds since 1900.
func todTime(tod uint64) time.Time {
	if tod == 0 {
		return time.Time{}
	}
	const to1970 = 2208988800 * 1000000
	return time.UnixMicro(int64(tod>>12) - to1970).UTC()
}

// checkS390End looks for the mark that the dumper writes last.
func checkS390End(r io.ReaderAt, size, end int64, tod uint64) error {
	b, err := bin.ReadN(r, size, end, 16, 16)
	if err != nil || string(b[:8]) != s390EndMark || binary.BigEndian.Uint64(b[8:]) < tod {
		return fmt.Errorf("no end mark at %#x, the dump is not complete: %w", end, phys.ErrLost)
	}
	return nil
}

func openS390Plain(r io.ReaderAt, size int64, raw *s390Header, _ *Header) (m *elfcore.Memory, end int64, err error) {
	off := int64(raw.hdrSize)
	m = elfcore.NewMemory(r, rawPage, elfcore.Cut(0, raw.memSize, off, raw.memSize, size, nil))
	return m, off + int64(raw.memSize), nil
}

// s390Segments is the chain of an extended dump, read with one guess of the block size.
type s390Segments struct {
	unpacker
	size     int64
	block    int64
	entryLen uint64
	memSize  uint64
	entries  []packedChunk // ascending in decoded space
	decoded  int64
	pieces   []elfcore.Piece
	next     uint64 // where the last segment ended in memory
	packed   bool
	end      int64 // where the last segment ended in the file
}

// openS390Segments reads the chain with either block size that DASDs have, and keeps the
// reading that goes further.
func openS390Segments(r io.ReaderAt, size int64, raw *s390Header, h *Header) (*elfcore.Memory, int64, error) {
	best, err := walkS390(r, size, raw, 4096)
	if err != nil {
		if s, err512 := walkS390(r, size, raw, 512); err512 == nil || s.next > best.next {
			best, err = s, err512
		}
	}
	if best.packed {
		h.Codec = "zlib"
	}
	return elfcore.NewMemory(&best.unpacker, rawPage, best.pieces), best.end, err
}

func walkS390(r io.ReaderAt, size int64, raw *s390Header, block int64) (*s390Segments, error) {
	s := &s390Segments{size: size, block: block, entryLen: uint64(raw.entrySize), memSize: raw.memSize, end: int64(raw.hdrSize)}
	if s.entryLen < rawPage || s.entryLen > s390MaxEntry {
		s.entryLen = s390EntrySize
	}
	s.r, s.locate, s.decode = r, s.find, inflateEntry
	for n := 0; ; n++ {
		if n == maxS390Segments {
			return s, fmt.Errorf("more than %d segments: %w", n, phys.ErrLimit)
		}
		last, err := s.segment()
		if err != nil {
			s.fill(s.memSize, fmt.Errorf("behind the last readable segment: %w", phys.ErrLost))
			return s, err
		}
		if last {
			s.fill(s.memSize, nil)
			return s, nil
		}
	}
}

// fill adds what lies between the last segment and end: zeros, or loss.
func (s *s390Segments) fill(end uint64, why error) {
	if end > s.next {
		s.pieces = append(s.pieces, elfcore.Piece{Span: phys.Span{Start: phys.Addr(s.next), End: phys.Addr(end)}, Off: zeroBase, Why: why})
	}
}

// segment reads the segment at s.end.
func (s *s390Segments) segment() (last bool, err error) {
	b, err := bin.ReadN(s.r, s.size, s.end, s390HeaderSize, s390HeaderSize)
	if err != nil {
		return false, fmt.Errorf("segment header: %w", err)
	}
	c := bin.NewCursor("df_s390_dump_segm_hdr", b, s.end, binary.BigEndian)
	start, length, stop, blocks := c.U64(), c.U64(), c.U64(), c.U32()
	c.Skip(0x30 - 0x1c)
	count := c.U32()
	if start < s.next || start > s.memSize || length > s.memSize-start {
		return false, fmt.Errorf("segment %#x+%#x at file offset %#x: %w", start, length, s.end, phys.ErrCorrupt)
	}
	if blocks != 0 && uint64(count) != (length+s.entryLen-1)/s.entryLen || count > s390SegEntries {
		return false, fmt.Errorf("segment at file offset %#x has %d entries for %#x bytes: %w", s.end, count, length, phys.ErrCorrupt)
	}
	s.fill(start, nil)
	data := s.end + s390HeaderSize
	if blocks == 0 {
		pieces := elfcore.Cut(phys.Addr(start), length, data, length, s.size, nil)
		pieces[0].Off += storedBase
		s.pieces = append(s.pieces, pieces...)
		s.end = data + int64(length)
	} else {
		s.end = data + int64(blocks)*s.block
		s.addEntries(start, length, data, c.Bytes(4*int(count)))
	}
	if s.next = start + length; s.end > s.size {
		return false, fmt.Errorf("the file ends in the segment at %#x: %w", start, phys.ErrLost)
	}
	return stop != 0, nil
}

// addEntries takes in the entries of a packed segment, whose offsets are in table. An
// entry takes a block of the file at least; the first that does not, or that lies behind
// the file's end, ends the segment.
func (s *s390Segments) addEntries(start, length uint64, data int64, table []byte) {
	s.packed = true
	offset := func(i int) (off int64, plain bool) {
		if 4*i == len(table) {
			return s.end, false
		}
		word := binary.BigEndian.Uint32(table[4*i:])
		return data + int64(word&^s390PlainEntry)*s.block, word&s390PlainEntry != 0
	}
	for i, at := 0, uint64(0); at < length; i++ {
		off, plain := offset(i)
		end, _ := offset(i + 1)
		n := min(s.entryLen, length-at)
		p := elfcore.Piece{Span: phys.Span{Start: phys.Addr(start + at), End: phys.Addr(start + at + n)}}
		switch {
		case end <= off || uint64(end-off) > 2*s.entryLen || plain && uint64(end-off) < n:
			p.Why = fmt.Errorf("entry offsets %#x, %#x: %w", off, end, phys.ErrCorrupt)
		case end > s.size:
			p.Why = fmt.Errorf("the file ends in its entry: %w", phys.ErrLost)
		case plain:
			p.Off = storedBase + off
		default:
			p.Off = s.decoded
			s.entries = append(s.entries, packedChunk{s.decoded, int(n), off, int(end - off)})
			s.decoded += int64(n)
		}
		if p.Why != nil {
			p.Span.End = phys.Addr(start + length)
			s.pieces = append(s.pieces, p)
			return
		}
		s.pieces = append(s.pieces, p)
		at += n
	}
}

// find is the entry that decodes to offset at.
func (s *s390Segments) find(at int64) (packedChunk, error) {
	i := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].at+int64(s.entries[i].n) > at })
	return s.entries[i], nil // no piece reaches beyond the entries
}

// inflateEntry decodes an entry; what follows the stream is padding to a block.
func inflateEntry(_ *codec.Decoder, dst, entry []byte) error {
	z, err := zlib.NewReader(bytes.NewReader(entry))
	if err == nil {
		_, err = io.ReadFull(z, dst)
	}
	if err != nil {
		return fmt.Errorf("zlib: %v: %w", err, phys.ErrCorrupt)
	}
	return nil
}

// Places in the lowcore of a 64-bit machine, where "store status" leaves the registers
// (z/Architecture Principles of Operation, "Assigned Storage Locations"; Linux
// arch/s390/include/asm/lowcore.h), from the start of the save area on.
const (
	lowcoreSave = 0x1200
	saveSize    = 0x200

	saveFPRs, saveGPRs, savePSW = 0x000, 0x080, 0x100
	savePrefix, saveFPC         = 0x118, 0x11c
	saveAccess, saveControl     = 0x140, 0x180
	lowcoreVMCoreInfo           = 0xe0c // pointer to an ELF note, in absolute page 0
	noteFPRegs, noteS390Prefix  = 2, 0x305
	noteS390Ctrs                = 0x304
	s390PRStatusSize            = 336
	s390PRStatusPSW             = 112 // then gprs, access registers
)

// s390Notes makes of the lowcores what /proc/vmcore of the machine would have: an area of
// notes for each CPU that stored its status.
func s390Notes(m phys.Reader, prefixes []uint32) [][]byte {
	var areas [][]byte
	for _, prefix := range prefixes {
		var s [saveSize]byte
		if _, err := m.ReadPhys(s[:], phys.Addr(prefix)+lowcoreSave); err != nil {
			continue
		}
		status := make([]byte, s390PRStatusSize)
		n := copy(status[s390PRStatusPSW:], s[savePSW:savePSW+16])
		n += copy(status[s390PRStatusPSW+n:], s[saveGPRs:savePSW])
		copy(status[s390PRStatusPSW+n:], s[saveAccess:saveControl])
		fp := append(append([]byte(nil), s[saveFPC:saveFPC+4]...), 0, 0, 0, 0)
		var area []byte
		for _, n := range []elfnote.Note{
			{Name: "CORE", Type: elfnote.TypePRStatus, Desc: status},
			{Name: "CORE", Type: noteFPRegs, Desc: append(fp, s[saveFPRs:saveGPRs]...)},
			{Name: "LINUX", Type: noteS390Prefix, Desc: s[savePrefix : savePrefix+4]},
			{Name: "LINUX", Type: noteS390Ctrs, Desc: s[saveControl : saveControl+128]},
		} {
			area = elfnote.Append(area, binary.BigEndian, n)
		}
		areas = append(areas, area)
	}
	return areas
}

// s390VMCoreInfo follows the lowcore's pointer to the note, nil when there is none.
func s390VMCoreInfo(m phys.Reader) []byte {
	var ptr [8]byte
	if _, err := m.ReadPhys(ptr[:], lowcoreVMCoreInfo); err != nil {
		return nil
	}
	const most = 64 << 10
	note := make([]byte, most)
	n, _ := m.ReadPhys(note, phys.Addr(binary.BigEndian.Uint64(ptr[:])))
	for v, err := range elfnote.All(note[:n], binary.BigEndian) {
		if err != nil || v.Name != "VMCOREINFO" {
			return nil
		}
		return v.Desc
	}
	return nil
}
