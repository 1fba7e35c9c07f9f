package dwarf

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/symbols"
)

func openModule(t testing.TB) *File {
	t.Helper()
	b, err := os.ReadFile("../../testdata/tiny/crashkit.ko")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestNamesCache: an index comes back from the folder as it was, and the time of its file
// tells that it was used.
func TestNamesCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kautopsy")
	f := openModule(t)
	want, err := f.names(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.kinds[symbols.KindStruct]) < 50 || len(want.kinds[symbols.KindFunc]) < 20 {
		t.Errorf("%d structs, %d functions", len(want.kinds[symbols.KindStruct]), len(want.kinds[symbols.KindFunc]))
	}
	path := f.cachePath(dir)
	old := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	for what, read := range map[string]func() (*nameIndex, error){
		"the file":  func() (*nameIndex, error) { return f.readNames(path) },
		"the cache": func() (*nameIndex, error) { return openModule(t).names(dir) },
	} {
		if got, err := read(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if st, err := os.Stat(path); err != nil || !st.ModTime().After(old.Add(time.Hour)) {
		t.Errorf("the file that was used has the time %v: %v", st.ModTime(), err)
	}
}

// TestNamesCacheDamaged changes every byte of a file, and cuts it everywhere: it is not
// believed, and written anew.
func TestNamesCacheDamaged(t *testing.T) {
	dir := t.TempDir()
	f := openModule(t)
	want, err := f.names(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := f.cachePath(dir)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := len(good)/500 + 1
	try := func(what string, at int, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := f.readNames(path); err == nil || x != nil {
			t.Errorf("%s at %d of %d: believed", what, at, len(good))
		}
	}
	for at := 0; at < len(good); at += step {
		b := bytes.Clone(good)
		b[at] ^= 0x40
		try("another bit", at, b)
		try("cut", at, good[:at])
	}
	try("longer", len(good), append(bytes.Clone(good), make([]byte, 8)...))
	if got, err := f.names(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with a damaged file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, good) {
		t.Errorf("the damaged file was not written anew: %v", err)
	}
}

// TestNamesCacheUnwritable: a folder that cannot be is no error.
func TestNamesCacheUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := openModule(t)
	if x, err := f.names(filepath.Join(file, "below")); err != nil || len(x.kinds[symbols.KindStruct]) == 0 {
		t.Error(err)
	}
}

// TestNamesCacheTogether: many who ask at once all get the index, and leave one file.
func TestNamesCacheTogether(t *testing.T) {
	dir := t.TempDir()
	want, err := openModule(t).scanNames()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 3 {
				if got, err := openModule(t).names(dir); err != nil || !reflect.DeepEqual(got, want) {
					t.Error("another index", err)
				}
			}
		})
	}
	wg.Wait()
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v: %v", list, err)
	}
}

// TestNamesCacheTrimmed: those that were not used for longest go first, then what somebody
// began long ago; the files of others stay.
func TestNamesCacheTrimmed(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	make := func(name string, size int64, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	make("old.names", maxCache/2, 3*time.Hour)
	make("new.names", maxCache/2, time.Hour)
	make("newest.names", maxCache/4, time.Minute)
	make(".new-begun", 1, 2*staleTemp)
	make(".new-being-written", 1, time.Minute)
	make("notes.txt", maxCache, 9*time.Hour)
	trimCache(dir, now)
	list, err := os.ReadDir(dir)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); err != nil || got != ".new-being-written new.names newest.names notes.txt" {
		t.Errorf("%s: %v", got, err)
	}
}

// TestScanning: who reads all units is told how far it is, and ends with his context.
func TestScanning(t *testing.T) {
	f := openModule(t)
	var last, total int
	f.Scanning(t.Context(), func(done, of int) {
		if done < last || of < 1 {
			t.Errorf("%d of %d behind %d", done, of, last)
		}
		last, total = done, of
	})
	if _, err := f.scanNames(); err != nil || last != total || total == 0 {
		t.Errorf("%d of %d units: %v", last, total, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	last = 0
	f = openModule(t)
	f.Scanning(ctx, func(done, of int) { last, total = done, of })
	ts, err := f.Types()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ts.ByName("task_struct", symbols.KindStruct); !errors.Is(err, context.Canceled) || last != total {
		t.Errorf("%d of %d units: %v", last, total, err)
	}
}
