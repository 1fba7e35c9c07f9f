package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// maxText bounds the text that oops reads.
const maxText = 1 << 30

// readText reads a text file or standard input. A dump given in place of a text is refused
// with the command that reads it.
func readText(env *environment, name string) ([]byte, error) {
	r := env.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxText:
		return nil, fmt.Errorf("%s: more than %s of text: %w", name, bytesOf(maxText), phys.ErrLimit)
	case len(text) == 0:
		return nil, &vmcore.NotADump{File: name, What: "empty", Do: "there is nothing to read"}
	}
	if what := binaryKind(text); what != "" {
		return nil, &vmcore.NotADump{File: name, What: what, Do: "not a text; try: kautopsy triage " + name}
	}
	return text, nil
}

// binaryKind names a file that is no text by its first bytes.
func binaryKind(b []byte) string {
	for magic, what := range map[string]string{
		"KDUMP   ": "a crash dump", "makedumpfile\x00": "a crash dump", "DISKDUMP": "a crash dump",
		"\x7fELF": "an ELF file", "EMiL": "a memory image", "AVML": "a memory image",
		"\x1f\x8b": "a gzip file", "\xfd7zXZ": "an xz file", "\x28\xb5\x2f\xfd": "a zstd file",
	} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return what
		}
	}
	return ""
}
