package dumptest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ulikunitz/xz"
)

// unpacker unpacks files that are packed with xz, each once for all tests that ask for it.
type unpacker struct {
	mu   sync.Mutex
	dir  string
	done map[string]string
}

// file is the name of the unpacked file; of a file that is not packed its own.
func (u *unpacker) file(t testing.TB, name string) string {
	t.Helper()
	if !strings.HasSuffix(name, ".xz") {
		return name
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if out, ok := u.done[name]; ok {
		return out
	}
	out, err := u.unpack(name)
	if err != nil {
		t.Fatalf("unpack %s: %v", name, err)
	}
	u.done[name] = out
	return out
}

// unpack writes the unpacked file into the unpacker's own folder.
func (u *unpacker) unpack(name string) (out string, err error) {
	if u.dir == "" {
		if u.dir, err = os.MkdirTemp("", "unpacked"); err != nil {
			return "", err
		}
		u.done = make(map[string]string)
	}
	f, err := os.CreateTemp(u.dir, strings.TrimSuffix(filepath.Base(name), ".xz"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Name(), Unxz(f, name)
}

// Unxz unpacks a file into w: by the xz program where there is one, which is several times
// faster, else by the library.
func Unxz(w io.Writer, name string) error {
	if xz, err := exec.LookPath("xz"); err == nil {
		c := exec.Command(xz, "-dc", "-T0", "--", name)
		c.Stdout = w
		return c.Run()
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := xz.NewReader(bufio.NewReader(in))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

// close removes what was unpacked.
func (u *unpacker) close() error {
	if u.dir == "" {
		return nil
	}
	return os.RemoveAll(u.dir)
}
