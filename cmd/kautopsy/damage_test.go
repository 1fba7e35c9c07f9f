package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// containers are the forms in which the committed dump lies there; the flattened one and
// the kernel are packed, see the scripts.
var containers = []string{"vmcore.zlib", "part2.lzo", "part2.snappy", "vmcore.split.1", "vmcore.split.2", "vmcore.split.3"}

// patience is far more than any of the commands takes on the committed dump.
const patience = 30 * time.Second

// TestCutDumps: every container, cut anywhere, gives each command an answer or one line on
// stderr that tells why not, in bounded time.
func TestCutDumps(t *testing.T) {
	commands := [][]string{{"log"}, {"sys"}, {"sym", "-l"}, {"triage"}, {"info"}, {"verify"}}
	for _, name := range containers {
		whole, err := os.ReadFile(tiny(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range cuts(len(whole)) {
			file := filepath.Join(t.TempDir(), "vmcore")
			if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			for _, c := range commands {
				checkDamaged(t, fmt.Sprintf("%s of %s cut to %d of %d bytes", c[0], name, cut, len(whole)), append(c, file)...)
			}
		}
	}
}

// TestCutTasks: the same of the commands about tasks and what runs.
func TestCutTasks(t *testing.T) {
	whole, err := os.ReadFile(tiny(t, "vmcore.zlib"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range cuts(len(whole)) {
		file := filepath.Join(t.TempDir(), "vmcore")
		if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			"ps", "ps -a", "ps -t", "ps -c", "ps -r", "bt", "bt --all -f", "bt --all -e", "bt -a -t", "runq", "timer", "timer -r",
			"workqueue", "irq", "irq -s", "irq -b", "sig", "sig 1 117", "task", "task -R comm 1 117",
		} {
			words := strings.Fields(line)
			args := append([]string{words[0], file}, words[1:]...)
			checkDamaged(t, fmt.Sprintf("%s of vmcore.zlib cut to %d of %d bytes", line, cut, len(whole)), args...)
		}
	}
}

// cuts are 99, 90, 50, 10 and 1 % and 100 bytes; the first and the last ones with -short.
func cuts(size int) []int {
	if testing.Short() {
		return []int{size / 100 * 50, 100}
	}
	return []int{size / 100 * 99, size / 100 * 90, size / 100 * 50, size / 100 * 10, size / 100, 100}
}

// checkDamaged runs a command on a damaged dump.
func checkDamaged(t *testing.T, what string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := callIn(t, &environment{ctx: ctx}, args...)
	if ctx.Err() != nil {
		t.Fatalf("%s: not ready after %v", what, patience)
	}
	switch got.code {
	case exitOK:
		if got.out == "" {
			t.Errorf("%s: exit 0 and nothing said", what)
		}
	case exitPartial:
		if got.out == "" && got.err == "" {
			t.Errorf("%s: exit 4 and nothing said", what)
		}
	case exitNone, exitInput:
		if !oneReason.MatchString(got.err) {
			t.Errorf("%s: exit %d and on stderr: %q", what, got.code, got.err)
		}
	default:
		t.Errorf("%s: exit %d", what, got.code)
	}
	if n := strings.Count(got.err, "\n"); n > maxLines {
		t.Errorf("%s: %d lines on stderr:\n%s", what, n, got.err)
	}
}

// oneReason is how stderr looks: lines of kautopsy's, no stack trace.
var oneReason = regexp.MustCompile(`^(kautopsy: [^\n]+\n)+$`)

// maxLines of stderr are warnings enough for any damage.
const maxLines = 6

// TestTruncatedIsPartial: what a cut costs is told, as an answer in part, and never as a
// clean bill of health.
func TestTruncatedIsPartial(t *testing.T) {
	whole, err := os.ReadFile(tiny(t, "vmcore.zlib"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(file, whole[:4_000_000], 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"triage": "missing    the end of the dump: ", "verify": "DAMAGED: ", "info": "INCOMPLETE", "sys": "[INCOMPLETE]",
	} {
		got := call(t, command, file)
		if got.code != exitPartial || !strings.Contains(got.out, want) {
			t.Errorf("%s: exit %d, no %q in\n%s%s", command, got.code, want, got.out, got.err)
		}
	}
}

// TestOverwrittenHeaders: every 512 bytes of the headers overwritten with 0xff or 0x00.
func TestOverwrittenHeaders(t *testing.T) {
	whole, err := os.ReadFile(tiny(t, "vmcore.split.2"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "vmcore")
	step := 512
	if testing.Short() {
		step = 4096
	}
	for at := 0; at < 5*4096; at += step {
		for _, fill := range []byte{0x00, 0xff} {
			bad := append([]byte(nil), whole...)
			for i := range bad[at : at+512] {
				bad[at+i] = fill
			}
			if err := os.WriteFile(file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			checkDamaged(t, fmt.Sprintf("%#x bytes at %#x", fill, at), "triage", file)
			checkDamaged(t, fmt.Sprintf("%#x bytes at %#x", fill, at), "info", file)
		}
	}
}
