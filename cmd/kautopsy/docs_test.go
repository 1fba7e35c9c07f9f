package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/golden"
)

// TestCommandsPage: docs/commands.md is what the commands say of themselves.
func TestCommandsPage(t *testing.T) {
	got := call(t, "man", "--markdown")
	if got.code != exitOK || got.err != "" {
		t.Fatalf("exit %d, stderr %q", got.code, got.err)
	}
	golden.Check(t, "../../../docs/commands.md", got.out)
}

// TestManPage: the page renders, without complaints, and tells of every command and flag.
func TestManPage(t *testing.T) {
	page := call(t, "man")
	if page.code != exitOK || page.err != "" {
		t.Fatalf("exit %d, stderr %q", page.code, page.err)
	}
	for i, line := range strings.Split(page.out, "\n") {
		if strings.HasPrefix(line, "'") {
			t.Errorf("line %d would be read as a macro: %s", i+1, line)
		}
	}
	if _, err := exec.LookPath("man"); err != nil {
		t.Skip("man is not installed")
	}
	file := filepath.Join(t.TempDir(), "kautopsy.1")
	if err := os.WriteFile(file, []byte(page.out), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("man", "--warnings", "-P", "cat", "-l", file)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "TERM=dumb", "MAN_KEEP_FORMATTING=")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Skipf("man does not work here: %v: %s", err, errs.String())
	}
	if errs.Len() > 0 {
		t.Errorf("man complains:\n%s", errs.String())
	}
	if !strings.Contains(out.String(), "EXIT STATUS") {
		t.Skipf("man prints no pages here:\n%.200s", out.String())
	}
	for _, want := range []string{"NAME", "SYNOPSIS", "kautopsy triage [flags] DUMP", "-T, --ctime", "-64", "--since TIME", "Example:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
}

// TestRoff: nothing of a text is read as a macro or an escape.
func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		"a-b": `a\-b`, `back\slash`: `back\eslash`, ".dot\n'quote\nend.": "\\&.dot\n\\&'quote\nend.", "ARG…": "ARG...",
	} {
		if got := roff(in); got != want {
			t.Errorf("roff(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestCompletions: each shell that is installed reads its completion, and every command and
// flag is in it.
func TestCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			got := call(t, "completion", shell)
			if got.code != exitOK || got.err != "" {
				t.Fatalf("exit %d, stderr %q", got.code, got.err)
			}
			for _, c := range visible() {
				if !strings.Contains(got.out, c.name) {
					t.Errorf("%s is not in it", c.name)
				}
			}
			for _, flag := range []string{"since", "markdown", "physical", "64"} {
				if !strings.Contains(got.out, flag) {
					t.Errorf("--%s is not in it", flag)
				}
			}
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("%s is not installed", shell)
			}
			c := exec.Command(shell, "-n")
			c.Stdin = strings.NewReader(got.out)
			if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		})
	}
}

// TestBashCompletes: what bash offers behind a command and behind a dash.
func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	script := call(t, "completion", "bash").out + `
offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _kautopsy; echo "${COMPREPLY[*]}"; }
offer kautopsy tri
offer kautopsy log --si
offer kautopsy log vmcore -
`
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	lines := strings.Split(string(out), "\n")
	if err != nil || lines[0] != "triage" || lines[1] != "--since" || !strings.Contains(lines[2], "--ctime -T") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestReadmeOutput: what the README shows is what its first command prints.
func TestReadmeOutput(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "$ kautopsy triage testdata/tiny/vmcore.zlib\n")
	shown, _, _ := strings.Cut(rest, "```")
	t.Chdir("../..")
	var out, errs strings.Builder
	env := &environment{ctx: t.Context(), out: &out, err: &errs, getenv: func(string) string { return "" }}
	if code := run(env, []string{"triage", "testdata/tiny/vmcore.zlib"}); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if out.String() != shown {
		t.Errorf("the README shows\n%s\nbut the command prints\n%s", shown, out.String())
	}
}
