package diskdump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Signatures at the start of a file.
const (
	SignatureKDUMP    = "KDUMP   "
	SignatureDISKDUMP = "DISKDUMP"
)

// Bits of Header.Status (makedumpfile diskdump_mod.h); the codec bits are those of
// page descriptors and only say what the writer was asked for.
const (
	StatusIncomplete      = 0x8  // the writer ran out of space
	StatusExcludedVmemmap = 0x10 // struct pages of excluded pages are left out too (-e)
	statusKnown           = 0x3f
)

// Utsname is struct new_utsname of the crashed kernel; QEMU leaves all but Machine empty.
type Utsname struct {
	Sysname, Nodename, Release, Version, Machine, Domainname string
}

// Header is struct disk_dump_header without its padding.
type Header struct {
	Signature    string
	Version      int
	Utsname      Utsname
	TimeSec      int64
	TimeUsec     int64
	Status       uint32
	BlockSize    int
	SubHdrSize   int // in blocks
	BitmapBlocks uint32
	MaxMapnr     uint32 // min(value, 2^32-1); see SubHeader.MaxMapnr64
	NrCPUs       int32
}

// SubHeader is struct kdump_sub_header; fields newer than the file's version are zero.
type SubHeader struct {
	PhysBase   uint64 // two's complement; sign-extended from 32 bits
	DumpLevel  int32
	Split      int32
	StartPFN   uint64 // truncated copy; StartPFN64 from version 6 on
	EndPFN     uint64
	InfoOff    uint64 // file offset of VMCOREINFO's text
	InfoSize   uint64
	NoteOff    uint64
	NoteSize   uint64
	EraseOff   uint64
	EraseSize  uint64
	StartPFN64 uint64
	EndPFN64   uint64
	MaxMapnr64 uint64
	structSize int
}

const utsLen = 65

// mainHeader declares struct disk_dump_header. The width of time_t is the one thing in
// which its layouts differ, with the alignment of 64-bit integers: 32-bit time_t, 64-bit
// time_t aligned to 8 (every 64-bit machine, and 32-bit ARM built with 64-bit time), and
// 64-bit time_t aligned to 4 (i386).
func mainHeader(timeKind bin.Kind) bin.Layout[Header] {
	text := func(f func(h *Header) *string) func(*Header, []byte) {
		return func(h *Header, b []byte) { *f(h) = bin.CString(b) }
	}
	return bin.Layout[Header]{Name: "disk_dump_header", Fields: []bin.Field[Header]{
		{Name: "signature", Kind: bin.Bytes, Len: 8, Text: func(h *Header, b []byte) { h.Signature = string(b) }},
		{Name: "header_version", Kind: bin.U32, Set: func(h *Header, v uint64) { h.Version = int(int32(v)) }},
		{Name: "sysname", Kind: bin.Bytes, Len: utsLen, Text: text(func(h *Header) *string { return &h.Utsname.Sysname })},
		{Name: "nodename", Kind: bin.Bytes, Len: utsLen, Text: text(func(h *Header) *string { return &h.Utsname.Nodename })},
		{Name: "release", Kind: bin.Bytes, Len: utsLen, Text: text(func(h *Header) *string { return &h.Utsname.Release })},
		{Name: "version", Kind: bin.Bytes, Len: utsLen, Text: text(func(h *Header) *string { return &h.Utsname.Version })},
		{Name: "machine", Kind: bin.Bytes, Len: utsLen, Text: text(func(h *Header) *string { return &h.Utsname.Machine })},
		{Name: "domainname", Kind: bin.Bytes, Len: utsLen, Text: text(func(h *Header) *string { return &h.Utsname.Domainname })},
		{Name: "tv_sec", Kind: timeKind, Set: func(h *Header, v uint64) { h.TimeSec = int64(v) }},
		{Name: "tv_usec", Kind: timeKind, Set: func(h *Header, v uint64) { h.TimeUsec = int64(v) }},
		{Name: "status", Kind: bin.U32, Set: func(h *Header, v uint64) { h.Status = uint32(v) }},
		{Name: "block_size", Kind: bin.U32, Set: func(h *Header, v uint64) { h.BlockSize = int(int32(v)) }},
		{Name: "sub_hdr_size", Kind: bin.U32, Set: func(h *Header, v uint64) { h.SubHdrSize = int(int32(v)) }},
		{Name: "bitmap_blocks", Kind: bin.U32, Set: func(h *Header, v uint64) { h.BitmapBlocks = uint32(v) }},
		{Name: "max_mapnr", Kind: bin.U32, Set: func(h *Header, v uint64) { h.MaxMapnr = uint32(v) }},
		{Name: "total_ram_blocks", Kind: bin.U32, Set: func(*Header, uint64) {}},
		{Name: "device_blocks", Kind: bin.U32, Set: func(*Header, uint64) {}},
		{Name: "written_blocks", Kind: bin.U32, Set: func(*Header, uint64) {}},
		{Name: "current_cpu", Kind: bin.U32, Set: func(*Header, uint64) {}},
		{Name: "nr_cpus", Kind: bin.U32, Set: func(h *Header, v uint64) { h.NrCPUs = int32(v) }},
	}}
}

