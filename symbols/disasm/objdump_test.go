package disasm_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// peer is objdump for a machine.
type peer struct {
	tool    string
	args    []string
	padding []byte // an instruction that does nothing; between functions it brings both in step again
	machine string
	syntax  disasm.Syntax
}

var (
	objdumpATT   = peer{"objdump", []string{"-m", "i386:x86-64"}, []byte{0x90}, "x86_64", disasm.ATT}
	objdumpIntel = peer{"objdump", []string{"-m", "i386:x86-64", "-M", "intel"}, []byte{0x90}, "x86_64", disasm.Intel}
	objdumpARM64 = peer{"aarch64-linux-gnu-objdump", []string{"-m", "aarch64"}, []byte{0x1f, 0x20, 0x03, 0xd5}, "aarch64", disasm.ATT}
)

// TestObjdumpTiny compares with objdump what a small kernel's functions are.
func TestObjdumpTiny(t *testing.T) {
	k := guesttest.Tiny(t).Kernel
	t.Run("att", func(t *testing.T) { objdumpATT.compare(t, k, 300) })
	t.Run("intel", func(t *testing.T) { objdumpIntel.compare(t, k, 300) })
}

// TestObjdumpCorpus does it with kernels of a distribution.
func TestObjdumpCorpus(t *testing.T) {
	if testing.Short() {
		t.Skip("2000 functions of each kernel take a while")
	}
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		switch g.Name {
		case "tiny": // TestObjdumpTiny
		case "arm64":
			objdumpARM64.compare(t, g.Kernel, 2000)
		case "6.1":
			t.Run("intel", func(t *testing.T) { objdumpIntel.compare(t, g.Kernel, 2000) })
			fallthrough
		default:
			objdumpATT.compare(t, g.Kernel, 2000)
		}
	})
}

// compare disassembles n functions by both, one behind the other with padding between.
func (p peer) compare(t *testing.T, k *kernel.Kernel, n int) {
	t.Helper()
	if _, err := exec.LookPath(p.tool); err != nil {
		t.Skipf("%s is not installed", p.tool)
	}
	code, starts := p.functions(t, k, n)
	const base = 0xffffffff81000000
	theirs := p.objdump(t, code, base)
	ours := map[uint64]disasm.Inst{}
	d, err := disasm.New(p.machine, binary.LittleEndian, p.syntax)
	if err != nil {
		t.Fatal(err)
	}
	for in := range d.All(code, base) {
		ours[in.Addr] = in
	}
	sameBoundaries(t, ours, theirs)
	different := map[string]int{}
	for at, want := range theirs {
		in, ok := ours[at]
		if !ok {
			continue
		}
		got, want := normal(p.text(in)), normal(want)
		if got == want {
			continue
		}
		why := excuse(got, want)
		if different[why]++; why == "" && different[why] < 20 {
			t.Errorf("% x: %q, objdump %q", in.Bytes, got, want)
		}
	}
	t.Logf("%d functions, %d instructions, spelled otherwise: %v", len(starts), len(theirs), different)
}

// excuses are the differences that are known: what objdump has matches the pattern. Where
// instructions begin is never excused.
var excuses = []struct {
	why        string
	ours, want *regexp.Regexp
}{
	{"Intel syntax: memory before rip", regexp.MustCompile(`\[rip-0x`), regexp.MustCompile(`\[rip\+0xf{6}`)},
	{"Intel syntax: registers moved to segment registers", regexp.MustCompile(`^mov [c-gs]s,`), regexp.MustCompile(`^mov [c-gs]s,e`)},
	{"system registers without a name here", regexp.MustCompile(`\bs\d_\d_c\d+_c\d+_\d\b`), regexp.MustCompile(`^m(rs|sr) `)},
}

func excuse(ours, want string) string {
	for _, e := range excuses {
		if e.ours.MatchString(ours) && e.want.MatchString(want) {
			return e.why
		}
	}
	return ""
}

// text is an instruction with what objdump adds to memory relative to the instruction.
func (p peer) text(in disasm.Inst) string {
	if in.Target != 0 && !in.Branch && p.machine == "x86_64" {
		return fmt.Sprintf("%s # %#x", in.Text, in.Target)
	}
	return in.Text
}

// sameBoundaries compares where instructions begin.
func sameBoundaries(t *testing.T, ours map[uint64]disasm.Inst, theirs map[uint64]string) {
	t.Helper()
	n := 0
	for at, text := range theirs {
		if _, ok := ours[at]; !ok {
			if n++; n < 20 {
				t.Errorf("%#x: no instruction begins here, objdump has %q", at, text)
			}
		}
	}
	if len(ours) != len(theirs) {
		t.Errorf("%d instructions, objdump has %d", len(ours), len(theirs))
	}
}

// functions gathers the code of n functions from all over the kernel.
func (p peer) functions(t *testing.T, k *kernel.Kernel, n int) (code []byte, starts []int) {
	t.Helper()
	table, err := k.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	first, err := table.Lookup("_stext")
	if err != nil {
		t.Fatal(err)
	}
	last, err := table.Lookup("_etext")
	if err != nil {
		t.Fatal(err)
	}
	type span struct{ addr, size uint64 }
	var all []span
	for s := range table.All() {
		if (s.Type == 't' || s.Type == 'T') && s.Size > 0 && s.Size < 4096 && s.Addr >= first.Addr && s.Addr < last.Addr {
			all = append(all, span{s.Addr, s.Size})
		}
	}
	step := max(len(all)/n, 1)
	for i := 0; i < len(all) && len(starts) < n; i += step {
		b := make([]byte, all[i].size&^uint64(len(p.padding)-1))
		if _, err := k.ReadVirt(b, all[i].addr); err != nil {
			continue // freed code of the boot
		}
		starts = append(starts, len(code))
		code = append(code, b...)
		code = append(code, bytes.Repeat(p.padding, 16)...)
	}
	return code, starts
}

var objdumpLine = regexp.MustCompile(`(?m)^ *([0-9a-f]+):\t(.*)$`)

// objdump gives the text of each instruction by address.
func (p peer) objdump(t *testing.T, code []byte, base uint64) map[uint64]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-D", "-z", "--no-show-raw-insn", "-b", "binary", fmt.Sprintf("--adjust-vma=%#x", base)}, p.args...)
	out, err := exec.Command(p.tool, append(args, file)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[uint64]string{}
	for _, m := range objdumpLine.FindAllSubmatch(out, -1) {
		at, err := strconv.ParseUint(string(m[1]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		texts[at] = string(m[2])
	}
	return texts
}

var spaces = regexp.MustCompile(`[ \t]+`)

// normal is a text without what is no part of the instruction: the width of gaps, and
// objdump's remarks, "// #32" and "// b.any" of arm64.
func normal(s string) string {
	s, _, _ = strings.Cut(s, "//")
	return strings.TrimSpace(spaces.ReplaceAllString(s, " "))
}
