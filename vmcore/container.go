package vmcore

import (
	"encoding/binary"
	"iter"
	"time"

	"github.com/kautopsy/kautopsy/phys"
)

// Container is the memory in one dump file, whatever its format. It is a page source
// and nothing more: it caches nothing, fills nothing in, and is safe for many
// goroutines. A container whose bytes lie in the file as they are (ELF, LiME, raw)
// implements phys.Reader as well and is then read directly, byte by byte.
type Container interface {
	// PageSize is the unit of page numbers, in bytes; a power of two.
	PageSize() int
	// MaxPFN is one past the highest page that the container knows of.
	MaxPFN() phys.PFN
	// ReadPage reads page p into b, whose length is PageSize. n bytes from the
	// page's start are valid; n < PageSize exactly when err is not nil, and err
	// then is a *phys.PageError.
	ReadPage(p phys.PFN, b []byte) (n int, err error)
	// Runs yields the runs of pages that have one state, ascending, without reading
	// pages; pages in no run are holes. An error ends the walk.
	Runs() iter.Seq2[phys.Run, error]
}

// Segment is a run of memory whose virtual address the container knows (ELF p_vaddr).
type Segment struct {
	Virt uint64
	Span phys.Span
}

// Header is what a container says of itself and of the machine, before any memory is
// read. Fields that the format does not have are zero or nil.
type Header struct {
	Format    string // "kdump", "diskdump", "elf", "lime", "avml", "s390", "raw"
	Version   int    // header version of the format
	Flattened bool   // wrapped in makedumpfile's flattened stream
	Parts     int    // number of files of a split set, else 1

	Arch  string           // as uname -m says it; "" when the file does not tell
	Order binary.ByteOrder // of the machine
	// NoteOrder is that of the file's own structures and notes. It differs for a little-endian POWER
	// machine that QEMU dumped.
	NoteOrder binary.ByteOrder
	PtrSize   int // 4 or 8; 0 when the file does not tell

	Utsname    Utsname   // of the crashed kernel, from the header
	Time       time.Time // of the crash, from the header; zero if not there
	CPUs       int       // as the header counts them; 0 if it does not
	DumpLevel  int       // makedumpfile -d; -1 if unknown
	Codec      string    // codec that the header names: "none", "zlib", "lzo", "snappy", "zstd"
	PhysBase   *int64    // kernel relocation or base of RAM; a hint, VMCOREINFO is better
	Notes      [][]byte  // ELF note areas
	VMCoreInfo []byte    // where the header points to it directly; else it is in Notes
	EraseInfo  []byte    // what makedumpfile erased, as text
	Segments   []Segment // virtual addresses that the container knows

	Incomplete bool    // the writer said that it could not finish, or the file is cut
	Problems   []error // damage met while opening; each wraps a phys reason
}

// Utsname is struct utsname of the crashed kernel as far as it is known.
type Utsname struct {
	Sysname, Nodename, Release, Version, Machine, Domainname string
}