// subHeader declares struct kdump_sub_header; Since is the first header_version that
// writes the member. A field newer than the file's version is never read: older writers
// put the notes right behind their shorter structure.
func subHeader() bin.Layout[SubHeader] {
	return bin.Layout[SubHeader]{Name: "kdump_sub_header", Fields: []bin.Field[SubHeader]{
		{Name: "phys_base", Kind: bin.Ulong, Since: 0, Set: func(h *SubHeader, v uint64) { h.PhysBase = v }},
		{Name: "dump_level", Kind: bin.U32, Since: 1, Set: func(h *SubHeader, v uint64) { h.DumpLevel = int32(v) }},
		{Name: "split", Kind: bin.U32, Since: 2, Set: func(h *SubHeader, v uint64) { h.Split = int32(v) }},
		{Name: "start_pfn", Kind: bin.Ulong, Since: 2, Set: func(h *SubHeader, v uint64) { h.StartPFN = v }},
		{Name: "end_pfn", Kind: bin.Ulong, Since: 2, Set: func(h *SubHeader, v uint64) { h.EndPFN = v }},
		{Name: "offset_vmcoreinfo", Kind: bin.U64, Since: 3, Set: func(h *SubHeader, v uint64) { h.InfoOff = v }},
		{Name: "size_vmcoreinfo", Kind: bin.Ulong, Since: 3, Set: func(h *SubHeader, v uint64) { h.InfoSize = v }},
		{Name: "offset_note", Kind: bin.U64, Since: 4, Set: func(h *SubHeader, v uint64) { h.NoteOff = v }},
		{Name: "size_note", Kind: bin.Ulong, Since: 4, Set: func(h *SubHeader, v uint64) { h.NoteSize = v }},
		{Name: "offset_eraseinfo", Kind: bin.U64, Since: 5, Set: func(h *SubHeader, v uint64) { h.EraseOff = v }},
		{Name: "size_eraseinfo", Kind: bin.Ulong, Since: 5, Set: func(h *SubHeader, v uint64) { h.EraseSize = v }},
		{Name: "start_pfn_64", Kind: bin.U64, Since: 6, Set: func(h *SubHeader, v uint64) { h.StartPFN64 = v }},
		{Name: "end_pfn_64", Kind: bin.U64, Since: 6, Set: func(h *SubHeader, v uint64) { h.EndPFN64 = v }},
		{Name: "max_mapnr_64", Kind: bin.U64, Since: 6, Set: func(h *SubHeader, v uint64) { h.MaxMapnr64 = v }},
	}}
}

