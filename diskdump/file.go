package diskdump

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/phys"
)

// maxArea bounds the notes, VMCOREINFO and eraseinfo that a header may ask to be read.
const maxArea = 64 << 20

// File is one KDUMP or DISKDUMP file. It is safe for many goroutines.
type File struct {
	Header    Header
	SubHeader SubHeader
	Order     binary.ByteOrder
	PtrSize   int
	Notes     []byte  // ELF notes; from version 4 on
	Info      []byte  // VMCOREINFO's text where the sub header points to it; from version 3 on
	EraseInfo []byte  // what makedumpfile erased; from version 5 on
	Problems  []error // damage met while opening, each wraps a phys reason

	r      io.ReaderAt
	size   int64
	data   int64    // file offset of the descriptors
	first  uint64   // page of the first descriptor; a split part's start
	end    uint64   // one past the last page that has its data here
	limit  uint64   // one past the highest page
	base   phys.PFN // page number of bit 0 in the bitmaps, see pageBase
	ram    bitmap
	dumped bitmap
	rank   rank

	zero     atomic.Int64 // file offset of the zero pages' shared block, -1 until one was read
	zeros    []byte       // a page of them, for whoever gets pages that are not copied
	descs    [descBlocks]atomic.Pointer[descBlock]
	decoders sync.Pool
}

// covered is what a truncated flattened stream knows of itself: how many bytes from off
// on some record has written.
type covered interface{ Covered(off, n int64) int64 }

