package dwarf_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// TestSourceAsAddr2line compares lines and inlined functions of a module with binutils'
// addr2line: at the begin, at the end and at two places between of every function.
func TestSourceAsAddr2line(t *testing.T) {
	tool, err := exec.LookPath("addr2line")
	if err != nil {
		t.Skip("addr2line (binutils) is not installed")
	}
	f, name := open(t, "crashkit.ko")
	same := 0
	for _, section := range []string{".text", ".init.text"} {
		addrs := samples(t, f, section, 1)
		cmd := exec.Command(tool, "-i", "-f", "-a", "-e", name, "-j", section)
		same += compareLines(t, f, addrs, symbolize(t, cmd, addrs))
	}
	t.Logf("%d addresses have the same functions and lines", same)
	if same < 100 {
		t.Error("that is not enough")
	}
}

// TestSourceAsLLVM compares every fourth function of the kernel with llvm-symbolizer.
// (addr2line 2.40 gives a third of these without the functions inlined there, and some
// with the unit's own file instead of the header.)
func TestSourceAsLLVM(t *testing.T) {
	tool, err := exec.LookPath("llvm-symbolizer")
	if err != nil {
		t.Skip("llvm-symbolizer is not installed")
	}
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	f, name := open(t, "vmlinux.debug.xz")
	addrs := samples(t, f, "", 4)
	cmd := exec.Command(tool, "--output-style=GNU", "-i", "-f", "-a", "-e", name)
	same := compareLines(t, f, addrs, symbolize(t, cmd, addrs))
	t.Logf("%d addresses have the same functions and lines", same)
	if same < 15000 {
		t.Error("that is not enough")
	}
}

// sample is an address of the file, and in its section.
type sample struct{ addr, offset uint64 }

// samples takes addresses of functions, of those in one section when it is named.
func samples(t *testing.T, f *dwarf.File, section string, every int) (out []sample) {
	in := map[int]uint64{}
	for _, s := range f.Sections() {
		switch {
		case section == "" && s.Code:
			in[s.Index] = 0
		case section == s.Name:
			in[s.Index] = s.Addr
		}
	}
	n := 0
	for s, err := range f.Symbols() {
		if err != nil {
			t.Fatal(err)
		}
		base, ok := in[s.Section]
		if !ok || s.Type != 2 || s.Size == 0 { // STT_FUNC
			continue
		}
		if n++; n%every != 0 {
			continue
		}
		for _, off := range []uint64{0, s.Size / 3, 2 * s.Size / 3, s.Size - 1} {
			out = append(out, sample{s.Addr + off, s.Addr + off - base})
		}
	}
	return out
}

// symbolize gives what a program says of each address: lines of function and file:line.
func symbolize(t *testing.T, cmd *exec.Cmd, addrs []sample) [][]string {
	var in bytes.Buffer
	for _, a := range addrs {
		fmt.Fprintf(&in, "%#x\n", a.offset)
	}
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "0x") {
			all = append(all, nil)
			continue
		}
		if line == "" {
			continue
		}
		line, _, _ = strings.Cut(line, " (discriminator")
		all[len(all)-1] = append(all[len(all)-1], line)
	}
	if len(all) != len(addrs) {
		t.Fatalf("the program answered %d of %d addresses", len(all), len(addrs))
	}
	return all
}

func compareLines(t *testing.T, f *dwarf.File, addrs []sample, theirs [][]string) (same int) {
	differ := 0
	for i, a := range addrs {
		chain, err := f.Source(a.addr)
		if err != nil && !errors.Is(err, dwarf.ErrNoDebug) {
			t.Fatalf("%#x: %v", a.addr, err)
		}
		ours, want := spell(chain), plainly(theirs[i])
		if slices.Equal(ours, want) {
			same++
		} else if differ++; differ <= 20 {
			t.Errorf("%#x:\n  ours   %q\n  theirs %q", a.addr, ours, want)
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d differ", differ, len(addrs))
	}
	return same
}

// spell writes places as binutils does, "" for a function that is not known.
func spell(chain []dwarf.Source) (out []string) {
	for i, s := range chain {
		p := s.File
		if p != "" && !path.IsAbs(p) {
			p = path.Join(s.Dir, p)
		}
		if i == len(chain)-1 {
			s.Function = "" // see plainly
		}
		out = append(out, s.Function, fmt.Sprintf("%s:%d", p, s.Line))
	}
	return out
}

// plainly makes what a program printed comparable. The last function, the one that is really
// there, is named by the symbol table ("ring_buffer_attach.part.0").
func plainly(lines []string) (out []string) {
	for i, l := range lines {
		if file, line, ok := strings.Cut(l, ":"); ok {
			l = path.Clean(file) + ":" + strings.Replace(line, "?", "0", 1)
		} else if i == len(lines)-2 {
			l = ""
		}
		out = append(out, l)
	}
	if slices.Equal(out, []string{"", "??:0"}) {
		return nil
	}
	return out
}