// Bounds of the header's fields, from formats in the wild with room to spare.
const (
	minBlockSize = 4096
	maxBlockSize = 1 << 20
	maxSubBlocks = 1 << 16 // notes of 16384 CPUs take 6 MiB
	maxVersion   = 16      // newer than 6 is read as 6
	lastVersion  = 6
	headerBytes  = 464 // the longest layout
	headerLeast  = 452 // the shortest
)

// mainLayout is one of the three shapes of the main header, with the ABIs that its sub
// header can have. The main header does not decide the pointer size: a 32-bit ARM writer
// with 64-bit time_t makes the 64-bit shape.
type mainLayout struct {
	time    bin.Kind
	align64 int
	sub     []bin.ABI
}

var (
	abi64     = bin.ABI{Long: 8, Align64: 8}
	abiPadded = bin.ABI{Long: 4, Align64: 8} // ARM, MIPS, PPC32
	abiPacked = bin.ABI{Long: 4, Align64: 4} // i386; QEMU for every 32-bit target
)

func mainLayouts() []mainLayout {
	return []mainLayout{
		{bin.U64, 8, []bin.ABI{abi64, abiPadded, abiPacked}},
		{bin.U32, 8, []bin.ABI{abiPacked, abiPadded}},
		{bin.U64, 4, []bin.ABI{abiPacked}},
	}
}

// headers is one reading of a file's first blocks.
type headers struct {
	Header
	SubHeader
	abi       bin.ABI
	score     int
	truncated bool // the file ends before the bitmaps do
}

// readHeaders tries every layout and byte order and takes the one that fits best. There
// is no marker for either: a 64-bit file whose tv_usec is a power of two also looks like a
// 32-bit one, so every candidate has to pass the sub header's test too.
func readHeaders(r io.ReaderAt, size int64) (headers, error) {
	head, err := bin.ReadN(r, size, 0, headerBytes, headerBytes)
	if n := have(r, size, 0, int64(len(head))); err == nil && n < headerLeast {
		head, err = head[:n], phys.ErrLost
	}
	if err != nil {
		return headers{}, fmt.Errorf("disk_dump_header cut at %d of %d bytes: %w", len(head), headerBytes, err)
	}
	var best headers
	for _, m := range mainLayouts() {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			h, err := mainHeader(m.time).Decode(head, bin.ABI{Order: order, Long: 8, Align64: m.align64}, 0)
			if err != nil || !h.plausible() {
				continue
			}
			for _, abi := range m.sub {
				abi.Order = order
				c, err := tryLayout(r, size, h, abi)
				if err != nil {
					return headers{}, err
				}
				if c.score > best.score {
					best = c
				}
			}
		}
	}
	if best.score == 0 {
		return headers{}, fmt.Errorf("disk_dump_header: no layout fits its fields (block_size, sub_hdr_size, bitmap_blocks): %w", phys.ErrCorrupt)
	}
	return best, nil
}

// plausible is the hard test: a header that fails it can not be of this layout.
func (h *Header) plausible() bool {
	b := uint64(h.BlockSize)
	return h.BlockSize >= minBlockSize && h.BlockSize <= maxBlockSize && b&(b-1) == 0 &&
		h.SubHdrSize >= 0 && h.SubHdrSize <= maxSubBlocks &&
		h.BitmapBlocks >= 1 && uint64(h.MaxMapnr) <= 8*b*uint64(h.BitmapBlocks) &&
		h.Version >= 0 && h.Version <= maxVersion
}

