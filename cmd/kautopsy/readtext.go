package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// maxText bounds the text that oops reads.
const maxText = 1 << 30

// readText reads a text file or standard input. A dump given in place of a text is refused
// with the command that reads it, by its first bytes.
func readText(env *environment, name string) ([]byte, error) {
	var in io.Reader = env.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, inputError(name, err)
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReader(in)
	head, err := r.Peek(64)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return nil, &vmcore.NotADump{File: name, What: "a folder", Do: "name the text file in it (often vmcore-dmesg.txt)"}
	case len(head) == 0 && errors.Is(err, io.EOF):
		return nil, &vmcore.NotADump{File: name, What: "empty", Do: "there is nothing to read"}
	}
	if err := notText(name, head); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err != nil {
		return nil, inputError(name, err)
	}
	if len(text) > maxText {
		return nil, inputError(name, fmt.Errorf("more than %s of text: %w", bytesOf(maxText), phys.ErrLimit))
	}
	return text, nil
}

// alien is a kind of file that is no text, by its first bytes, and what to do with it.
type alien struct{ magic, what, do string }

// aliens are what people give in place of a text.
func aliens() []alien {
	const dump, image = "a crash dump", "a memory image"
	const open, no = "not a text; try: kautopsy triage FILE", "not a text; give the kernel's messages"
	return []alien{
		{"KDUMP   ", dump, open},
		{"makedumpfile\x00", dump, open},
		{"DISKDUMP", dump, open},
		{"\x7fELF", "an ELF file", open},
		{"EMiL", image, open},
		{"AVML", image, open},
		{"\x1f\x8b", "a gzip file", "unpack it: gzip -dc FILE | kautopsy oops -"},
		{"\xfd7zXZ", "an xz file", "unpack it: xz -dc FILE | kautopsy oops -"},
		{"\x28\xb5\x2f\xfd", "a zstd file", "unpack it: zstd -dc FILE | kautopsy oops -"},
		{"BZh", "a bzip2 file", "unpack it: bzip2 -dc FILE | kautopsy oops -"},
		{"\x89PNG", "a picture", no},
		{"\xff\xd8\xff", "a picture", no},
		{"%PDF-", "a PDF", no},
	}
}

// binaryKind finds which of the aliens a file is; nil for a text.
func binaryKind(head []byte) *alien {
	for _, b := range aliens() {
		if bytes.HasPrefix(head, []byte(b.magic)) {
			return &b
		}
	}
	return nil
}

// notText refuses what is no text; nil for what may be one.
func notText(name string, head []byte) error {
	b := binaryKind(head)
	if b == nil {
		return nil
	}
	if name == "-" {
		return &vmcore.NotADump{File: "standard input", What: b.what, Do: strings.ReplaceAll(b.do, "FILE", "the file")}
	}
	return &vmcore.NotADump{File: name, What: b.what, Do: strings.ReplaceAll(b.do, "FILE", shellQuote(name))}
}
