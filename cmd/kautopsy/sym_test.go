package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in       string
		a        uint64
		sure, ok bool
	}{
		{"0x10", 0x10, true, true},
		{"0XFF", 0xff, true, true},
		{"ffffffff8ca39960", 0xffffffff8ca39960, true, true},
		{"FFFFFFFF8CA39960", 0xffffffff8ca39960, true, true},
		{"0", 0, true, true},
		{"5e08b40", 0x5e08b40, true, true},
		{"b4561900", 0xb4561900, false, true},
		{"add", 0xadd, false, true},
		{"dead", 0xdead, false, true},
		{"abcd1", 0xabcd1, false, true},
		{"", 0, false, false},
		{"0x", 0, false, false},
		{"init_task", 0, false, false},
		{"-1", 0, false, false},
		{"+1", 0, false, false},
		{"1_000", 0, false, false},
		{"11112222333344445", 0, false, false}, // more than 64 bits
	} {
		if a, sure, ok := parseAddress(c.in); a != c.a || sure != c.sure || ok != c.ok {
			t.Errorf("parseAddress(%q) = %#x, %v, %v, want %#x, %v, %v", c.in, a, sure, ok, c.a, c.sure, c.ok)
		}
	}
}

func TestSplitOffset(t *testing.T) {
	for _, c := range []struct {
		in, name string
		off      uint64
	}{
		{"schedule", "schedule", 0},
		{"schedule+0x12", "schedule", 0x12},
		{"schedule+18", "schedule", 18},
		{"schedule+0x12/0x40", "schedule", 0x12},
		{"vfs_read.cold+4", "vfs_read.cold", 4},
	} {
		if name, off, err := splitOffset(c.in); name != c.name || off != c.off || err != nil {
			t.Errorf("splitOffset(%q) = %q, %d, %v", c.in, name, off, err)
		}
	}
	for _, in := range []string{"schedule+", "schedule+x", "schedule+-4", "a+b+c"} {
		if _, _, err := splitOffset(in); err == nil {
			t.Errorf("splitOffset(%q): no error", in)
		}
	}
}

// TestHexNames: Debian's kernels have functions named "af" and "edd". A symbol that exists
// goes before a number without 0x, and a number that no name can look like before both.
func TestHexNames(t *testing.T) {
	table := symbols.New([]symbols.Symbol{
		{Addr: 0x100, Type: 't', Name: "add"},
		{Addr: 0xadd, Type: 't', Name: "other"},
		{Addr: 0x1000, Type: 'D', Name: "evil\x1b[2J", Module: "m\r"},
	})
	for arg, want := range map[string]string{
		"add": "100 (t) add\n", "0xadd": "add (t) other\n", "add+4": "104 (t) add+0x4\n",
		"ade": "ade (t) other+0x1\n", "0x1000": "1000 (D) evil\\x1b[2J [m\\x0d]\n",
	} {
		var out bytes.Buffer
		p := &symPrinter{w: &out}
		if err := p.one(table, arg); err != nil || out.String() != want {
			t.Errorf("sym %s: %q, %v, want %q", arg, out.String(), err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	d, err := vmcore.Open(tiny(t, "vmcore.zlib"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := &environment{ctx: t.Context()}
	for arg, want := range map[string]uint64{
		"init_task": 0xffffffff8ce08b40, "init_task+8": 0xffffffff8ce08b48, "ck_null_work": 0xffffffffc002a062,
		"ffffffff8ce08b40": 0xffffffff8ce08b40, "ffffffff8ce08b40+0x10": 0xffffffff8ce08b50,
		"dead": 0xdead, "0x10": 0x10,
	} {
		if got, err := resolve(env, k, arg); got != want || err != nil {
			t.Errorf("resolve(%q) = %#x, %v, want %#x", arg, got, err, want)
		}
	}
	if _, err := resolve(env, k, "nosuch"); err == nil || !strings.HasPrefix(err.Error(), "nosuch: no such symbol") {
		t.Errorf("resolve(nosuch): %v", err)
	}
}

// TestSymbolList: sym -l is what /proc/kallsyms was in the guest before it died.
func TestSymbolList(t *testing.T) {
	f, err := os.Open(tiny(t, "truth/kallsyms.xz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(truth)), "\n") {
		f := strings.Fields(line)
		fmt.Fprintf(&want, "%s (%s) %s\n", orZero(strings.TrimLeft(f[0], "0")), f[1], strings.Join(f[2:], " "))
	}
	got := call(t, "sym", "-l", tiny(t, "vmcore.zlib"))
	if got.code != exitOK || got.err != "" {
		t.Fatalf("exit %d, stderr %q", got.code, got.err)
	}
	g, w := strings.Split(got.out, "\n"), strings.Split(want.String(), "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			t.Fatalf("line %d of %d: %q, /proc/kallsyms had %q", i+1, len(g), g[min(i, len(g)-1)], w[i])
		}
	}
	if len(g) != len(w) {
		t.Errorf("%d lines, want %d", len(g), len(w))
	}
}

func orZero(digits string) string {
	if digits == "" {
		return "0"
	}
	return digits
}
