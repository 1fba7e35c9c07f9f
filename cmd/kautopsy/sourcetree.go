package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// sourceTree is the folder with the kernel's source that --source names. What the debug
// information says of files cannot lead out of it.
type sourceTree struct{ root *os.Root }

// sourceText is a line of source.
type sourceText struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// openSource opens the folder; nil when none is named.
func openSource(dir string) (*sourceTree, error) {
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &usageError{msg: fmt.Sprintf("--source: %v", err)}
	}
	return &sourceTree{root}, nil
}

func (t *sourceTree) close() {
	if t != nil {
		t.root.Close()
	}
}

// open finds a file below the folder: as it is named, then without the folders in front one
// after the other, since the kernel was compiled elsewhere.
func (t *sourceTree) open(name string) (*os.File, error) {
	rest := strings.TrimLeft(path.Clean("/"+name), "/")
	for rest != "" {
		f, err := t.root.Open(rest)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		_, rest, _ = strings.Cut(rest, "/")
	}
	return nil, fmt.Errorf("%s is not in the folder of --source", name)
}

// Lines around the one that was asked for, as gdb shows them.
const (
	sourceBefore = 5
	sourceAfter  = 4
	maxSourceRow = 1 << 10 // bytes of a line that are shown
)

// around reads the lines around a place.
func (t *sourceTree) around(s dwarf.Source) (out []sourceText, err error) {
	f, err := t.open(s.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for n := 1; n <= s.Line+sourceAfter; n++ {
		text, err := r.ReadString('\n')
		if text != "" && n >= s.Line-sourceBefore {
			text = strings.TrimRight(text, "\r\n")
			out = append(out, sourceText{n, text[:min(len(text), maxSourceRow)]})
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return out, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no line %d: another version of the source?", s.File, s.Line)
	}
	return out, nil
}

// printableSource keeps the tabs of source text, as blanks.
func printableSource(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\t' {
			b.WriteString(strings.Repeat(" ", 8-columns(b.String())%8))
		} else {
			b.WriteString(printable(string(r)))
		}
	}
	return b.String()
}
