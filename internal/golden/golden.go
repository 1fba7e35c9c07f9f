// Package golden compares what a test got with a file under testdata, and writes that file
// when the test is run with -update. It holds the only such flag.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update is the flag of every package whose tests import this one.
var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// Check compares got with testdata/NAME of the package under test. A missing file fails.
func Check(t testing.TB, name, got string) {
	t.Helper()
	check(t, filepath.Join("testdata", filepath.FromSlash(name)), got, *update)
}

func check(t testing.TB, file, got string, write bool) {
	t.Helper()
	if write {
		save(t, file, got)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v (run the test with -update to write it, then read it)", err)
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func save(t testing.TB, file, got string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}
