package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
	"github.com/kautopsy/kautopsy/vmcore"
)

// crashkitFile is the debug information of the small kernel's module, and of nothing else.
type crashkitFile struct{ t *testing.T }

func (c crashkitFile) OpenDebug(_ context.Context, w kernel.Want) (*dwarf.File, error) {
	if w.Module != "crashkit" {
		return nil, dwarf.ErrNoDebug
	}
	b, err := os.ReadFile(tiny(c.t, "crashkit.ko"))
	if err != nil {
		c.t.Fatal(err)
	}
	return dwarf.Open(bytes.NewReader(b), int64(len(b)))
}

// TestDisLines: each line of source stands once before the instructions that come from it,
// with its text where --source has it.
func TestDisLines(t *testing.T) {
	d, err := vmcore.Open(tiny(t, "vmcore.zlib"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	k, err := kernel.Open(d, &kernel.Options{DebugInfo: crashkitFile{t}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source := strings.Repeat("\n", 60) + "\tvoid ck_null_work(void);\n"
	if err := os.WriteFile(filepath.Join(dir, "crashkit.c"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	const line = "/usr/src/crashkit/crashkit.c: 61\n"
	for _, c := range []struct {
		flags  disFlags
		symbol string
		want   string
		warns  string
	}{
		{disFlags{lines: true}, "ck_null_work", line + "   0x", ""},
		{disFlags{text: true, source: dir}, "ck_null_work", line + "61             void ck_null_work(void);\n   0x", ""},
		{disFlags{text: true, source: t.TempDir()}, "ck_null_work", line + "   0x", "crashkit.c is not in the folder of --source"},
		{disFlags{lines: true}, "schedule", "   0x", "no source lines"},
		{disFlags{}, "ck_null_work", "   0x", ""},
	} {
		var out, stderr bytes.Buffer
		env := &environment{ctx: t.Context(), out: &out, err: &stderr, getenv: func(string) string { return "" }}
		p, err := c.flags.printer(env, k)
		if err != nil {
			t.Fatal(err)
		}
		if p.asked, err = resolve(env, k, c.symbol); err != nil {
			t.Fatal(err)
		}
		list, err := p.choose(c.symbol, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.print(list, nil); err != nil {
			t.Fatal(err)
		}
		p.tree.close()
		if !strings.HasPrefix(out.String(), c.want) || strings.Count(out.String(), line) > 1 {
			t.Errorf("%+v of %s: %q", c.flags, c.symbol, out.String())
		}
		if warned := stderr.String(); !strings.Contains(warned, c.warns) || strings.Count(warned, "\n") != min(len(c.warns), 1) {
			t.Errorf("%+v of %s warns %q", c.flags, c.symbol, warned)
		}
	}
}
