package main

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/crashshell"
)

// fakeCrash is the crash of the scripts: it answers what crash 9.0.2 answered, as the
// recordings of package crashshell have it, under a version that knows all kernels. Commands
// without a recording fail, ascii hangs, and mach tells what its files begin with.
func fakeCrash() {
	session := false
	for _, a := range os.Args[1:] {
		switch a {
		case "--version":
			fmt.Print("\ncrash 9.1.0\n")
			return
		case "--buildinfo":
			fmt.Print("   build_command: crash\n    build_target: X86_64\n")
			return
		case "-s":
			session = true
		}
	}
	if !session {
		fmt.Printf("crash on a terminal: %s\n", strings.Join(os.Args[1:], " "))
		return
	}
	text, err := os.ReadFile("vmlinux")
	recorded, replays := strings.CutPrefix(string(text), "replay ")
	answers := map[string][]byte{}
	switch {
	case err != nil || strings.HasPrefix(string(text), "silent"):
		os.Exit(1)
	case strings.HasPrefix(string(text), "warn"):
		fmt.Print("WARNING: active task ffff8e57972ee600 on cpu 0 not found in PID hash\n\n")
	case replays:
		for _, e := range crashshell.ParseTranscript(recording("testdata/crash", strings.TrimSpace(recorded))) {
			answers[e.Command] = e.Output
		}
		os.Stdout.Write(answers[""])
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		switch {
		case len(words) == 0:
		case words[0] == "q":
			return
		case replays && slices.Contains(slices.Collect(maps.Keys(answers)), strings.Join(words, " ")):
			os.Stdout.Write(answers[strings.Join(words, " ")])
		case words[0] == "mach":
			beginnings()
		case words[0] == "ascii":
			time.Sleep(time.Hour)
		case words[0] == "eval":
			n, _ := strconv.ParseUint(strings.TrimPrefix(words[1], "0x"), 16, 64)
			fmt.Printf("hexadecimal: %x  \n    decimal: %d  \n      octal: %o\n     binary: %064b\n", n, n, n, n)
		default:
			replayCrash(words)
		}
	}
	os.Exit(1)
}

// beginnings prints the first bytes of the dump's files, in the order of their names.
func beginnings() {
	names, _ := filepath.Glob("vmcore*")
	for _, name := range names {
		head := make([]byte, 12)
		f, err := os.Open(name)
		if err == nil {
			_, err = f.Read(head)
		}
		fmt.Printf("%s %q %v\n", name, head, err)
	}
}

func replayCrash(words []string) {
	text := recording("../../crashshell/testdata/9.0.2", strings.Join(words, "_")+".txt")
	if text == nil {
		fmt.Printf("%s: no such recording\n", words[0])
	}
	os.Stdout.Write(text)
}

// recording reads a file of a folder that is named from this one on, nil if there is none.
func recording(dir, name string) []byte {
	_, source, _, _ := runtime.Caller(0)
	text, _ := os.ReadFile(filepath.Join(filepath.Dir(source), dir, name))
	return text
}

// asVersions makes programs crash-8.0.2 and crash-9.0.2 in a script's folder: the fake under
// these versions.
func asVersions(work string) error {
	fake, err := exec.LookPath("crash")
	if err != nil {
		return err
	}
	for _, version := range []string{"8.0.2", "9.0.2"} {
		text := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --version ] && echo crash %s && exit\nexec '%s' \"$@\"\n", version, fake)
		if err := os.WriteFile(filepath.Join(work, "crash-"+version), []byte(text), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// TestCrashClosedPipe: "kautopsy crash … | head -1" ends like all others do, and leaves nothing of
// its session behind.
func TestCrashClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	vmlinux, tmp := filepath.Join(t.TempDir(), "vmlinux"), t.TempDir()
	if err := os.WriteFile(vmlinux, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"crash", "--force-vmlinux", "-k", vmlinux}
	for range 5 { // more than is held back
		args = append(args, "-c", "log")
	}
	c := process(t, append(args, tiny(t, "vmcore.zlib"))...)
	c.Env = append(os.Environ(), "TMPDIR="+tmp, "KAUTOPSY_CRASH="+c.Path)
	c.Stdout = w
	err = c.Run()
	w.Close()
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if status := ended.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGPIPE {
		t.Error(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}