// New reads the headers of a file that is not flattened (see Flatten). Damage behind the
// headers does not stop it: it is told in Problems and by the pages it hits.
func New(r io.ReaderAt, size int64) (*File, error) {
	head, err := bin.ReadN(r, size, 0, 8, 8)
	if err == nil && have(r, size, 0, 8) < 8 {
		err = fmt.Errorf("the flattened stream ends before it: %w", phys.ErrLost)
	}
	if err != nil {
		return nil, fmt.Errorf("disk_dump_header: %w", err)
	}
	if err := checkSignature(head); err != nil {
		return nil, err
	}
	h, err := readHeaders(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{Header: h.Header, SubHeader: h.SubHeader, Order: h.abi.Order, PtrSize: h.abi.Long, r: r, size: size}
	f.decoders.New = func() any { return new(pageDecoder) }
	f.place()
	f.readAreas()
	return f, nil
}

// place works out where the bitmaps and descriptors are and which pages count.
func (f *File) place() {
	b := int64(f.Header.BlockSize)
	f.limit = uint64(f.Header.MaxMapnr)
	if f.version() >= 6 && f.SubHeader.MaxMapnr64 != 0 {
		f.limit = f.SubHeader.MaxMapnr64
	}
	f.first, f.end = f.partRange()
	start := (1 + int64(f.Header.SubHdrSize)) * b
	f.data = start + int64(f.Header.BitmapBlocks)*b
	half := int64(f.Header.BitmapBlocks) * b / 2
	if need := (f.limit + uint64(8*b) - 1) / uint64(8*b); uint64(f.Header.BitmapBlocks) < 2*need {
		half = 0 // one bitmap for both: DISKDUMP files and old partial ones
	}
	length := int64(f.Header.BitmapBlocks)*b - half
	f.limit = min(f.limit, uint64(length)*8)
	f.ram = bitmap{r: f.r, off: start, limit: f.limit}
	f.dumped = bitmap{r: f.r, off: start + half, limit: f.limit}
	f.ram.bytes = f.have(f.ram.off, length)
	f.dumped.bytes = min(f.ram.bytes, f.have(f.dumped.off, length))
	if n := int64(f.SubHeader.structSize); f.have(b, n) < n {
		f.ram.bytes, f.dumped.bytes = 0, 0 // without the split range nobody knows whose the descriptors are
	}
	f.rank.begin(&f.dumped)
	f.ram.limit = min(f.limit, uint64(f.dumped.bytes)*8) // pages beyond are lost, not excluded
	if need := int64((f.limit + 7) / 8); f.dumped.bytes < need {
		f.problem("the file ends inside the bitmaps: of %d pages only the first %d are known: %w",
			f.limit, f.dumped.bytes*8, phys.ErrLost)
	}
	if f.Header.Status&StatusIncomplete != 0 && f.Header.Signature == SignatureKDUMP {
		f.problem("the writer ran out of space and marked the dump incomplete: %w", phys.ErrLost)
	}
	if f.Header.Version > lastVersion {
		f.problem("header_version %d is newer than %d and is read as that: %w", f.Header.Version, lastVersion, phys.ErrUnsupported)
	}
	f.zero.Store(-1)
	f.zeros = make([]byte, f.Header.BlockSize)
	f.base = f.pageBase()
}

// pageBase is the page number of the bitmaps' first bit: 0, but in 32-bit ARM dumps that
// makedumpfile wrote, where bit 0 is the first page of RAM (makedumpfile.h
// ARCH_PFN_OFFSET). QEMU's ARM files count from 0; it does not know the machine's name,
// and its lowest bit is not below phys_base.
func (f *File) pageBase() phys.PFN {
	ram := phys.PFN(f.SubHeader.PhysBase / uint64(f.Header.BlockSize))
	if f.PtrSize != 4 || !strings.HasPrefix(f.Header.Utsname.Machine, "arm") || ram == 0 {
		return 0
	}
	lowest, err := f.ram.first()
	if err != nil || lowest >= ram {
		return 0
	}
	return ram
}

// have is how many of n bytes at off the file holds.
func (f *File) have(off, n int64) int64 { return have(f.r, f.size, off, n) }

// have is how many of n bytes at off a file of the given size holds. A truncated stream
// reads as zeros where none of its records wrote; those bytes do not count.
func have(r io.ReaderAt, size, off, n int64) int64 {
	n = max(0, min(n, size-off))
	if c, ok := r.(covered); ok {
		return c.Covered(off, n)
	}
	return n
}

func (f *File) version() int { return min(f.Header.Version, lastVersion) }

// partRange is the run of pages whose data a part of a split set holds.
func (f *File) partRange() (first, end uint64) {
	s := &f.SubHeader
	switch {
	case s.Split == 0 || f.version() < 2:
		return 0, ^uint64(0)
	case f.version() >= 6:
		return s.StartPFN64, s.EndPFN64
	}
	return s.StartPFN, s.EndPFN
}

// readAreas reads the notes, VMCOREINFO and eraseinfo that the sub header points to.
func (f *File) readAreas() {
	s := &f.SubHeader
	area := func(what string, since int, off, size uint64) []byte {
		if f.version() < since || off == 0 || size == 0 || f.Header.Signature != SignatureKDUMP {
			return nil
		}
		b, err := bin.ReadN(f.r, f.size, int64(off), size, maxArea)
		if n := f.have(int64(off), int64(len(b))); err == nil && n < int64(len(b)) {
			b, err = b[:n], fmt.Errorf("the flattened stream ends inside: %w", phys.ErrLost)
		}
		if err != nil {
			f.problem("%s: %w", what, err)
		}
		return b
	}
	f.Notes = area("notes", 4, s.NoteOff, s.NoteSize)
	f.Info = area("VMCOREINFO", 3, s.InfoOff, s.InfoSize)
	f.EraseInfo = area("eraseinfo", 5, s.EraseOff, s.EraseSize)
}

func (f *File) problem(format string, args ...any) {
	f.Problems = append(f.Problems, fmt.Errorf(format, args...))
}

// tailDescs is how many of the last descriptors Complete looks at: the very last ones may
// all be of the shared zero page, which stands at the start of the data.
const tailDescs = 1024

// Complete tells by the last descriptors whether the file's end is there, and of a
// flattened stream without its end mark whether all before it is: nil, or an error that
// wraps phys.ErrLost. It reads the second bitmap once, and no page.
func (f *File) Complete() error {
	if have := f.have(0, f.size); have < f.size {
		return fmt.Errorf("the flattened stream is cut, and nothing in it wrote the bytes at %#x: %w", have, phys.ErrLost)
	}
	n, err := f.partPages()
	if err != nil || n == 0 {
		return err
	}
	k := n - min(n, tailDescs)
	raw, err := bin.ReadN(f.r, f.size, f.data+int64(k)*descSize, (n-k)*descSize, tailDescs*descSize)
	if err != nil {
		return fmt.Errorf("the file is cut inside its page descriptors: %w", err)
	}
	end := int64(0)
	for ; len(raw) >= descSize; raw = raw[descSize:] {
		d := f.decodeDesc(raw)
		if d.offset == 0 && d.size == 0 {
			return fmt.Errorf("the writer stopped before the last pages: %w", errNotWritten)
		}
		if d.offset > 0 && d.offset <= f.size {
			end = max(end, d.offset+int64(d.size))
			continue
		}
		end = max(end, d.offset)
	}
	if end > f.size {
		return fmt.Errorf("the file is cut: it has %d bytes of at least %d: %w", f.size, end, phys.ErrLost)
	}
	return nil
}

// partPages is the number of pages whose data this file should hold.
func (f *File) partPages() (uint64, error) {
	first, err := f.rank.of(phys.PFN(min(f.first, f.limit)))
	if err != nil {
		return 0, err
	}
	end, err := f.rank.of(phys.PFN(min(f.end, f.limit)))
	return end - min(first, end), err
}

// PageSize is the block size: the unit of page numbers, in bytes. QEMU writes 64 KiB
// blocks for guests with 4 KiB pages.
func (f *File) PageSize() int { return f.Header.BlockSize }

// MaxPFN is one past the highest page.
func (f *File) MaxPFN() phys.PFN { return phys.PFN(f.limit) + f.base }

// PartRange is the run of pages whose data this part of a split set holds; split is false
// for a file that is no part.
func (f *File) PartRange() (first, end phys.PFN, split bool) {
	return phys.PFN(f.first) + f.base, phys.PFN(f.end) + f.base, f.SubHeader.Split != 0
}

// Time is when the machine crashed, zero if the header does not say (QEMU).
func (f *File) Time() time.Time {
	if f.Header.TimeSec <= 0 {
		return time.Time{}
	}
	return time.Unix(f.Header.TimeSec, 0).UTC()
}

// Codec is the codec that the header names; single pages can differ.
func (f *File) Codec() string {
	if f.Header.Signature == SignatureDISKDUMP { // its bits mean something else
		return ""
	}
	return codec.Method(f.Header.Status & uint32(codec.Mask)).String()
}

// Runs yields the runs of pages of one state from the bitmaps: in the file, excluded, or
// (unknown, since the bitmaps are cut) lost. Holes are left out.
func (f *File) Runs() iter.Seq2[phys.Run, error] {
	return func(yield func(phys.Run, error) bool) { f.runs(f.lossOf, yield) }
}

// lossOf is the reason why the page of bit p, which has a descriptor, is not in this file,
// as far as it is known without reading the descriptor.
func (f *File) lossOf(p phys.PFN) error {
	if uint64(p) < f.first || uint64(p) >= f.end {
		return errPart
	}
	return nil
}

var errPart = fmt.Errorf("in another part of the split set: %w", phys.ErrLost)
