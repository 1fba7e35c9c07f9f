package debuginfo_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/symbols/debuginfo"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// TestSplitPlaces: the .dwo of a program is found where it was made, beside the program, and
// below a folder that is named; without it the lines are there, and what is missing is named.
func TestSplitPlaces(t *testing.T) {
	if testing.Short() {
		t.Skip("compilers in short mode")
	}
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed")
	}
	made, moved, other := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(made, "code.c"), "static volatile int state;\nstatic inline __attribute__((always_inline)) void inner(int a) { state = a; }\nvoid outer(int a) { inner(a); }\n")
	cmd := exec.Command(cc, "-O2", "-g", "-gsplit-dwarf", "-nostdlib", "-static", "-Wl,-e,outer", "-o", "code.out", "code.c")
	cmd.Dir = made
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	names, err := filepath.Glob(filepath.Join(made, "*.dwo"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	dwo := filepath.Base(names[0])
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(moved, "code.out")
	move(filepath.Join(made, "code.out"), program)
	look := func(want int, dirs ...string) error {
		t.Helper()
		chain, err := sourceOfOuter(t, program, dirs)
		if len(chain) != want || chain[0].Line == 0 {
			t.Errorf("%v: %+v, %v; want %d", dirs, chain, err, want)
		}
		return err
	}
	look(2)
	move(filepath.Join(made, dwo), filepath.Join(moved, dwo))
	look(2)
	move(filepath.Join(moved, dwo), filepath.Join(other, dwo))
	look(2, made, other)
	if err := look(1, made); !errors.Is(err, dwarf.ErrSplit) || !strings.Contains(err.Error(), dwo) {
		t.Errorf("without it: %v", err)
	}
	move(filepath.Join(other, dwo), filepath.Join(moved, "kept"))
	if err := os.Mkdir(filepath.Join(moved, dwo), 0o700); err != nil {
		t.Fatal(err)
	}
	look(1)
}

// sourceOfOuter asks a program, opened anew, for the source of its function outer.
func sourceOfOuter(t *testing.T, program string, dirs []string) ([]dwarf.Source, error) {
	t.Helper()
	r, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := dwarf.Open(r, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.FindSplit(debuginfo.Split(program, dirs...))
	for s, err := range f.Symbols() {
		if err != nil {
			t.Fatal(err)
		}
		if s.Name == "outer" {
			return f.Source(s.Addr)
		}
	}
	t.Fatal("no symbol outer")
	return nil, nil
}
