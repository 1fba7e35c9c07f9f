package crashshell

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// The fake crash is this test program itself, started with crash's options. What it does at
// its start is the content of its dump, a line a word; in a session it replays transcripts,
// and the words behind ascii make it misbehave.
func TestMain(m *testing.M) {
	for _, a := range os.Args[1:] {
		switch a {
		case "--version":
			fmt.Print("\ncrash 8.0.2\nCopyright (C) 2002-2022  Red Hat, Inc.\n")
			exitNow(0)
		case "--buildinfo":
			fmt.Print("   build_command: crash\n    build_target: X86_64\n")
			exitNow(0)
		case "--no_crashrc":
			exitNow(fakeCrash(os.Args[1:]))
		}
	}
	dumptest.RunTests(m)
}

// exitNow ends the process without the second that the race detector sleeps at os.Exit.
func exitNow(code int) { syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0) }

// fakeDump makes a dump on which the fake starts as told: "silent", "hang", "warn", "die
// WORDS", "only MODE".
func fakeDump(t testing.TB, how string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump file; with $(odd) name")
	if err := os.WriteFile(path, []byte(how), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func fakeCrash(args []string) int {
	if rc, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), ".crashrc")); err == nil {
		fmt.Printf("ran %s\n", rc)
	}
	how, err := os.ReadFile("vmcore")
	if err != nil {
		fmt.Printf("crash: vmcore: No such file or directory\n\nUsage:\n")
		return 1
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(string(how)), " ")
	switch word {
	case "silent":
		return 1
	case "hang":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		time.Sleep(time.Hour)
	case "die":
		fmt.Printf("\ncrash: %s\n", rest)
		return 1
	case "only":
		if !slices.Contains(args, rest) {
			fmt.Printf("crash: invalid structure member offset: kmem_cache_s_num\n")
			return 1
		}
	case "warn":
		fmt.Printf("WARNING: active task ffff8e57972ee600 on cpu 0 not found in PID hash\n\n")
	}
	return (&fake{out: os.Stdout}).serve(os.Stdin)
}

type fake struct {
	out   *os.File
	count int
}

// serve reads commands as crash does with -s on pipes.
func (f *fake) serve(in *os.File) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	signal.Ignore(syscall.SIGTERM)
	lines := bufio.NewReaderSize(in, 1499)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			return 1
		}
		words := strings.Fields(string(line))
		if len(words) == 0 {
			continue
		}
		f.count++
		switch words[0] {
		case "q":
			return 0
		case "eval":
			f.eval(words[1])
		case "ascii":
			if code, end := f.misbehave(words[1:], interrupted); end {
				return code
			}
		default:
			f.replay(strings.Join(words, " "))
		}
	}
}

func (f *fake) eval(arg string) {
	n, err := strconv.ParseUint(strings.TrimPrefix(arg, "0x"), 16, 64)
	if err != nil {
		fmt.Fprintf(f.out, "eval: invalid\n")
		return
	}
	fmt.Fprintf(f.out, "hexadecimal: %x  \n    decimal: %d  \n      octal: %o\n     binary: %064b\n", n, n, n, n)
}

// replay gives what crash 9.0.2 said to a command, from testdata.
func (f *fake) replay(command string) {
	name := strings.NewReplacer(" ", "_", "/", "_", ",", "_").Replace(command)
	_, source, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(source), "testdata/9.0.2", name+".txt"))
	if err != nil {
		fmt.Fprintf(f.out, "%s: no such recording\n", strings.Fields(command)[0])
		return
	}
	f.out.Write(text)
}

func (f *fake) misbehave(words []string, interrupted <-chan os.Signal) (code int, end bool) {
	switch words[0] {
	case "hang": // until SIGINT
		<-interrupted
	case "deaf": // for good
		signal.Ignore(syscall.SIGINT)
		time.Sleep(time.Hour)
	case "replay": // after SIGINT the last command runs again
		<-interrupted
		fmt.Fprintln(f.out, "an old answer")
	case "endless":
		for line := bytes.Repeat([]byte("x"), 4095); ; {
			select {
			case <-interrupted:
				return 0, false
			default:
				f.out.Write(append(line, '\n'))
			}
		}
	case "long": // one line of 100 MB
		for range 100 {
			f.out.Write(bytes.Repeat([]byte("y"), 1<<20))
		}
		fmt.Fprintln(f.out)
	case "die":
		fmt.Fprint(f.out, "half an ans")
		return 1, true
	case "segv":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "bytes":
		f.out.Write([]byte("a\x00b\x1b[31m\xff\r\ncrash> bt\nhexadecimal: 1234\n     binary: 0\n"))
	case "grandchild": // holds both pipes open and outlives this process
		c := exec.Command("/bin/sleep", "1000")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			fmt.Fprintln(f.out, err)
			return 0, false
		}
		fmt.Fprintf(f.out, "%d\n", c.Process.Pid)
	case "pid":
		fmt.Fprintf(f.out, "%d\n", os.Getpid())
	case "where":
		dir, _ := os.Getwd()
		fmt.Fprintf(f.out, "%s\n%s\n", dir, strings.Join(os.Environ(), "\n"))
	case "stderr":
		fmt.Fprintln(os.Stderr, "<segmentation violation>")
		fmt.Fprintln(f.out, "answered")
	case "say":
		fmt.Fprintln(f.out, strings.Join(words[1:], " "))
	case "warn":
		fmt.Fprint(f.out, "first\n\nWARNING: something\n         is odd\n\nsecond\n")
	case "fail":
		fmt.Fprint(f.out, "ascii: invalid address: 7\n")
	}
	return 0, false
}
