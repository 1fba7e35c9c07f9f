package crashshell

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mode is how much of itself crash is asked to start. Each of the later ones opens dumps on
// which the earlier ones fail, and costs answers.
type Mode string

const (
	Normal       Mode = "normal"
	NoModules    Mode = "--no_modules"
	ZeroExcluded Mode = "--zero_excluded"
	Minimal      Mode = "--minimal"
)

// spoiledByMinimal is all but what crash --minimal answers.
var spoiledByMinimal = slices.DeleteFunc(slices.Clone(allowed), func(command string) bool {
	return slices.Contains([]string{"log", "dis", "rd", "sym", "eval", "help"}, command)
})

// lost is what a mode costs.
func (m Mode) lost() (Doubt, bool) {
	switch m {
	case NoModules:
		return Doubt{Text: "crash runs with --no_modules: no modules, and stacks through them are guessed", Spoils: []string{"mod"}}, true
	case ZeroExcluded:
		return Doubt{Text: "crash runs with --zero_excluded: memory that is not in the dump reads as zeroes, wrong values look right"}, true
	case Minimal:
		return Doubt{Text: "crash runs with --minimal: only log, dis, rd, sym and eval", Spoils: spoiledByMinimal}, true
	}
	return Doubt{}, false
}

// options are those of every start, and the mode's.
func (m Mode) options() []string {
	o := []string{"-s", "--no_crashrc", "--no_scroll"}
	switch m {
	case NoModules, Minimal:
		o = append(o, string(m))
	case ZeroExcluded:
		o = append(o, string(NoModules), string(m))
	}
	return o
}

// ErrStart is wrapped by every StartError.
var ErrStart = errors.New("crash did not start")

// StartError is a crash that did not come to its prompt.
type StartError struct {
	Mode   Mode
	Exit   string // "exit status 1"
	Output []byte // what it said on both streams
	Cause  string // what that means
	Late   bool   // it did not end, either
	Form   bool   // it does not read a file's form or compression
}

func (e *StartError) Error() string {
	s := fmt.Sprintf("crash did not start (%s): %s", e.Mode, e.Cause)
	if e.Exit != "" {
		s += "; " + e.Exit
	}
	return s
}

// Unwrap is ErrStart.
func (e *StartError) Unwrap() error { return ErrStart }

// unreadable tells whether crash said that it does not read a form.
func unreadable(output []byte) bool {
	return bytes.Contains(output, []byte("not a supported file format")) || bytes.Contains(output, []byte("compression support"))
}

// hopeless tells whether no other mode can do better.
func (e *StartError) hopeless() bool {
	for _, words := range [][]byte{
		[]byte("not a supported file format"), []byte("No such file or directory"), []byte("no debugging data available"),
		[]byte("no text and data contents"), []byte("do not match!"), []byte("error while loading shared libraries"),
	} {
		if bytes.Contains(e.Output, words) {
			return true
		}
	}
	return false
}

// causes explain words of a failed start. The first that stands in the output counts.
var causes = []struct{ words, means string }{
	{"no debugging data available", "the vmlinux has no debug information (DWARF) that this crash reads: take the one of the kernel's debug package"},
	{"no text and data contents", "the vmlinux has debug information and nothing else: crash takes one with the kernel in it, as that of the kernel's debug package is"},
	{"do not match!", "vmlinux and dump are not of the same kernel, or this crash is too old for the kernel"},
	{"not a supported file format", "a file is not what crash takes: a dump in a form it does not know, or a vmlinux that is compressed"},
	{"No such file or directory", "a file is not there"},
	{"compression support", "this build of crash lacks the dump's compression"},
	{"uncompress failed", "a page of the dump is damaged"},
	{"page excluded:", "a page that crash needs was left out by the dump filter"},
	{"page incomplete:", "the dump is cut"},
	{"read error:", "a page that crash needs is not in the dump: it is cut or damaged"},
	{"seek error:", "an address that crash needs is not in the dump: wrong vmlinux, or wrong KASLR offset"},
	{"invalid structure member offset", "this crash is too old for the kernel: it does not know its structures"},
	{"invalid structure size", "this crash is too old for the kernel: it does not know its structures"},
	{"cannot determine", "this crash does not find what it looks for: it is too old for the kernel, or the vmlinux is another one"},
	{"cannot allocate any more memory", "crash ran into its memory limit"},
	{"Resource temporarily unavailable", "crash could not start its threads: the limit on processes (RLIMIT_NPROC) is too low"},
	{"error while loading shared libraries", "crash lacks a shared library"},
}

// explain says why a start failed.
func explain(output []byte) string {
	for _, c := range causes {
		if i := bytes.Index(output, []byte(c.words)); i >= 0 {
			begin := bytes.LastIndexByte(output[:i], '\n') + 1
			line, _, _ := bytes.Cut(output[begin:], []byte("\n"))
			return c.means + " (" + strings.TrimSpace(string(line)) + ")"
		}
	}
	if len(bytes.TrimSpace(output)) == 0 {
		return "it ended without a word, as it does on a cut dump, on one part of a split set, and on kernels newer than itself"
	}
	first, _, _ := bytes.Cut(bytes.TrimSpace(output), []byte("\n"))
	return string(first)
}
