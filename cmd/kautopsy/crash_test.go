package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
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
	if text, err := os.ReadFile("vmlinux"); err != nil || strings.HasPrefix(string(text), "silent") {
		os.Exit(1)
	} else if strings.HasPrefix(string(text), "warn") {
		fmt.Print("WARNING: active task ffff8e57972ee600 on cpu 0 not found in PID hash\n\n")
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		switch {
		case len(words) == 0:
		case words[0] == "q":
			return
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
	_, source, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(source), "../../crashshell/testdata/9.0.2")
	text, err := os.ReadFile(filepath.Join(dir, strings.Join(words, "_")+".txt"))
	if err != nil {
		fmt.Printf("%s: no such recording\n", words[0])
		return
	}
	os.Stdout.Write(text)
}
