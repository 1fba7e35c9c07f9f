package vmcore

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sync"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// Dump is an open dump: the memory of a crashed machine and what came with it. It is safe
// for many goroutines.
type Dump struct {
	Header Header

	name      string
	size      int64
	c         Container
	bytes     phys.Reader // c itself when its bytes lie in the file as they are, or nil
	cache     *cache
	files     []io.Closer
	mapped    bool // they may be mapped
	givenInfo []byte

	archOnce sync.Once
	arch     arch.Arch
	archErr  error

	infoMu  sync.Mutex
	info    *VMCoreInfo
	infoErr error
}

// ready sets up what reading needs.
func (d *Dump) ready(o *Options) {
	d.bytes, _ = d.c.(phys.Reader)
	d.cache = newCache(d.c, o.CacheBytes)
	d.mapped = o.Map
}

// smallRead is what is worth a place in the cache where the bytes lie in the file as they
// are: a read of the page behind it costs no more, and neighbours are mostly asked for too.
const smallRead = 256

// Close closes the files that Open opened.
func (d *Dump) Close() error {
	var errs []error
	for _, f := range d.files {
		errs = append(errs, f.Close())
	}
	d.files = nil
	return errors.Join(errs...)
}

// Reads tells whether a file is one that the dump is read from: it must not be written to.
func (d *Dump) Reads(file os.FileInfo) bool {
	return slices.ContainsFunc(d.files, func(c io.Closer) bool {
		f, ok := c.(dumpFile)
		if !ok {
			return false
		}
		st, err := f.Stat()
		return err == nil && os.SameFile(st, file)
	})
}

// Name is the file's name as it was given to Open, "" from New.
func (d *Dump) Name() string { return d.name }

// Files are the names of the files that Open reads the dump from, the one it was given first;
// nil from New and after Close.
func (d *Dump) Files() (names []string) {
	for _, c := range d.files {
		if f, ok := c.(dumpFile); ok {
			names = append(names, f.Name())
		}
	}
	return names
}

// Size is the size of the file in bytes; of a split set that of the file that was named.
func (d *Dump) Size() int64 { return d.size }

// PageSize is the unit of page numbers, in bytes: the container's block size, not always
// the kernel's page size.
func (d *Dump) PageSize() int { return d.c.PageSize() }

// MaxPFN is one past the highest page that the container knows of.
func (d *Dump) MaxPFN() phys.PFN { return d.c.MaxPFN() }

