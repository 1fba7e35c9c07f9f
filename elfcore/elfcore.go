package elfcore

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"strconv"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// File is an ELF vmcore. Its methods are safe for many goroutines.
type File struct {
	Memory
	Header     Header
	Notes      [][]byte  // the PT_NOTE areas, in the order of the file
	Segments   []Segment // virtual addresses that the program headers tell
	Incomplete bool      // the writer could not finish, or the file is cut
	Problems   []error   // damage met while opening; each wraps a phys reason

	// What the program headers showed; of the PT_LOADs, those that have a size.
	loads       int   // with a p_paddr
	virtualOnly int   // without one (-1)
	anyPaddr    bool  // a p_paddr is not 0
	noteBytes   int   // in Notes
	end         int64 // where the last one's bytes should end in the file
}

// Segment is memory whose virtual address in the kernel a PT_LOAD tells.
type Segment struct {
	Virt uint64
	Span phys.Span
}

// New reads the headers and notes of an ELF vmcore in r, which it keeps. A truncated
// file opens: what is missing is in Problems, and reading it gives phys.ErrLost. An ELF
// file that is no dump gives a *NotCore.
func New(r io.ReaderAt, size int64) (*File, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{Header: h, Memory: Memory{r: r, pageSize: 4096, hole: phys.ErrHole}}
	if err := refuseType(r, size, &h); err != nil {
		return nil, err
	}
	if err := f.readProgramHeaders(r, size); err != nil {
		return nil, err
	}
	f.checkNotes()
	if err := f.refuseCore(); err != nil {
		return nil, err
	}
	if ps := f.vmcoreinfoPageSize(); ps > f.pageSize {
		f.pageSize = ps
	}
	if f.end > size {
		f.problem("truncated: %d of %d bytes: %w", size, f.end, phys.ErrLost)
	}
	f.Incomplete = f.Incomplete || f.end > size || f.marked()
	f.resolve()
	return f, nil
}

// marked tells whether makedumpfile -E set its mark for a dump it could not finish, bit
// 0 of e_flags (makedumpfile.h DUMP_ELF_INCOMPLETE). On ppc64 the same bit is the ELF
// ABI's version and fadump sets it in every dump (fadump_init_elfcore_header), so only
// the file's length tells there.
func (f *File) marked() bool { return f.Header.Flags&1 != 0 && f.Header.Machine != machinePPC64 }

// maxProblems bounds what millions of bad program headers can cost.
const maxProblems = 64

// problem notes damage that leaves the file usable.
func (f *File) problem(format string, args ...any) {
	if len(f.Problems) < maxProblems {
		f.Problems = append(f.Problems, fmt.Errorf("elf: "+format, args...))
	}
}

// vmcoreinfoPageSize is the kernel's page size where a VMCOREINFO note tells it, else 0:
// the ELF header has no field for it.
func (f *File) vmcoreinfoPageSize() int {
	for _, area := range f.Notes {
		for note, err := range elfnote.All(area, f.Header.Order) {
			if err == nil && note.Name == "VMCOREINFO" {
				return pageSizeOf(note.Desc)
			}
		}
	}
	return 0
}

// maxPageSize is the largest page of any Linux port (Hexagon's).
const maxPageSize = 1 << 20

func pageSizeOf(vmcoreinfo []byte) int {
	for line := range bytes.Lines(vmcoreinfo) {
		v, ok := bytes.CutPrefix(line, []byte("PAGESIZE="))
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(v)), 10, 32)
		if err == nil && bits.OnesCount64(n) == 1 && n <= maxPageSize {
			return int(n)
		}
	}
	return 0
}

// checkNotes reports areas whose notes do not parse to the end.
func (f *File) checkNotes() {
	for _, area := range f.Notes {
		for _, err := range elfnote.All(area, f.Header.Order) {
			if err != nil {
				f.problem("notes: %w", err)
			}
		}
	}
}
