// Package guesttest opens the dumps of real machines for tests, beside what was recorded in
// them before they died: testdata/tiny, which is always there, and the corpus that
// KAUTOPSY_CORPUS names.
package guesttest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// Guest is a machine that died.
type Guest struct {
	*kernel.Kernel
	Name  string // "tiny", "6.1"
	truth string // folder of what was recorded
}

// files are the dumps of the corpus by guest.
var files = []struct{ name, dump string }{
	{"5.10", "vmcore.raw.xz"},
	{"6.1", "vmcore.raw.xz"},
	{"6.12", "vmcore.raw.xz"},
	{"7.2", "vmcore.raw.xz"},
	{"arm64", "vmcore.elf.xz"},
}

// Each runs a test for every guest: the small one always, those of the corpus where it is.
func Each(t *testing.T, test func(t *testing.T, g Guest)) {
	t.Helper()
	t.Run("tiny", func(t *testing.T) { test(t, Tiny(t)) })
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			dir := dumptest.Corpus(t, f.name)
			k := Open(t, dumptest.Unpacked(t, filepath.Join(dir, f.dump)))
			test(t, Guest{k, f.name, filepath.Join(dir, "truth")})
		})
	}
}

// Tiny is the small guest that the repository holds.
func Tiny(t testing.TB) Guest {
	t.Helper()
	dir := tiny(t)
	return Guest{Open(t, filepath.Join(dir, "vmcore.zlib")), "tiny", filepath.Join(dir, "truth")}
}

// tiny is testdata/tiny, from wherever a test runs.
func tiny(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("where is the source?")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", "testdata", "tiny")
}

// Open opens the kernel of a dump file for the time of the test.
func Open(t testing.TB, name string) *kernel.Kernel {
	t.Helper()
	d, err := vmcore.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, d)
}

func open(t testing.TB, d *vmcore.Dump) *kernel.Kernel {
	t.Helper()
	t.Cleanup(func() { d.Close() })
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Recorder is the PID of the process that recorded the truth and then let the guest die.
func (g Guest) Recorder(t testing.TB) (pid int) {
	t.Helper()
	if _, err := fmt.Sscanf(g.Truth(t, "collector"), "pid=%d", &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// Truth is a file that was recorded in the guest.
func (g Guest) Truth(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.truth, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