// tryLayout reads the sub header under one ABI and scores how well everything fits. The
// error is one of the disk; a sub header that is cut is scored by what is there.
func tryLayout(r io.ReaderAt, size int64, h Header, abi bin.ABI) (headers, error) {
	c := headers{Header: h, abi: abi, score: 1}
	add := func(ok bool, points int) {
		if ok {
			c.score += points
		}
	}
	b := int64(h.BlockSize)
	end := (1 + int64(h.SubHdrSize) + int64(h.BitmapBlocks)) * b
	c.truncated = end > size
	add(h.SubHdrSize > 0, 8)
	add((1+int64(h.SubHdrSize))*b <= size, 4)
	add(!c.truncated, 2)
	add(h.Status&^statusKnown == 0, 1)
	add(h.NrCPUs >= 0 && h.NrCPUs <= 1<<16, 1)
	add(pointerSize(h.Utsname.Machine) == abi.Long, 2)
	if h.Signature == SignatureDISKDUMP {
		return c, nil
	}
	version := min(h.Version, lastVersion)
	want := subHeader().Size(abi, version)
	raw, err := bin.ReadN(r, size, b, uint64(want), maxBlockSize)
	if err != nil && phys.Reason(err) == nil {
		return headers{}, fmt.Errorf("kdump_sub_header: %w", err)
	}
	if raw = raw[:have(r, size, b, int64(len(raw)))]; len(raw) == 0 {
		c.structSize = want
		return c, nil
	}
	c.SubHeader, err = subHeader().Decode(raw, abi, version)
	c.structSize = want
	if abi.Long == 4 {
		c.PhysBase = uint64(int64(int32(c.PhysBase)))
	}
	add(err == nil, 2)
	c.score += c.fit(h, version)
	return c, nil
}

// fit scores how the sub header's fields agree with the main header. A wrong layout mostly
// reads zeros, which contradict nothing, so a field that can only be right by being right
// counts twice.
func (s *SubHeader) fit(h Header, version int) (points int) {
	b := uint64(h.BlockSize)
	area := (1 + uint64(h.SubHdrSize)) * b
	inside := func(off, size uint64) bool { return off >= b && off <= area && size <= area-off }
	possible := []bool{
		version < 1 || s.DumpLevel >= 0 && s.DumpLevel <= 63,
		version < 2 || s.Split == 0 || s.Split == 1,
		version < 3 || s.InfoOff == 0 && s.InfoSize == 0 || s.InfoOff > b && inside(s.InfoOff, s.InfoSize),
		version < 4 || s.NoteOff == 0 && s.NoteSize == 0 || inside(s.NoteOff, s.NoteSize),
		version < 6 || s.MaxMapnr64 == 0 || s.MaxMapnr64 >= uint64(h.MaxMapnr) && s.MaxMapnr64 <= 8*b*uint64(h.BitmapBlocks),
	}
	proven := []bool{
		version >= 3 && s.InfoSize != 0 && s.InfoOff > b && inside(s.InfoOff, s.InfoSize),
		version >= 4 && s.NoteSize != 0 && s.NoteOff == b+uint64(s.structSize),
		version >= 6 && h.MaxMapnr != 0 && s.MaxMapnr64 >= uint64(h.MaxMapnr) && s.MaxMapnr64 <= 8*b*uint64(h.BitmapBlocks),
	}
	for _, ok := range append(possible, proven...) {
		if ok {
			points += 3
		}
	}
	return points
}

// pointerSize of a machine by its uname name; 0 where the name does not tell: QEMU writes
// "Unknown" for most.
func pointerSize(machine string) int {
	for _, name := range []string{"x86_64", "aarch64", "ppc64", "s390x", "S390X", "riscv64", "loongarch64", "mips64", "ia64"} {
		if strings.HasPrefix(machine, name) {
			return 8
		}
	}
	for _, name := range []string{"i386", "i486", "i586", "i686", "arm", "ppc", "mips", "riscv32", "s390"} {
		if strings.HasPrefix(machine, name) {
			return 4
		}
	}
	return 0
}

// errSignature: the file does not begin as one of ours.
var errSignature = errors.New(`no "KDUMP   " or "DISKDUMP" at the file's start`)

func checkSignature(head []byte) error {
	if !bytes.HasPrefix(head, []byte(SignatureKDUMP)) && !bytes.HasPrefix(head, []byte(SignatureDISKDUMP)) {
		return fmt.Errorf("%w: %w", errSignature, phys.ErrUnsupported)
	}
	return nil
}
