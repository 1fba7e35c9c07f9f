package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// process is the test binary as the command, see TestMain.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Args[0] = "kautopsy"
	return c
}

// TestClosedPipe: "kautopsy log vmcore | head -1" ends quietly, killed by the pipe.
func TestClosedPipe(t *testing.T) {
	for _, args := range [][]string{{"log", tiny(t, "vmcore.zlib")}, {"sym", "-l", tiny(t, "vmcore.zlib")}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var errs bytes.Buffer
		c := process(t, args...)
		c.Stdout, c.Stderr = w, &errs
		err = c.Run()
		w.Close()
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			t.Fatalf("%s: %v", args[0], err)
		}
		status := ended.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != syscall.SIGPIPE || errs.Len() > 0 {
			t.Errorf("%s: %v, stderr %q", args[0], err, errs.String())
		}
	}
}

// TestFullDisk: an answer that cannot be written is no answer.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	vmcore := tiny(t, "vmcore.zlib")
	for _, args := range [][]string{{"version"}, {"log", vmcore}, {"sym", "-l", vmcore}, {"convert", vmcore, "-"}} {
		var errs bytes.Buffer
		c := process(t, args...)
		c.Stdout, c.Stderr = full, &errs
		err := c.Run()
		var ended *exec.ExitError
		if !errors.As(err, &ended) || exit(ended.ExitCode()) != exitNone || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%s: %v, stderr %q", args[0], err, errs.String())
		}
	}
}
