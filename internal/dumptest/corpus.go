package dumptest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Corpus names a file or folder of the corpus of real dumps, which KAUTOPSY_CORPUS names;
// without one the test is skipped.
func Corpus(t testing.TB, parts ...string) string {
	t.Helper()
	dir := os.Getenv("KAUTOPSY_CORPUS")
	if dir == "" {
		t.Skip("KAUTOPSY_CORPUS is not set: no real dumps but testdata/tiny")
	}
	return filepath.Join(append([]string{dir}, parts...)...)
}

// unpacked keeps what tests unpacked until all of the package are done.
var unpacked unpacker

// RunTests runs a package's tests and removes what they unpacked: call it from TestMain.
func RunTests(m *testing.M) {
	code := m.Run()
	if err := unpacked.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// Unpacked is the name of a file; one that is packed with xz is unpacked, once for all
// tests of a package, whose TestMain has to call RunTests.
func Unpacked(t testing.TB, name string) string {
	t.Helper()
	return unpacked.file(t, name)
}
