package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImporter: a module of somebody else's builds against the library without a network
// and gets a verdict, on a good dump and on a damaged one, and the library itself prints
// nothing.
func TestImporter(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds a program")
	}
	dir := importer(t)
	program := filepath.Join(dir, "importer")
	tool(t, dir, "build", "-o", program, ".")

	damaged := filepath.Join(dir, "vmcore")
	whole, err := os.ReadFile(tiny(t, "vmcore.zlib"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		tiny(t, "vmcore.zlib"): "null-dereference-1b88232b: NULL pointer dereference in ck_null_work [crashkit], " +
			"work item of crashkit_wq on CPU 0 (sure), 0 missing\n",
		tiny(t, "part2.lzo"):   ": the kernel crashed; its log ",
		damaged:                ": the kernel crashed; its log ",
		tiny(t, "crashkit.ko"): "no verdict: ",
	} {
		out, err := exec.Command(program, file).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v, %q, want the line %q and nothing else", file, err, out, want)
		}
	}

	forbidden := []string{"github.com/spf13/pflag", "github.com/google/pprof/driver", "golang.org/x/term", "net/http", "os/exec"}
	for _, dep := range strings.Fields(tool(t, dir, "list", "-deps", ".")) {
		if slices.Contains(forbidden, dep) {
			t.Errorf("who imports triage gets %s", dep)
		}
	}
}

// importer copies the program out of the module, with this module in place of a download.
func importer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"testdata/importer/main.go": "main.go", "testdata/importer/go.mod": "go.mod", filepath.Join(root, "go.sum"): "go.sum",
	} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		b = []byte(strings.Replace(string(b), "=> ../../../..", "=> "+root, 1))
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tool runs the Go tool, which whoever runs this test has, without a network.
func tool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("go", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}
