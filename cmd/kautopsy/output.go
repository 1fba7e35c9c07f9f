package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kautopsy/kautopsy/diskdump"
)

// createBeside makes a file in the folder of name, to be renamed to it when it is whole.
// Only its owner may read it, as with dumps of makedumpfile.
func createBeside(name string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.part")
}

// flatOutput is a file that is written as a flattened stream.
type flatOutput struct {
	*diskdump.FlatWriter
	buf *bufio.Writer
}

// writers are what a conversion writes to.
func (o *outputs) writers(flat bool) (out []io.WriterAt, err error) {
	for _, f := range o.files {
		if !flat {
			out = append(out, f)
			continue
		}
		buf := bufio.NewWriterSize(f, 256<<10)
		w, err := diskdump.NewFlatWriter(buf)
		if err != nil {
			return nil, err
		}
		o.flats = append(o.flats, &flatOutput{w, buf})
		out = append(out, w)
	}
	return out, nil
}

// commit brings the files to the disk and gives them their names; size is that of all.
func (o *outputs) commit(force bool) (size int64, err error) {
	for _, w := range o.flats {
		if err := errors.Join(w.Close(), w.buf.Flush()); err != nil {
			return 0, err
		}
	}
	for _, f := range o.files {
		st, err := f.Stat()
		if err != nil {
			return 0, err
		}
		size += st.Size()
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	for i, f := range o.files {
		if err := f.Close(); err != nil {
			return 0, err
		}
		if err := publish(f.Name(), o.names[i], force); err != nil {
			return 0, err
		}
	}
	o.files = nil
	return size, syncFolder(filepath.Dir(o.names[0]))
}

// publish gives a file its name. Without force a file that has got that name meanwhile
// stays; a link does that in one step, where the file system has links.
func publish(temporary, name string, force bool) error {
	if !force {
		err := os.Link(temporary, name)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return errors.Join(err, os.Remove(temporary))
		}
	}
	return os.Rename(temporary, name)
}

// syncFolder makes the new names last.
func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

// discard removes what was not given its name.
func (o *outputs) discard() {
	for _, f := range o.files {
		f.Close()
		os.Remove(f.Name())
	}
	o.files = nil
}
