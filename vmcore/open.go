package vmcore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/phys"
)

// format is a container that is read. Its magic decides and its error is final: a damaged
// file of a known kind is never tried as something else.
type format struct {
	name  string
	magic func(head []byte) bool
	open  func(r io.ReaderAt, size int64, o *Options) (Container, Header, error)
}

// formats in the order in which they are tried; a new container is a new line.
func formats() []format {
	return []format{
		{"kdump", prefix(diskdump.SignatureKDUMP), openKDUMP},
		{"diskdump", prefix(diskdump.SignatureDISKDUMP), openKDUMP},
		{"elf", prefix("\x7fELF"), openELF},
		{"lime", prefix("EMiL"), openLime},
		{"avml", prefix("AVML"), openAVML},
		{"s390", prefix("\xa8\x19\x01\x73\x61\x8f\x23"), openS390},
	}
}

func prefix(magic string) func([]byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
}

// headBytes is how much of a file's start its recognition looks at.
const headBytes = 64 << 10

// Open opens a dump file. A part of a split set brings the other parts that lie beside it,
// or those in Options.Parts. What is no dump is refused with a *NotADump that names it and
// says what to do.
func Open(name string, o *Options) (*Dump, error) {
	f, size, err := openFile(name, o)
	if err != nil {
		return nil, err
	}
	d, err := open(f, size, name, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	d.files = slices.Insert(d.files, 0, io.Closer(f))
	return d, nil
}

// New opens a dump of the given size through r, which the caller keeps open as long as the
// Dump is used. Other parts of a split set are looked for only if Options.Parts names them.
func New(r io.ReaderAt, size int64, o *Options) (*Dump, error) {
	return open(r, size, "", o)
}

// dumpFile is a file that a dump is read from.
type dumpFile interface {
	io.ReaderAt
	io.Closer
	Stat() (os.FileInfo, error)
	Name() string
}

// openFile opens a file and finds its size; a folder or a pipe is refused by name.
func openFile(name string, o *Options) (dumpFile, int64, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if st.IsDir() {
		return nil, 0, &NotADump{File: name, What: "a folder", Do: "name the dump file in it (often " + name + "/vmcore)"}
	}
	if st.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeCharDevice) != 0 {
		return nil, 0, &NotADump{File: name, What: "not a file that can be read at any place", Do: "copy it to a file first"}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if o != nil && o.Map {
		return mapFile(f, size), size, nil
	}
	return f, size, nil
}

// unflatten gives the file inside a flattened stream, or the file itself.
func unflatten(r io.ReaderAt, size int64) (io.ReaderAt, int64, *diskdump.Flat, error) {
	head := make([]byte, len(diskdump.SignatureFlat))
	if n, _ := r.ReadAt(head, 0); string(head[:n]) != diskdump.SignatureFlat {
		return r, size, nil, nil
	}
	flat, err := diskdump.Flatten(r, size)
	if err != nil {
		return nil, 0, nil, err
	}
	return flat, flat.Size(), flat, nil
}

func open(r io.ReaderAt, size int64, name string, o *Options) (*Dump, error) {
	if o == nil {
		o = &Options{}
	}
	inner, innerSize, flat, err := unflatten(r, size)
	if err != nil {
		return nil, err
	}
	if flat != nil && innerSize == 0 {
		return nil, fmt.Errorf("a flattened stream that was cut before its first record: %w", phys.ErrLost)
	}
	d := &Dump{name: name, size: size}
	if err := d.openContainer(inner, innerSize, name, o); err != nil {
		d.Close()
		var refused *NotADump
		if errors.As(err, &refused) && refused.File == "" {
			refused.File = name
		}
		return nil, err
	}
	if flat != nil {
		d.Header.Flattened = true
		d.Header.Incomplete = d.Header.Incomplete || flat.Truncated()
		d.Header.Problems = append(flat.Problems(), d.Header.Problems...)
	}
	if len(o.VMCoreInfo) > 0 {
		if _, err := ParseVMCoreInfo(o.VMCoreInfo); err != nil {
			d.Close()
			return nil, fmt.Errorf("the VMCOREINFO that was given: %w", err)
		}
		d.givenInfo = o.VMCoreInfo
	}
	d.ready(o)
	d.findOrder()
	return d, nil
}

// openContainer recognises the file and opens it.
func (d *Dump) openContainer(r io.ReaderAt, size int64, name string, o *Options) (err error) {
	head := make([]byte, min(headBytes, size))
	n, err := r.ReadAt(head, 0)
	if head = head[:n]; err != nil && !errors.Is(err, io.EOF) && n == 0 {
		return err
	}
	if len(o.Regions) > 0 {
		d.c, d.Header, err = openRaw(r, size, o)
		return err
	}
	for _, f := range formats() {
		if !f.magic(head) {
			continue
		}
		if d.c, d.Header, err = f.open(r, size, o); err != nil {
			return err
		}
		set, split := d.c.(*diskdump.Set)
		switch {
		case split && (name != "" || len(o.Parts) > 0):
			d.c, d.Header, d.files, err = openSet(name, set, o)
		case len(o.Parts) > 0:
			err = fmt.Errorf("other parts are named, and this is %w", errNoPart)
		}
		return err
	}
	return recognise(head, r, size, name)
}
