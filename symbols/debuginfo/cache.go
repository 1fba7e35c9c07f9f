package debuginfo

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// store keeps unpacked files in a folder, each under its build-id:
//
//	HEX.debug    the file
//	KEY.from     which build-id a packed file was found to hold, "" none; KEY is a hash of
//	             its path, size and time, and of what was looked for in it
//	new-*        files that are being written, where the file system cannot write files
//	             that have no name yet (O_TMPFILE) and so go with the process
//
// Files come by rename, so that several processes may use the folder at once; one that
// another process removes while it is read lives until that is done.
type store struct {
	dir   string // "": nothing is kept
	limit int64  // bytes
}

// isBuildID tells whether a text can be a file's name: hexadecimal, of a plausible length.
var isBuildID = regexp.MustCompile(`^[0-9a-f]{8,128}$`).MatchString

// create makes a file to unpack to. Without a folder, or when it cannot be written, the file
// has no name and goes with the process.
func (s *store) create() (*os.File, error) {
	if s.dir != "" && os.MkdirAll(s.dir, 0o700) == nil {
		if f, err := os.OpenFile(s.dir, unix.O_TMPFILE|os.O_RDWR, 0o600); err == nil {
			return f, nil
		}
		if f, err := os.CreateTemp(s.dir, "new-*"); err == nil {
			return f, nil
		}
	}
	f, err := os.CreateTemp("", "kautopsy-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// commit gives a file that is complete its name. A file without a build-id, or outside of
// the folder, stays what it is: path is "".
func (s *store) commit(f *os.File, id string) (path string, err error) {
	name := f.Name()
	switch {
	case s.dir == "" || name != s.dir && filepath.Dir(name) != s.dir:
		return "", nil
	case !isBuildID(id) && name == s.dir:
		return "", nil
	case !isBuildID(id):
		return "", os.Remove(name)
	}
	path = s.path(id)
	err = f.Sync()
	if err == nil && name == s.dir {
		name = filepath.Join(s.dir, fmt.Sprintf("new-%016x", rand.Uint64()))
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	}
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil && name != s.dir {
		os.Remove(name)
	}
	if err != nil {
		return "", err
	}
	s.prune(path)
	return path, nil
}

// drop removes a file that will not be complete.
func (s *store) drop(f *os.File) {
	f.Close()
	if s.dir != "" && filepath.Dir(f.Name()) == s.dir {
		os.Remove(f.Name())
	}
}

func (s *store) path(id string) string { return filepath.Join(s.dir, id+".debug") }

// used marks a file as used now, if it is one of the folder.
func (s *store) used(path string) {
	if filepath.Dir(path) == s.dir {
		now := time.Now()
		os.Chtimes(path, now, now) //nolint:errcheck // a folder that cannot be written is no fault
	}
}

// from tells what a packed file was found to hold; ok is false when it was not looked into.
func (s *store) from(key string) (id string, ok bool) {
	if s.dir == "" {
		return "", false
	}
	b, err := os.ReadFile(filepath.Join(s.dir, key+".from"))
	id = strings.TrimSpace(string(b))
	return id, err == nil && (id == "" || isBuildID(id))
}

// remember writes down what a packed file holds.
func (s *store) remember(key, id string) {
	if s.dir == "" || os.MkdirAll(s.dir, 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(s.dir, "new-*")
	if err != nil {
		return
	}
	_, err = fmt.Fprintln(f, id)
	if f.Close() != nil || err != nil || os.Rename(f.Name(), filepath.Join(s.dir, key+".from")) != nil {
		os.Remove(f.Name())
	}
}

// sourceKey names a packed file as it is now, and what is looked for in it.
func sourceKey(path string, info fs.FileInfo, what string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	text := fmt.Sprintf("%s\x00%d\x00%d\x00%s", path, info.Size(), info.ModTime().UnixNano(), what)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:32]
}

// staleAfter: what was begun so long ago is not going to be complete.
const staleAfter = 24 * time.Hour

// prune removes what was not used for longest until the folder keeps to its limit; keep is
// spared.
func (s *store) prune(keep string) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	type file struct {
		path string
		size int64
		at   time.Time
	}
	var files []file
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		if strings.HasPrefix(e.Name(), "new-") {
			if time.Since(info.ModTime()) > staleAfter {
				os.Remove(path)
			}
			continue
		}
		total += info.Size()
		if path != keep {
			files = append(files, file{path, info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, f := range files {
		if total <= s.limit {
			return
		}
		if os.Remove(f.path) == nil {
			total -= f.size
		}
	}
}
