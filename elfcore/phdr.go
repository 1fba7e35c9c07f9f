package elfcore

import (
	"fmt"
	"io"
	"slices"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Limits of what is taken into memory at open.
const (
	// maxPhdrs is above the millions that QEMU writes with paging=true.
	maxPhdrs = 4 << 20
	// maxNotes bounds all note areas together. VMCOREDD notes of drivers have
	// many megabytes.
	maxNotes = 64 << 20
	// phdrBatch is how many bytes of the table are read at a time.
	phdrBatch = 256 << 10
)

// phdr is what is used of a program header.
type phdr struct {
	typ                                 uint32
	offset, vaddr, paddr, filesz, memsz uint64
}

// decodePhdr reads one program header. A dump can have millions, so this is by hand:
//
//	Elf64_Phdr  0      4       8        16      24      32       40      48      56
//	            | type | flags | offset | vaddr | paddr | filesz | memsz | align |
//	Elf32_Phdr  0      4        8       12      16       20      24      28      32
//	            | type | offset | vaddr | paddr | filesz | memsz | flags | align |
//
// The five that matter follow one another in both.
func (h *Header) decodePhdr(b []byte) phdr {
	word := h.Class / 8
	at := func(i int) uint64 { return bin.Uint(b[word*(i+1):word*(i+2)], h.Order) }
	return phdr{
		typ:    h.Order.Uint32(b),
		offset: at(0), vaddr: at(1), paddr: at(2), filesz: at(3), memsz: at(4),
	}
}

// appendPhdr is the reverse of decodePhdr; the pages of p_flags can all be read, written and
// executed, as in /proc/vmcore.
func (h *Header) appendPhdr(b []byte, p phdr, flags uint32) []byte {
	word := h.Class / 8
	start := len(b)
	b = append(b, make([]byte, h.phdrSize())...)
	out := b[start:]
	h.Order.PutUint32(out, p.typ)
	for i, v := range []uint64{p.offset, p.vaddr, p.paddr, p.filesz, p.memsz} {
		bin.PutUint(out[word*(i+1):word*(i+2)], v, h.Order)
	}
	at := 24 // p_flags of Elf32_Phdr
	if h.Class == 64 {
		at = 4
	}
	h.Order.PutUint32(out[at:], flags)
	return b
}

// phdrSize is the size of Elf64_Phdr or Elf32_Phdr.
func (h *Header) phdrSize() int {
	if h.Class == 64 {
		return 56
	}
	return 32
}

// allOnes is -1 in a member as wide as the class: "no such address" in p_paddr
// (fs/proc/kcore.c; makedumpfile's NOT_PADDR), "not saved" in p_offset (QEMU).
func (h *Header) allOnes() uint64 { return ^uint64(0) >> (64 - h.Class) }

// phdrCount resolves PN_XNUM: sh_info of section 0 has the count that did not fit.
func (f *File) phdrCount(r io.ReaderAt, size int64) uint64 {
	h := &f.Header
	if h.phnum != pnXNum {
		return uint64(h.phnum)
	}
	if h.shoff == 0 {
		f.problem("e_phnum is PN_XNUM without a section header, taken as 65535: %w", phys.ErrCorrupt)
		return pnXNum
	}
	s, err := h.section0(r, size)
	if err != nil {
		f.problem("the number of program headers is in section 0, taken as 65535: %w", err)
		return pnXNum
	}
	return uint64(s.info)
}

// readProgramHeaders walks the table once, in batches, and keeps of each header only
// the extents and notes that it describes.
func (f *File) readProgramHeaders(r io.ReaderAt, size int64) error {
	h := &f.Header
	count, stride := f.phdrCount(r, size), int64(h.phentsize)
	if count == 0 {
		return nil
	}
	if stride < int64(h.phdrSize()) {
		return fmt.Errorf("elf: e_phentsize is %d, less than %d: %w", stride, h.phdrSize(), phys.ErrCorrupt)
	}
	if h.phoff > uint64(size) {
		return fmt.Errorf("elf: program headers at %#x, the file ends at %#x: %w", h.phoff, size, phys.ErrLost)
	}
	if fit := uint64(size-int64(h.phoff)) / uint64(stride); count > fit {
		f.problem("the file ends after %d of %d program headers: %w", fit, count, phys.ErrLost)
		f.Incomplete, count = true, fit
	}
	if count > maxPhdrs {
		return fmt.Errorf("elf: %d program headers, more than %d: %w", count, maxPhdrs, phys.ErrLimit)
	}
	f.extents = slices.Grow(f.extents, int(count))
	return h.eachPhdr(r, size, int(count), func(p phdr, index int) {
		switch p.typ {
		case ptLoad:
			f.addLoad(p, size, index)
		case ptNote:
			f.addNote(r, size, p)
		}
	})
}

// eachPhdr reads the first count program headers in batches. The file has them all.
func (h *Header) eachPhdr(r io.ReaderAt, size int64, count int, visit func(p phdr, index int)) error {
	stride, off := int(h.phentsize), int64(h.phoff)
	batch := phdrBatch / stride
	for i := 0; i < count; {
		b, err := bin.ReadN(r, size, off, uint64(min(batch, count-i)*stride), phdrBatch)
		if err != nil {
			return fmt.Errorf("elf: program headers: %w", err)
		}
		off += int64(len(b))
		for ; len(b) > 0; b = b[stride:] {
			visit(h.decodePhdr(b), i)
			i++
		}
	}
	return nil
}

// addLoad takes in a PT_LOAD. Without a physical address (vmalloc in /proc/kcore) or a
// size it has no memory to give.
func (f *File) addLoad(p phdr, size int64, index int) {
	ones := f.Header.allOnes()
	if p.memsz == 0 {
		return
	}
	if p.paddr == ones {
		f.virtualOnly++
		return
	}
	f.loads++
	f.anyPaddr = f.anyPaddr || p.paddr != 0
	if p.filesz > p.memsz {
		f.problem("program header %d: p_filesz %#x is more than p_memsz %#x: %w", index, p.filesz, p.memsz, phys.ErrCorrupt)
	}
	data, off := min(p.filesz, p.memsz), int64(-1)
	switch {
	case p.offset == ones: // QEMU: not saved
		data = 0
	case data > 0:
		off = int64(min(p.offset, 1<<62)) // beyond any file; the sum below does not overflow
		f.end = max(f.end, off+int64(min(data, 1<<62)))
	}
	start := phys.Addr(p.paddr)
	for _, piece := range Cut(start, p.memsz, off, data, size, errTail) {
		f.add(piece, index)
	}
	if p.vaddr != 0 && p.vaddr != p.paddr { // equal: a hypervisor, which knows no virtual address
		f.Segments = append(f.Segments, Segment{p.vaddr, phys.Span{Start: start, End: addSat(start, p.memsz)}})
	}
}

// addNote reads a PT_NOTE area. Its p_filesz counts and not p_memsz: makedumpfile -E
// lets only the former grow when it appends what it erased.
func (f *File) addNote(r io.ReaderAt, size int64, p phdr) {
	n, left := p.filesz, uint64(maxNotes-f.noteBytes)
	if n > left {
		f.problem("notes of %d bytes, %d more are read: %w", n, left, phys.ErrLimit)
		n = left
	}
	area, err := bin.ReadN(r, size, int64(min(p.offset, 1<<62)), n, maxNotes)
	if err != nil {
		f.problem("notes: %w", err)
		f.Incomplete = true
	}
	if len(area) > 0 {
		f.Notes = append(f.Notes, area)
		f.noteBytes += len(area)
	}
}
