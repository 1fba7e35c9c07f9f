package diskdump_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// opened is a dump that was made in memory, whatever wraps it.
type opened interface {
	dumptest.Source
	Counts() (diskdump.Counts, error)
}

// openFile opens one file, flattened or not.
func openFile(b []byte) (*diskdump.File, error) {
	if !bytes.HasPrefix(b, []byte(diskdump.SignatureFlat)) {
		return diskdump.New(bytes.NewReader(b), int64(len(b)))
	}
	flat, err := diskdump.Flatten(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return diskdump.New(flat, flat.Size())
}

func openBytes(t testing.TB, b []byte) *diskdump.File {
	t.Helper()
	f, err := openFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// build opens what a recipe makes: a file, or a split set.
func build(t testing.TB, r *dumptest.Recipe) opened {
	t.Helper()
	files, err := r.Build()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 1 {
		return openBytes(t, files[0])
	}
	var parts []*diskdump.File
	for _, b := range files {
		parts = append(parts, openBytes(t, b))
	}
	set, err := diskdump.Join(parts)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func parse(t testing.TB, text string) *dumptest.Recipe {
	t.Helper()
	r, err := dumptest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fileOf is the one file of a recipe.
func fileOf(t testing.TB, text string) []byte {
	t.Helper()
	files, err := parse(t, text).Build()
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// small is a dump of 17 KiB that has every state, two words of bitmap and a note.
const small = `format kdump codec zlib vmcoreinfo "OSRELEASE=6.1.0\n" eraseinfo "erase x\n" maxpfn 70
page 2 zero
page 3 fill "three "
page 5-6 excluded
page 0x40 fill "sixty-four "
page 0x44 zero`

// pageOf reads page p, which has to be there.
func pageOf(t testing.TB, s dumptest.Source, p phys.PFN) []byte {
	t.Helper()
	b := make([]byte, s.PageSize())
	if n, err := s.ReadPage(p, b); n != len(b) || err != nil {
		t.Fatalf("page %#x: %d bytes, %v", uint64(p), n, err)
	}
	return b
}

// TestContainers: what wraps the memory must not change it.
func TestContainers(t *testing.T) {
	files, err := filepath.Glob("../testdata/recipes/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	for _, file := range files {
		r, expect := dumptest.Load(t, file)
		if r.Format != "kdump" && r.Format != "diskdump" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) { containers(t, r, expect) })
	}
}

// containers reads one image as every codec, plain, flattened and split.
func containers(t *testing.T, r *dumptest.Recipe, expect dumptest.Expect) {
	wraps := []*dumptest.Flat{nil, {}, {Piece: 700, Shuffle: 3}, {Overlap: true}, {Holes: true}}
	codecs := append(dumptest.Codecs(), dumptest.Mixed)
	if len(r.Image.Damage) > 0 { // the damage is one of its codec's form
		codecs = []dumptest.Codec{r.KDUMP.Codec}
	}
	for _, codec := range codecs {
		for i, flat := range wraps {
			for _, parts := range []int{1, 2, 3} {
				v := *r
				v.KDUMP.Codec, v.Flat, v.Split = codec, flat, parts
				s := build(t, &v)
				expect.Check(t, s)
				if t.Failed() {
					t.Fatalf("codec %s, wrap %d, %d parts", codec, i, parts)
				}
			}
		}
	}
}

// TestCounts: the bitmaps alone tell how many pages are in which state.
func TestCounts(t *testing.T) {
	want := diskdump.Counts{Present: 4, Excluded: 2, Hole: 64}
	for _, tail := range []string{"", "\nsplit 2", "\nsplit 3 flat shuffle 9"} {
		got, err := build(t, parse(t, small+tail)).Counts()
		if err != nil || got != want {
			t.Errorf("%q: counts %+v, %v, want %+v", tail, got, err, want)
		}
	}
}

// TestRefused: what is no dump is told apart from what cannot be read.
func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, phys.ErrLost},
		{"text", []byte("this is no dump at all"), phys.ErrUnsupported},
		{"lower case", []byte("diskdump"), phys.ErrUnsupported},
		{"signature alone", []byte("KDUMP   "), phys.ErrLost},
		{"zero header", append([]byte("KDUMP   "), make([]byte, 8192)...), phys.ErrCorrupt},
	}
	for _, tt := range tests {
		if _, err := openFile(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

// broken is a disk that fails in reads that reach off.
type broken struct {
	io.ReaderAt
	off int64
}

var errDisk = errors.New("the disk failed")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.off {
		return 0, errDisk
	}
	return b.ReaderAt.ReadAt(p, off)
}

// TestDiskError: an error of the disk is passed on and is none of the dump's reasons.
func TestDiskError(t *testing.T) {
	file := fileOf(t, small)
	for off := int64(0); off < int64(len(file)); off += 512 {
		f, err := diskdump.New(broken{bytes.NewReader(file), off}, int64(len(file)))
		if err != nil {
			if !errors.Is(err, errDisk) || phys.Reason(err) != nil {
				t.Errorf("disk broken at %#x: open says %v", off, err)
			}
			continue
		}
		b := make([]byte, f.PageSize())
		if _, err := f.ReadPage(0x40, b); err != nil && (!errors.Is(err, errDisk) || phys.Reason(err) != nil) {
			t.Errorf("disk broken at %#x: read says %v", off, err)
		}
	}
}
