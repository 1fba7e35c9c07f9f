package debuginfo

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// member is a regular file in a package. Its name says what it may be and is never a path
// of this machine; its bytes can be read until the walk goes on.
type member struct {
	name string
	size int64
	io.Reader
}

// walker goes over the files of a package, or lists them from its headers.
type walker struct {
	kind  string
	magic string
	files func(*bufio.Reader) iter.Seq2[member, error]
	names func(*bufio.Reader) ([]string, error) // without unpacking; nil when the package does not say
}

func walkers() []walker {
	return []walker{
		{"deb", "!<arch>\n", debFiles, debNames},
		{"rpm", "\xed\xab\xee\xdb", rpmFiles, rpmNames},
	}
}

// walkerOf recognises a package, nil if it is none.
func walkerOf(head []byte) *walker {
	for _, w := range walkers() {
		if bytes.HasPrefix(head, []byte(w.magic)) {
			return &w
		}
	}
	return nil
}

// isPackage tells whether a file is a package.
func isPackage(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 8)
	f.ReadAt(head, 0) //nolint:errcheck // a short file is none
	return walkerOf(head) != nil
}

// arHeader is struct ar_hdr (ar.h): all text, filled up with blanks.
//
//	0      16      28    34    40     48     58    60
//	| name | mtime | uid | gid | mode | size | "`\n" |
const arHeader = 60

// arMembers walks the members of an ar archive, each at an even offset.
func arMembers(r *bufio.Reader) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if _, err := r.Discard(len("!<arch>\n")); err != nil {
			yield(member{}, cut(err))
			return
		}
		for {
			var h [arHeader]byte
			if _, err := io.ReadFull(r, h[:]); err != nil {
				if err != io.EOF {
					yield(member{}, fmt.Errorf("ar: %w", cut(err)))
				}
				return
			}
			size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
			if err != nil || size < 0 || string(h[58:]) != "`\n" {
				yield(member{}, fmt.Errorf("ar: header of a member: %w", phys.ErrCorrupt))
				return
			}
			body := &io.LimitedReader{R: r, N: size}
			name := strings.TrimSuffix(strings.TrimSpace(string(h[:16])), "/")
			if !yield(member{name, size, body}, nil) {
				return
			}
			if _, err := io.CopyN(io.Discard, r, body.N+size&1); err != nil && !errors.Is(err, io.EOF) {
				yield(member{}, err)
				return
			}
		}
	}
}

// tarFiles walks the regular files of a tar archive, which may be packed.
func tarFiles(r io.Reader) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		plain, err := unpacked(r)
		if err != nil {
			yield(member{}, err)
			return
		}
		t := tar.NewReader(plain)
		for {
			h, err := t.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(member{}, unpackError("tar", err))
				return
			}
			if h.Typeflag != tar.TypeReg || h.Size == 0 {
				continue
			}
			if !yield(member{path.Clean(h.Name), h.Size, t}, nil) {
				return
			}
		}
	}
}

// debFiles walks the files of a Debian package (deb(5)): an ar archive of debian-binary,
// control.tar.* and data.tar.*.
func debFiles(r *bufio.Reader) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for part, err := range arMembers(r) {
			if err != nil {
				yield(member{}, err)
				return
			}
			if !strings.HasPrefix(part.name, "data.tar") {
				continue
			}
			for m, err := range tarFiles(part) {
				if !yield(m, err) || err != nil {
					return
				}
			}
			return
		}
	}
}

// maxNames bounds what a package says of its contents.
const maxNames = 64 << 20

// debNames lists the files of a Debian package from its md5sums.
func debNames(r *bufio.Reader) ([]string, error) {
	for part, err := range arMembers(r) {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(part.name, "control.tar") {
			continue
		}
		for m, err := range tarFiles(part) {
			if err != nil {
				return nil, err
			}
			if m.name == "md5sums" {
				return md5Names(io.LimitReader(m, maxNames))
			}
		}
		return nil, nil
	}
	return nil, nil
}

// md5Names reads lines of "checksum  name".
func md5Names(r io.Reader) (names []string, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if _, name, ok := strings.Cut(s.Text(), "  "); ok {
			names = append(names, name)
		}
	}
	return names, s.Err()
}
