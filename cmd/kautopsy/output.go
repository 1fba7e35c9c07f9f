package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/vmcore"
)

// writeOutput writes a file that appears when it is whole, and replaces an earlier one but
// never the dump; - is standard output.
func writeOutput(env *environment, d *vmcore.Dump, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(env.out)
	}
	outs, err := createOutputs(d, []string{name}, true)
	if err != nil {
		return err
	}
	defer outs.discard()
	buf := bufio.NewWriter(outs.files[0])
	if err := errors.Join(write(buf), buf.Flush()); err != nil {
		return outs.named(err)
	}
	_, err = outs.commit(true)
	return outs.named(err)
}

// outputs are files that are being written, under other names beside their own; or a stream
// alone, which is a flattened one.
type outputs struct {
	files  []*os.File
	names  []string // what they become
	flats  []*flatOutput
	stream io.Writer
}

// createOutputs begins files. Those of the dump itself are never replaced, others only when
// forced.
func createOutputs(d *vmcore.Dump, names []string, force bool) (*outputs, error) {
	o := &outputs{names: names}
	for _, name := range names {
		if err := mayWrite(d, name, force); err != nil {
			o.discard()
			return nil, err
		}
		f, err := createBeside(name)
		if err != nil {
			o.discard()
			return nil, renamed(err, name)
		}
		o.files = append(o.files, f)
	}
	return o, nil
}

// mayWrite tells why a name must not become an output.
func mayWrite(d *vmcore.Dump, name string, force bool) error {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(name); err == nil && !force { // a link to nothing
			return existing(name)
		}
		return nil
	}
	switch {
	case err != nil:
		return err
	case d.Reads(st):
		return usagef("%s is the dump itself", name)
	case !st.Mode().IsRegular():
		return usagef("%s is no file", name)
	case !force:
		return existing(name)
	}
	return nil
}

// existing tells of a file that stays.
func existing(name string) error { return usagef("%s exists (--force replaces it)", name) }

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
	if o.stream != nil {
		w, err := o.flatten(o.stream)
		return []io.WriterAt{w}, err
	}
	for _, f := range o.files {
		if !flat {
			out = append(out, f)
			continue
		}
		w, err := o.flatten(f)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// flatten begins a flattened stream.
func (o *outputs) flatten(to io.Writer) (io.WriterAt, error) {
	buf := bufio.NewWriterSize(to, 256<<10)
	w, err := diskdump.NewFlatWriter(buf)
	o.flats = append(o.flats, &flatOutput{w, buf})
	return w, err
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
	if o.files == nil {
		return 0, nil
	}
	o.files = nil
	return size, syncFolder(filepath.Dir(o.names[0]))
}

// named is an error in the words of who asked for the files: not of the names that they have
// until they are whole.
func (o *outputs) named(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		for i, f := range o.files {
			if f.Name() == pe.Path {
				return renamed(err, o.names[i])
			}
		}
	}
	return err
}

// renamed is an error about a file under another name.
func renamed(err error, name string) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: name, Err: pe.Err}
	}
	return err
}

// publish gives a file its name. Without force a file that has got that name meanwhile
// stays; a link does that in one step, where the file system has links.
func publish(temporary, name string, force bool) error {
	if !force {
		err := os.Link(temporary, name)
		switch {
		case errors.Is(err, fs.ErrExist):
			return errors.Join(existing(name), os.Remove(temporary))
		case err == nil:
			return os.Remove(temporary)
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
