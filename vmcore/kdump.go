package vmcore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/phys"
)

// openKDUMP opens a kdump-compressed file or DISKDUMP. A part of a split set is opened as a
// set of one here; Open joins the others.
func openKDUMP(r io.ReaderAt, size int64, _ *Options) (Container, Header, error) {
	f, err := diskdump.New(r, size)
	if err != nil {
		return nil, Header{}, err
	}
	if _, _, split := f.PartRange(); split {
		return joinParts([]*diskdump.File{f})
	}
	return f, kdumpHeader(f), nil
}

func kdumpHeader(f *diskdump.File) Header {
	h := &f.Header
	out := Header{
		Format: "kdump", Version: h.Version, Parts: 1,
		Arch: h.Utsname.Machine, Order: f.Order, PtrSize: f.PtrSize,
		Utsname: Utsname(h.Utsname), Time: f.Time(), CPUs: int(max(0, h.NrCPUs)),
		DumpLevel: -1, Codec: f.Codec(), Notes: [][]byte{f.Notes}, VMCoreInfo: f.Info, EraseInfo: f.EraseInfo,
		Incomplete: slices.ContainsFunc(f.Problems, phys.Damage), Problems: f.Problems,
	}
	if h.Signature == diskdump.SignatureDISKDUMP {
		out.Format = "diskdump"
		return out
	}
	if h.Version >= 1 {
		out.DumpLevel = int(f.SubHeader.DumpLevel)
	}
	base := int64(f.SubHeader.PhysBase)
	out.PhysBase = &base
	if out.Arch == "Unknown" { // QEMU
		out.Arch = ""
	}
	if out.Arch == "S390X" {
		out.Arch = "s390x"
	}
	return out
}

// joinParts makes one container of the parts of a split set.
func joinParts(parts []*diskdump.File) (Container, Header, error) {
	set, err := diskdump.Join(parts)
	if err != nil {
		return nil, Header{}, err
	}
	h := kdumpHeader(set.Parts()[0])
	h.Parts, h.Problems = len(parts), set.Problems()
	h.EraseInfo = nil
	codecs := make([]string, 0, 1)
	for _, p := range set.Parts() {
		h.EraseInfo = append(h.EraseInfo, p.EraseInfo...)
		if c := p.Codec(); !slices.Contains(codecs, c) {
			codecs = append(codecs, c)
		}
	}
	h.Codec = strings.Join(codecs, "+")
	h.Incomplete = slices.ContainsFunc(h.Problems, phys.Damage)
	return set, h, nil
}

// numberedName finds the number by which the files of a split set differ: the last run of
// digits in a name such as vmcore.split.2, dumpfile1 or vmcore-3.kdump.
var numberedName = regexp.MustCompile(`^(.*?)([0-9]+)([^0-9]*)$`)

// siblings are the other files in name's folder that differ from it only in the last
// number, ascending.
func siblings(name string) []string {
	dir, base := filepath.Split(name)
	m := numberedName.FindStringSubmatch(base)
	if m == nil {
		return nil
	}
	entries, err := os.ReadDir(filepath.Clean("./" + dir))
	if filepath.IsAbs(dir) {
		entries, err = os.ReadDir(dir)
	}
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		k := numberedName.FindStringSubmatch(e.Name())
		if k != nil && k[1] == m[1] && k[3] == m[3] && e.Name() != base && !e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// openSet joins a part of a split set with the others: those that the caller named, or
// those beside it in its folder. Files beside it that are no parts of this dump are left
// alone; a named one that is none is an error.
func openSet(name string, first *diskdump.Set, o *Options) (Container, Header, []io.Closer, error) {
	names, named := o.Parts, true
	if len(names) == 0 {
		names, named = siblings(name), false
	}
	parts := slices.Clone(first.Parts())
	var files []io.Closer
	for _, n := range names {
		f, part, err := openPart(n, o)
		if err == nil {
			_, err = diskdump.Join(append(slices.Clone(parts), part))
		}
		switch {
		case err == nil && !hasPart(parts, part):
			parts = append(parts, part)
			files = append(files, f)
			continue
		case err != nil && named:
			return nil, Header{}, files, fmt.Errorf("%s: %w", n, err)
		}
		if f != nil {
			f.Close()
		}
	}
	c, h, err := joinParts(parts)
	return c, h, files, err
}

// hasPart tells whether a part for the same pages is there already.
func hasPart(parts []*diskdump.File, p *diskdump.File) bool {
	start, end, _ := p.PartRange()
	return slices.ContainsFunc(parts, func(q *diskdump.File) bool {
		s, e, _ := q.PartRange()
		return s == start && e == end && start != end
	})
}

var errNoPart = errors.New("not a part of a split set")

func openPart(name string, o *Options) (dumpFile, *diskdump.File, error) {
	f, size, err := openFile(name, o)
	if err != nil {
		return nil, nil, err
	}
	r, size, flat, err := unflatten(f, size)
	if err != nil {
		return f, nil, err
	}
	part, err := diskdump.New(r, size)
	if err != nil {
		return f, nil, err
	}
	if flat != nil {
		part.Problems = append(flat.Problems(), part.Problems...)
	}
	if _, _, split := part.PartRange(); !split {
		return f, nil, errNoPart
	}
	return f, part, nil
}
