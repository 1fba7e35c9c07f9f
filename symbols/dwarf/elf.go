package dwarf

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// ErrNoDebug: the file has no debug information (no .debug_info), or not of that address.
var ErrNoDebug = errors.New("no debug information")

// File is an ELF file with debug information. It is safe for many goroutines.
type File struct {
	r     io.ReaderAt
	size  int64
	elf   *elf.File
	place []uint64 // address of each section: its own, or in ET_REL that of its place

	mu       sync.Mutex // guards what follows
	sections map[string]*section
	types    *Types
	cacheDir string // of the index of names
	scanCtx  context.Context
	scanTell func(done, total int)
	files    []*os.File // of unpacked sections

	unitsOnce sync.Once
	units     []*Unit
	unitsErr  error

	*caches

	openSplit Opener
	splits    splitFiles
	skeleton  *Unit             // of a file that has the entries of one split unit
	windows   map[string]window // of one in a package: what is the unit's of each section

	arangesOnce, restOnce sync.Once
	aranges, rest         []arange // rest: of units that .debug_aranges does not have
	arangesErr, restErr   error

	symsOnce sync.Once
	relSyms  []uint64 // the values of symbols, for relocations
	symsErr  error
}

// caches are what is kept of units that were touched, of a file and of its split units.
type caches struct {
	bytes     cache[unitKey, []byte]
	abbrevs   cache[abbrevKey, *abbrevs]
	lines     cache[unitKey, *lines]
	functions cache[unitKey, []function]
}

// unitKey names a unit.
type unitKey struct {
	f   *File
	off int64
}

// Open reads the headers of an ELF file: vmlinux (ET_EXEC, ET_DYN) or a module's .ko or
// .ko.debug (ET_REL). r stays the caller's and must live as long as the File is used. What is
// not ELF, or damaged in its headers, is an error that wraps phys.ErrCorrupt; a file
// without debug information opens (it may have the symbols and the build ID), and says
// ErrNoDebug when it is asked.
func Open(r io.ReaderAt, size int64) (*File, error) {
	e, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("ELF: %w: %w", err, phys.ErrCorrupt)
	}
	f := &File{r: r, size: size, elf: e, sections: map[string]*section{}, caches: &caches{}}
	f.bytes.limit, f.abbrevs.limit = 32<<20, 8<<20
	f.lines.limit, f.functions.limit = 32<<20, 8<<20
	f.placeSections()
	return f, nil
}

// Close removes what was unpacked. The reader that Open was given stays open.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, t := range f.files {
		errs = append(errs, t.Close())
	}
	f.files = nil
	return errors.Join(errs...)
}

// scratch keeps a file until Close.
func (f *File) scratch(t *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = append(f.files, t)
}

// Relocatable tells whether the file is a module: its addresses are places that this
// package chose (see Sections), not those of the running kernel.
func (f *File) Relocatable() bool { return f.elf.Type == elf.ET_REL }

// Machine is the processor that the file is for.
func (f *File) Machine() elf.Machine { return f.elf.Machine }

// PtrSize is the size of an address in bytes.
func (f *File) PtrSize() int {
	if f.elf.Class == elf.ELFCLASS32 {
		return 4
	}
	return 8
}

// HasDebug tells whether the file has debug information.
func (f *File) HasDebug() bool { return f.section(".debug_info").elf != nil }

// Section is a section that is loaded into memory.
type Section struct {
	Index int // in the section header table, as Symbol.Section has it
	Name  string
	Addr  uint64 // in the file's own addresses
	Size  uint64
	Code  bool // it has instructions
}

// Sections are the sections that are loaded (SHF_ALLOC), in the order of the file. The
// sections of a module all begin at 0 in the file; here each has an address of its own, one
// behind the other, and everything this package says of the file is in these addresses.
func (f *File) Sections() []Section {
	var out []Section
	for i, s := range f.elf.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 {
			out = append(out, Section{i, s.Name, f.place[i], s.Size, s.Flags&elf.SHF_EXECINSTR != 0})
		}
	}
	return out
}

// placeSections gives sections their addresses. In ET_REL they begin above the first
// megabyte, so that an address that was never relocated is not taken for code.
func (f *File) placeSections() {
	f.place = make([]uint64, len(f.elf.Sections))
	at := uint64(1 << 20)
	for i, s := range f.elf.Sections {
		switch {
		case !f.Relocatable():
			f.place[i] = s.Addr
		case s.Flags&elf.SHF_ALLOC != 0:
			align := min(max(s.Addralign, 16), 1<<20)
			at = (at + align - 1) / align * align
			f.place[i] = at
			at += min(s.Size, 1<<40) + 16 // an end is not the begin of the next
		}
	}
}

// maxNotes bounds a section of notes; vmlinux has 500 bytes.
const maxNotes = 1 << 20

// BuildID is the note GNU build ID of the file, nil if it has none.
func (f *File) BuildID() ([]byte, error) {
	for _, s := range f.elf.Sections {
		if s.Type != elf.SHT_NOTE || s.Size > maxNotes {
			continue
		}
		b, err := bin.ReadN(f.r, f.size, int64(s.Offset), s.FileSize, maxNotes)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s.Name, err)
		}
		if id := elfnote.BuildID(b, f.elf.ByteOrder); id != nil {
			return id, nil
		}
	}
	return nil, nil
}

// Bytes reads what the file itself has at an address of a loaded section: code, unless the
// file keeps debug information alone (.ko.debug), which is phys.ErrLost.
func (f *File) Bytes(addr uint64, n int) ([]byte, error) {
	for i, s := range f.elf.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || addr < f.place[i] || addr-f.place[i] >= s.Size {
			continue
		}
		if s.Type == elf.SHT_NOBITS {
			return nil, wrong(s.Name, int64(addr-f.place[i]), phys.ErrLost, "the file does not have its bytes")
		}
		var b bytes.Buffer
		at := addr - f.place[i]
		_, err := io.Copy(&b, io.NewSectionReader(f.r, int64(s.Offset+at), int64(min(uint64(max(n, 0)), s.Size-at))))
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("address %#x: %w", addr, phys.ErrUnmapped)
}
