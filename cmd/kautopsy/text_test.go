package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain – ünïcode", "plain – ünïcode"},
		{"", ""},
		{"a\x1b[2Jb", `a\x1b[2Jb`},
		{"tab\tnl\ncr\r", `tab\x09nl\x0acr\x0d`},
		{"\xff\xfe", `\xff\xfe`},
		{"\x7f", `\x7f`},
		{"\u009b2J", `\u009b2J`}, // CSI as one C1 character
		{"\u202etxt", `\u202etxt`},
		{"\ufffd", "\ufffd"}, // a real replacement character is printable
		{"x\xc2", `x\xc2`},
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("printable(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, nil},
		{"   ", 10, nil},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"one  two\nthree", 80, []string{"one two three"}},
		{"a-word-that-is-too-long b", 5, []string{"a-word-that-is-too-long", "b"}},
		{"ääää ää", 7, []string{"ääää ää"}}, // columns, not bytes
	} {
		if got := wrap(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestBreakSentence(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
	}{
		{"short", "short"},
		{"fault in f, timer on CPU 1", "fault in f,|timer on CPU 1"},
		{"a, b, c and then more text", "a, b,|c and then more text"},
		{"words without any comma at all here", "words without any|comma at all here"},
		{"words-without-any-comma-or-blank, x", "words-without-any-comma-or-blank,|x"},
	} {
		if got := strings.Join(breakSentence(c.text, 18, 30), "|"); got != c.want {
			t.Errorf("breakSentence(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestBytesOf(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1: "1 B", 999: "999 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 4096: "4 KiB",
		1048575: "1 MiB", 5499107: "5.2 MiB", 99 << 20: "99 MiB", 1 << 40: "1 TiB", 1<<64 - 1: "16 EiB",
	} {
		if got := bytesOf(n); got != want {
			t.Errorf("bytesOf(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCountAndClip(t *testing.T) {
	if got := count(1, "CPU") + " " + count(0, "CPU") + " " + count(2, "more run"); got != "1 CPU 0 CPUs 2 more runs" {
		t.Errorf("count: %q", got)
	}
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äbcd", 3, "äb…"}, {"abc", 0, "…"}} {
		if got := clip(c.text, c.width); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"vmcore": "vmcore", "/var/crash/2026-11-21-13:19/vmcore": "/var/crash/2026-11-21-13:19/vmcore",
		"": "''", "my dump": "'my dump'", "it's": `'it'\''s'`, "$(rm)": "'$(rm)'", "ü": "'ü'",
		"a\x1b'\\b": `$'a\x1b\'\\b'`,
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCell(t *testing.T) {
	if got, want := cell("a|b <i> *x* `y` [z]\n"), `a\|b &lt;i> \*x\* 'y' \[z]\x0a`; got != want {
		t.Errorf("cell = %q, want %q", got, want)
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"{\"a\": \"ü\"}\n":     "{\"a\": \"ü\"}\n",
		"\"\u009b\u202e\x7f\"": `"\u009b\u202e\u007f"`,
	} {
		if got := string(harmless([]byte(in))); got != want {
			t.Errorf("harmless(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCalm(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\n": "a\tb\n", "a\rb\x1b[2J\n": `a\x0db\x1b[2J` + "\n", "\xff\n": `\xff` + "\n",
	} {
		if got := string(calm([]byte(in))); got != want {
			t.Errorf("calm(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBinaryKind(t *testing.T) {
	for in, want := range map[string]string{
		"KDUMP   \x06": "a crash dump", "makedumpfile\x00\x00": "a crash dump", "DISKDUMP": "a crash dump",
		"\x7fELF\x02": "an ELF file", "EMiL": "a memory image", "AVML": "a memory image",
		"\x1f\x8b\x08": "a gzip file", "\xfd7zXZ\x00": "an xz file", "\x28\xb5\x2f\xfd": "a zstd file",
		"[    0.000000] Linux": "", "KDUMP": "", "": "",
	} {
		got := ""
		if k := binaryKind([]byte(in)); k != nil {
			got = k.what
		}
		if got != want {
			t.Errorf("binaryKind(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInputError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, "x: file does not exist (dumps are often /var/crash/…/vmcore)"},
		{&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, "x: permission denied (dumps belong to root: use sudo, or chown a copy)"},
		{&fs.PathError{Op: "read", Path: "x", Err: errors.New("input/output error")}, "x: input/output error"},
		{errors.New("bad header"), "x cannot be read: bad header"},
		{fmt.Errorf("header: %w", phys.ErrLost), "x cannot be read: header: lost from the dump (cut or damaged: copy the dump again)"},
	} {
		err := inputError("x", c.err)
		if err.Error() != c.want || !errors.Is(err, errInput) || !errors.Is(err, c.err) {
			t.Errorf("inputError(%v) = %q, want %q", c.err, err, c.want)
		}
	}
	named := &vmcore.NotADump{File: "x", What: "a cat", Do: "feed it"}
	if err := inputError("x", named); !errors.Is(err, vmcore.ErrNotDump) || err.Error() != "x is a cat: feed it" {
		t.Errorf("inputError(NotADump) = %v", err)
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		7 * time.Second:                {"7 s", "00:00:07"},
		150 * time.Second:              {"2 min", "00:02:30"},
		3*time.Hour + 12*time.Minute:   {"3 h 12 min", "03:12:00"},
		24*time.Hour + time.Second:     {"24 h 0 min", "1 days, 00:00:01"},
		45*24*time.Hour + 2*time.Hour:  {"45 days 2 h", "45 days, 02:00:00"},
		400*24*time.Hour + time.Minute: {"400 days 0 h", "400 days, 00:01:00"},
	} {
		if got := [2]string{shortDuration(d), uptime(d)}; got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
