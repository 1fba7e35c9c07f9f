package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kautopsy/kautopsy/oops/decode"
	"github.com/kautopsy/kautopsy/symbols/debuginfo"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// textFiles are the vmlinux and the modules that -k names, for a text. It has no build ID of
// the kernel: that functions have the size that the text tells is what shows the build.
type textFiles struct {
	names []string
	open  []*os.File
}

// file opens the file of the kernel, or of a module by the file's own name; it is
// decode.Files.
func (t *textFiles) file(module, _ string) (*dwarf.File, error) {
	for _, name := range t.names {
		base, suffix, _ := strings.Cut(filepath.Base(name), ".")
		if ko := strings.HasPrefix(suffix, "ko"); ko != (module != "") || ko && strings.ReplaceAll(base, "-", "_") != module {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		t.open = append(t.open, f)
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		file, err := dwarf.Open(f, st.Size())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		file.FindSplit(debuginfo.Split(name))
		return file, nil
	}
	if module == "" {
		return nil, fmt.Errorf("no vmlinux is named with -k: %w", dwarf.ErrNoDebug)
	}
	return nil, fmt.Errorf("no %s.ko is named with -k: %w", module, dwarf.ErrNoDebug)
}

func (t *textFiles) close() {
	for _, f := range t.open {
		f.Close()
	}
}

// decodeText prints a text with the source lines behind its places.
func decodeText(env *environment, names []string, name string, text []byte) error {
	files := &textFiles{names: names}
	defer files.close()
	places, told, err := decode.New(files.file).Text(env.out, text)
	switch {
	case places == 0:
		return fmt.Errorf("%s: no place of code with its offset and size in it", name)
	case told == 0:
		return fmt.Errorf("none of %s has a source line: %w", count(places, "place"), err)
	case err != nil:
		env.warn("%d of %s without a source line: %v", places-told, count(places, "place"), err)
	}
	return nil
}