// ReadPhys reads physical memory; see phys.Reader.
func (d *Dump) ReadPhys(p []byte, a phys.Addr) (int, error) {
	size := uint64(d.c.PageSize())
	if d.bytes != nil {
		if off := uint64(a) % size; len(p) <= smallRead && off+uint64(len(p)) <= size {
			if n, err := d.cache.read(p, phys.PFN(uint64(a)/size), int(off)); err == nil {
				return n, nil
			}
		}
		return d.bytes.ReadPhys(p, a) // it tells of pages that are there in part
	}
	done := 0
	for done < len(p) {
		at := uint64(a) + uint64(done)
		if at < uint64(a) {
			return done, &phys.PageError{Op: "read", Span: phys.Span{Start: a, End: ^phys.Addr(0)}, Off: -1, Err: phys.ErrHole}
		}
		n, err := d.cache.read(p[done:], phys.PFN(at/size), int(at%size))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Complete tells whether the dump's end is there: nil, or an error that wraps phys.ErrLost.
// For a kdump-compressed file it reads a bitmap once, which Open does not; the others tell
// already in Header.Incomplete.
func (d *Dump) Complete() error {
	if c, ok := d.c.(interface{ Complete() error }); ok {
		return c.Complete()
	}
	return nil
}

// Stored counts the pages by the codec in which they are stored ("none", "zlib", "lzo",
// "snappy", "zstd"). A container that stores memory as it is answers "none" for all.
func (d *Dump) Stored() (map[string]uint64, error) {
	if s, ok := d.c.(interface {
		Stored() (map[string]uint64, error)
	}); ok {
		return s.Stored()
	}
	c, err := d.Counts()
	return map[string]uint64{"none": c.Present}, err
}

// Runs yields the runs of pages of one state, ascending; pages in no run are holes.
func (d *Dump) Runs() iter.Seq2[phys.Run, error] { return d.c.Runs() }

// Counts are pages by state, as the container tells without reading them.
type Counts struct {
	Present, Excluded, Hole, Lost uint64
}

// Counts counts the pages by state.
func (d *Dump) Counts() (Counts, error) {
	count := d.countRuns
	if b, ok := d.c.(interface {
		Counts() (diskdump.Counts, error)
	}); ok {
		count = func() (Counts, error) { c, err := b.Counts(); return Counts(c), err }
	}
	c, err := count()
	c.Hole = uint64(d.MaxPFN()) - min(uint64(d.MaxPFN()), c.Present+c.Excluded+c.Lost)
	return c, err
}

// countRuns counts the pages of the runs; those in none are holes.
func (d *Dump) countRuns() (c Counts, err error) {
	for r, err := range d.c.Runs() {
		if err != nil {
			return c, err
		}
		switch phys.Reason(r.Why) {
		case nil:
			c.Present += r.Len()
		case phys.ErrExcluded:
			c.Excluded += r.Len()
		case phys.ErrHole:
		default:
			c.Lost += r.Len()
		}
	}
	return c, nil
}

// Note is an ELF note of the dump.
type Note = elfnote.Note

// Notes yields the ELF notes of the dump in order. A damaged one ends its area.
func (d *Dump) Notes() iter.Seq2[Note, error] {
	return func(yield func(Note, error) bool) {
		for _, area := range d.Header.Notes {
			for n, err := range elfnote.All(area, d.Header.NoteOrder) {
				if !yield(n, err) {
					return
				}
			}
		}
	}
}

// VMCoreInfo finds the kernel's VMCOREINFO: as given in Options, where the header points to
// it, in the notes, and, in the dump of a hypervisor that has none of these, by a scan of
// the dump's memory. The answer is kept. Without any the error is ErrNoVMCoreInfo.
func (d *Dump) VMCoreInfo(ctx context.Context) (*VMCoreInfo, error) {
	d.infoMu.Lock()
	defer d.infoMu.Unlock()
	if d.info != nil || d.infoErr != nil {
		return d.info, d.infoErr
	}
	info, err := d.knownInfo()
	if errors.Is(err, ErrNoVMCoreInfo) {
		info, err = d.scanInfo(ctx)
	}
	if ctx.Err() != nil { // cut short: somebody may ask again
		return info, err
	}
	d.info, d.infoErr = info, err
	return info, err
}

// knownInfo looks where VMCOREINFO stands without a scan.
func (d *Dump) knownInfo() (*VMCoreInfo, error) {
	if d.givenInfo != nil {
		return labelled(d.givenInfo, "file")
	}
	if v, err := labelled(d.Header.VMCoreInfo, "sub header"); err == nil {
		return v, nil
	}
	for n, err := range d.Notes() {
		if err != nil {
			break
		}
		if n.Name == "VMCOREINFO" {
			if v, err := labelled(n.Desc, "note"); err == nil {
				return v, nil
			}
		}
	}
	return nil, ErrNoVMCoreInfo
}

func labelled(text []byte, origin string) (*VMCoreInfo, error) {
	v, err := ParseVMCoreInfo(text)
	if err == nil {
		v.Origin = origin
	}
	return v, err
}

// Arch is the machine's processor: what the container says, else what its notes look like.
func (d *Dump) Arch() (arch.Arch, error) {
	d.archOnce.Do(func() { d.arch, d.archErr = d.findArch() })
	return d.arch, d.archErr
}

func (d *Dump) findArch() (arch.Arch, error) {
	if a, err := arch.ByName(d.Header.Arch); err == nil {
		return a, nil
	}
	for n, err := range d.Notes() {
		if err == nil && n.Name == "CORE" && n.Type == elfnote.TypePRStatus {
			a, err := arch.ByPRStatus(len(n.Desc), d.Header.PtrSize, nil)
			if err != nil {
				return nil, err
			}
			return d.inOrder(a)
		}
	}
	return nil, fmt.Errorf("the file does not say which processor it is of: %w", phys.ErrUnsupported)
}

// inOrder is a, or the processor of the same family that runs in the dump's byte order:
// the notes of ppc64 and ppc64le have the same length.
func (d *Dump) inOrder(a arch.Arch) (arch.Arch, error) {
	info := a.Info()
	if info.Order == nil || info.Order == d.Header.Order {
		return a, nil
	}
	class := elf.ELFCLASS64
	if info.PtrSize == 4 {
		class = elf.ELFCLASS32
	}
	return arch.ByMachine(info.Machine, class, d.Header.Order)
}
