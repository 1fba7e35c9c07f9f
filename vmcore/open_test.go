package vmcore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// write makes a file and gives its name.
func write(t testing.TB, dir, base string, b []byte) string {
	t.Helper()
	name := filepath.Join(dir, base)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// splitText is a dump of twelve pages; as a set of three parts each has four.
const splitText = `format kdump arch x86_64 vmcoreinfo "OSRELEASE=6.1.0\nPAGESIZE=4096\n" maxpfn 40
page 0x02-0x05 random 1
page 0x06      excluded
page 0x10-0x13 random 2
page 0x20-0x23 random 3`

func splitExpect(t *testing.T) dumptest.Expect {
	t.Helper()
	e, err := dumptest.ParseExpect(splitText[strings.Index(splitText, "\n")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// splitFiles writes a set under the given names.
func splitFiles(t *testing.T, dir, recipe string, bases ...string) (names []string) {
	t.Helper()
	files, err := parse(t, splitText+"\n"+recipe+fmt.Sprintf("\nsplit %d", len(bases))).Build()
	if err != nil {
		t.Fatal(err)
	}
	for i, base := range bases {
		names = append(names, write(t, dir, base, files[i]))
	}
	return names
}

func open(t *testing.T, name string, o *vmcore.Options) *vmcore.Dump {
	t.Helper()
	d, err := vmcore.Open(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestSplit: any part brings its siblings, however they are named, flattened or not.
func TestSplit(t *testing.T) {
	tests := []struct {
		recipe string
		bases  []string
	}{
		{"", []string{"vmcore.split.1", "vmcore.split.2", "vmcore.split.3"}},
		{"flat", []string{"vmcore1", "vmcore2", "vmcore3"}},
		{"flat shuffle 3", []string{"dump-3.kdump", "dump-2.kdump", "dump-1.kdump"}},
		{"version 5", []string{"vmcore.8", "vmcore.9", "vmcore.10"}},
		{"codec zstd", []string{"a.2026.1", "a.2026.2", "a.2026.3"}},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		names := splitFiles(t, dir, tt.recipe, tt.bases...)
		write(t, dir, "vmcore.split.4", []byte("a foreign file with such a name"))
		write(t, dir, "vmcore4", nil)
		if err := os.Mkdir(filepath.Join(dir, "vmcore5"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			d := open(t, name, nil)
			splitExpect(t).Check(t, pages{d})
			if h := d.Header; h.Parts != 3 || len(h.Problems) != 0 || h.Incomplete {
				t.Errorf("%s: %d parts, incomplete %t, %v", filepath.Base(name), h.Parts, h.Incomplete, h.Problems)
			}
		}
	}
}

// TestSplitByPart: parts that lie anywhere are found when they are named.
func TestSplitByPart(t *testing.T) {
	first := splitFiles(t, t.TempDir(), "", "x", "y", "z")
	for i, name := range first {
		d := open(t, name, &vmcore.Options{Parts: []string{first[2], first[(i+1)%3], first[0], first[1], name}})
		splitExpect(t).Check(t, pages{d})
		if d.Header.Parts != 3 {
			t.Errorf("%d parts", d.Header.Parts)
		}
	}
	raw, err := os.ReadFile(first[1])
	if err != nil {
		t.Fatal(err)
	}
	d := openBytes(t, raw, &vmcore.Options{Parts: []string{first[0], first[2]}})
	splitExpect(t).Check(t, pages{d})
}

// TestSplitMissing: the pages of a part that is not there are lost, and the problem names
// them.
func TestSplitMissing(t *testing.T) {
	dir := t.TempDir()
	names := splitFiles(t, dir, "", "v.1", "v.2", "v.3")
	if err := os.Remove(names[1]); err != nil {
		t.Fatal(err)
	}
	d := open(t, names[2], nil)
	expect := splitExpect(t)
	expect[2].State, expect[2].Args = "lost", nil
	expect.Check(t, pages{d})
	h := d.Header
	if h.Parts != 2 || !h.Incomplete || len(h.Problems) != 1 || !errors.Is(h.Problems[0], phys.ErrLost) {
		t.Fatalf("%d parts, incomplete %t, %v", h.Parts, h.Incomplete, h.Problems)
	}
	if got := h.Problems[0].Error(); !strings.Contains(got, "pages 0x10 to 0x20") {
		t.Errorf("problem %q does not name the pages", got)
	}
	if c, err := d.Counts(); c.Lost != 4 || c.Present != 8 || err != nil {
		t.Errorf("counts %+v, %v", c, err)
	}
}

// TestSplitAlone: New looks for no siblings.
func TestSplitAlone(t *testing.T) {
	names := splitFiles(t, t.TempDir(), "", "v.1", "v.2", "v.3")
	raw, err := os.ReadFile(names[1])
	if err != nil {
		t.Fatal(err)
	}
	d := openBytes(t, raw, nil)
	if c, err := d.Counts(); c.Present != 4 || c.Lost != 8 || err != nil || len(d.Header.Problems) != 2 {
		t.Errorf("counts %+v, %v, %v", c, err, d.Header.Problems)
	}
}

// TestSplitForeign: a part of another dump beside it is left alone, and named it is an
// error.
func TestSplitForeign(t *testing.T) {
	dir := t.TempDir()
	names := splitFiles(t, dir, "", "v.1", "v.2", "v.3")
	others := splitFiles(t, dir, "node other", "v.4", "v.5", "v.6")
	whole := write(t, dir, "v.7", fileOf(t, parse(t, splitText)))
	text := write(t, dir, "v.8", []byte("notes"))
	if d := open(t, names[0], nil); d.Header.Parts != 3 || len(d.Header.Problems) > 0 {
		t.Errorf("%d parts, %v", d.Header.Parts, d.Header.Problems)
	}
	missing := filepath.Join(dir, "v.9")
	for _, wrong := range []string{others[1], whole, text, missing, dir} {
		d, err := vmcore.Open(names[0], &vmcore.Options{Parts: []string{names[1], wrong}})
		if d != nil || err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("--part %s: %v", filepath.Base(wrong), err)
		}
		if wrong == missing && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("--part %s: %v", filepath.Base(wrong), err)
		}
	}
	if _, err := vmcore.Open(whole, &vmcore.Options{Parts: []string{names[0]}}); err == nil {
		t.Error("a dump that is no part of a set was opened with parts")
	}
}

// TestSplitTruncated: a part that was cut makes the set incomplete, and costs its own pages.
func TestSplitTruncated(t *testing.T) {
	for _, recipe := range []string{"codec raw", "codec raw flat"} {
		names := splitFiles(t, t.TempDir(), recipe, "v.1", "v.2", "v.3")
		raw, err := os.ReadFile(names[2])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(names[2], raw[:len(raw)-2*4096], 0o600); err != nil {
			t.Fatal(err)
		}
		d := open(t, names[0], nil)
		var good, lost int
		for _, err := range d.Pages(t.Context()) {
			if err == nil {
				good++
			} else if lost++; !errors.Is(err, phys.ErrLost) {
				t.Errorf("%s: %v", recipe, err)
			}
		}
		if good+lost != 12 || lost < 1 || lost > 3 {
			t.Errorf("%s: %d pages, %d lost", recipe, good, lost)
		}
		if strings.Contains(recipe, "flat") && !d.Header.Incomplete {
			t.Errorf("%s: not incomplete: %v", recipe, d.Header.Problems)
		}
	}
}

// TestOpenRefused: what is no file is refused by name, before anything is read.
func TestOpenRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := vmcore.Open(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, name := range []string{dir, os.DevNull} {
		var not *vmcore.NotADump
		if _, err := vmcore.Open(name, nil); !errors.As(err, &not) || not.File != name || not.Do == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing is a disk that fails from an offset on.
type failing struct {
	io.ReaderAt
	from int64
}

var errDisk = errors.New("the disk failed")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(p, off)
}

// TestDiskError: an error of the disk is the caller's to see, and no reason of the dump.
func TestDiskError(t *testing.T) {
	file := fileOf(t, parse(t, threePages))
	for from := int64(0); from < int64(len(file)); from += 1000 {
		d, err := vmcore.New(failing{bytes.NewReader(file), from}, int64(len(file)), nil)
		if err == nil {
			_, err = d.ReadPhys(make([]byte, 8), 0x4000)
		}
		if !errors.Is(err, errDisk) || phys.Reason(err) != nil {
			t.Errorf("disk fails at %#x: %v", from, err)
		}
	}
}
