package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestConvertHangup: a conversion whose terminal goes away leaves no part of a file behind.
func TestConvertHangup(t *testing.T) {
	dir := t.TempDir()
	var errs bytes.Buffer
	c := process(t, "convert", "-f", "zstd", "--level", "22", tiny(t, "vmcore.zlib"), filepath.Join(dir, "out"))
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for len(ended) == 0 && len(names(t, dir)) == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = c.Process.Signal(syscall.SIGHUP)
	<-ended
	left, code := names(t, dir), c.ProcessState.ExitCode()
	whole := code == 0 && len(left) == 1 && left[0] == "out"
	interrupted := code == int(exitNone) && len(left) == 0 && errs.String() == "kautopsy: interrupted\n"
	if !whole && !interrupted {
		t.Errorf("%v, left %q, stderr %q", c.ProcessState, left, errs.String())
	}
}

// names are the files in a folder.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestOutputErrors: an error names the file that was asked for.
func TestOutputErrors(t *testing.T) {
	f, err := createBeside(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	o := &outputs{files: []*os.File{f}, names: []string{"x"}}
	full := fmt.Errorf("page 7: %w", &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC})
	if got := o.named(full); got.Error() != "write x: no space left on device" || !errors.Is(got, syscall.ENOSPC) {
		t.Errorf("%v", got)
	}
	other := &fs.PathError{Op: "read", Path: "vmcore", Err: syscall.EIO}
	if got := o.named(other); got != error(other) {
		t.Errorf("%v became %v", other, got)
	}
	o.discard()
}

// TestPublish: a file that has got the name meanwhile stays, unless it is to be replaced.
func TestPublish(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, force := range []bool{false, true} {
		f, err := createBeside(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		err = publish(f.Name(), name, force)
		var usage *usageError
		if left, _ := os.ReadFile(name); force != (err == nil) || force != (len(left) == 0) || !force && !errors.As(err, &usage) {
			t.Errorf("force %t: %v, %q is left", force, err, left)
		}
		if got := names(t, filepath.Dir(name)); len(got) != 1 {
			t.Errorf("force %t: %q", force, got)
		}
	}
}
