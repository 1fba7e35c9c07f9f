package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// addCodeFlags declares the flags of a command whose answers have source lines.
func addCodeFlags(fs *pflag.FlagSet) *dumpFlags {
	f := addDumpFlags(fs)
	fs.StringArrayVarP(&f.debug, "vmlinux", "k", nil, "source lines from `FILE`: the kernel's vmlinux, or a module's .ko; may be repeated")
	return f
}

// debugFiles are the files that -k names.
type debugFiles struct {
	names []string
	open  []*os.File
}

// OpenDebug opens the file of the kernel, or of a module by the file's own name.
func (d *debugFiles) OpenDebug(_ context.Context, w kernel.Want) (*dwarf.File, error) {
	for _, name := range d.names {
		base, _, _ := strings.Cut(filepath.Base(name), ".")
		module := strings.Contains(filepath.Base(name), ".ko")
		if module != (w.Module != "") || module && strings.ReplaceAll(base, "-", "_") != w.Module {
			continue
		}
		return d.openFile(name, w)
	}
	return nil, dwarf.ErrNoDebug
}

func (d *debugFiles) openFile(name string, w kernel.Want) (*dwarf.File, error) {
	r, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	d.open = append(d.open, r)
	st, err := r.Stat()
	if err != nil {
		return nil, err
	}
	f, err := dwarf.Open(r, st.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	id, err := f.BuildID()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if w.BuildID != nil && id != nil && !bytes.Equal(id, w.BuildID) {
		return nil, fmt.Errorf("%s is of another build: its build ID is %x, that of the dump %x", name, id, w.BuildID)
	}
	return f, nil
}

func (d *debugFiles) close() {
	for _, f := range d.open {
		f.Close()
	}
}
