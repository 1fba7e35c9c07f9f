package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/ulikunitz/xz"

	_ "github.com/kautopsy/kautopsy/internal/golden" // its -update writes the scripts' goldens too
)

// TestMain makes the test binary the command as well, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kautopsy": main, "crash": fakeCrash})
}

// TestScripts runs testdata/script: one file a command, and one a way to be wrong.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TINY", tiny(t, ""))
			e.Setenv("KINDS", filepath.Join(filepath.Dir(tiny(t, "")), "kinds"))
			return asVersions(e.WorkDir)
		},
		Condition: func(name string) (bool, error) {
			if name == "superuser" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"unxz": scriptUnxz, "cutfile": scriptCut, "zeros": scriptZeros, "same": scriptSame, "exits": scriptExits,
			"otherbuild": scriptOtherBuild,
		},
		UpdateScripts: flag.Lookup("update").Value.String() == "true", // the flag of internal/golden
	})
}

// tiny is the path of a file of the committed dump.
func tiny(t testing.TB, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "testdata", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// scriptUnxz is "unxz FROM TO".
func scriptUnxz(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	r, err := xz.NewReader(f)
	ts.Check(err)
	b, err := io.ReadAll(r)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// scriptCut is "cutfile FROM TO FIRST LENGTH".
func scriptCut(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	first, err := strconv.Atoi(args[2])
	ts.Check(err)
	n, err := strconv.Atoi(args[3])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b[first:min(first+n, len(b))], 0o600))
}

// scriptZeros is "zeros FILE FIRST LENGTH": writes zeros into a file, or beyond its end.
func scriptZeros(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR|os.O_CREATE, 0o600)
	ts.Check(err)
	defer f.Close()
	first, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	_, err = f.WriteAt(make([]byte, n), first)
	ts.Check(err)
}

// scriptSame is "same A B": two files, or stdout, hold the same bytes.
func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	if (ts.ReadFile(args[0]) == ts.ReadFile(args[1])) == neg {
		ts.Fatalf("%s and %s: equal %v", args[0], args[1], neg)
	}
}

// scriptOtherBuild is "otherbuild FROM TO": changes the build-id of an ELF file to a plain one.
func scriptOtherBuild(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	note := bytes.Index(b, []byte("\x03\x00\x00\x00GNU\x00"))
	if note < 0 {
		ts.Fatalf("%s has no build-id", args[0])
	}
	copy(b[note+8:], "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x11\x22\x33")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// scriptExits is "exits CODE COMMAND…": runs a command that ends with that code.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("%s: exit %d, want %d", strings.Join(args[1:], " "), code, want)
	}
}

// outcome is what a command did.
type outcome struct {
	code     exit
	out, err string
}

// call runs kautopsy inside the test, its streams no terminal.
func call(t testing.TB, args ...string) outcome {
	t.Helper()
	return callIn(t, &environment{}, args...)
}

// callIn is call with parts of the environment given.
func callIn(t testing.TB, env *environment, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	env.out, env.err = &out, &errs
	if env.ctx == nil {
		env.ctx = context.Background()
	}
	if env.in == nil {
		env.in = strings.NewReader("")
	}
	if env.getenv == nil {
		env.getenv = func(string) string { return "" }
	}
	code := run(env, args)
	return outcome{code, out.String(), errs.String()}
}
