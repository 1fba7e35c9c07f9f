package debuginfo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// Split says how the split debug information (.dwo, .dwp) of a file is found: beside the file,
// in the folder of the compilation, and in folders, below which a whole tree may lie. The
// files are opened for each read: a kernel has thousands.
func Split(path string, dirs ...string) dwarf.Opener {
	return func(w dwarf.SplitFile) (io.ReaderAt, int64, error) {
		for _, name := range splitPlaces(path, dirs, w) {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				return splitFile(name), info.Size(), nil
			}
		}
		return nil, 0, fmt.Errorf("it is not beside %s, in %s or in --debug-dir", filepath.Base(path), w.Dir)
	}
}

// splitPlaces are where a file of split debug information can be, the likeliest first.
func splitPlaces(path string, dirs []string, w dwarf.SplitFile) (names []string) {
	beside := filepath.Dir(path)
	if w.Package {
		names = []string{path + ".dwp"}
		for _, d := range dirs {
			names = append(names, filepath.Join(d, filepath.Base(path)+".dwp"))
		}
		return names
	}
	name, base := w.Name, filepath.Base(w.Name)
	if !filepath.IsAbs(name) {
		names = append(names, filepath.Join(beside, name))
		name = filepath.Join(w.Dir, name)
	}
	names = append(names, name, filepath.Join(beside, base))
	for _, d := range dirs {
		names = append(names, filepath.Join(d, name), filepath.Join(d, w.Name), filepath.Join(d, base))
	}
	return names
}

// splitFile is a file that is open only while it is read.
type splitFile string

// ReadAt reads from the file of that name.
func (f splitFile) ReadAt(b []byte, off int64) (int, error) {
	r, err := os.Open(string(f))
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.ReadAt(b, off)
}
