package dwarf_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// source has what moves lines about: inlining in two steps, a loop, a part that is cold.
const source = `
extern int sink(int);
static volatile int state;
static inline __attribute__((always_inline)) int innermost(int a)
{
	state = a;
	return sink(a) + state;
}
static inline __attribute__((always_inline)) int middle(int a)
{
	if (a > 100)
		return innermost(a + 1);
	return innermost(a - 1);
}
int outer(int a)
{
	int sum = 0;
	for (int i = 0; i < a; i++) {
		sum += middle(i);
		if (__builtin_expect(sum < 0, 0))
			return sink(sum);
	}
	return sum;
}
__attribute__((section(".init.text"), noinline)) int begin(int a)
{
	return middle(a) + outer(a);
}
int sink(int a)
{
	return a ^ state;
}
`

// compile makes a file of the source and gives its name; a compiler that cannot do it skips
// the test.
func compile(t *testing.T, args ...string) string {
	t.Helper()
	return compileText(t, source, args...)
}

func compileText(t *testing.T, source string, args ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compilers in short mode")
	}
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "code.c"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cc, append([]string{"-O2", "-o", "code.out", "code.c"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "unrecognized") || strings.Contains(string(out), "not supported") {
			t.Skipf("gcc %v: %s", args, out)
		}
		t.Fatalf("gcc %v: %v\n%s", args, err, out)
	}
	return filepath.Join(dir, "code.out")
}

func openFile(t testing.TB, name string) *dwarf.File {
	t.Helper()
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	st, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := dwarf.Open(r, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestVersions: all versions of DWARF and of line tables, as a compiler of today writes them,
// in objects and in linked files, plain and compressed, give addr2line's lines.
func TestVersions(t *testing.T) {
	tool, err := exec.LookPath("addr2line")
	if err != nil {
		t.Skip("addr2line (binutils) is not installed")
	}
	linked := []string{"-nostdlib", "-static", "-Wl,-e,outer"}
	for name, args := range map[string][]string{
		"DWARF 2":        {"-gdwarf-2"},
		"DWARF 3":        {"-gdwarf-3"},
		"DWARF 4":        {"-gdwarf-4"},
		"DWARF 5":        {"-gdwarf-5"},
		"64-bit DWARF 4": {"-gdwarf-4", "-gdwarf64"},
		"zlib":           {"-gdwarf-5", "-gz=zlib"},
		"zdebug":         {"-gdwarf-4", "-gz=zlib-gnu"},
	} {
		t.Run(name, func(t *testing.T) {
			object := compile(t, append([]string{"-c"}, args...)...)
			f := openFile(t, object)
			if !f.Relocatable() {
				t.Error("an object is no module?")
			}
			same := 0
			for _, section := range []string{".text", ".init.text"} {
				addrs := everyByte(t, f, section)
				same += compareLines(t, f, addrs, symbolize(t, exec.Command(tool, "-i", "-f", "-a", "-e", object, "-j", section), addrs))
			}
			exe := compile(t, append(append([]string{}, linked...), args...)...)
			f = openFile(t, exe)
			addrs := everyByte(t, f, "")
			same += compareLines(t, f, addrs, symbolize(t, exec.Command(tool, "-i", "-f", "-a", "-e", exe), addrs))
			if same < 250 {
				t.Errorf("only %d addresses are alike", same)
			}
		})
	}
}

// TestLong: 64-bit DWARF 5, of which addr2line 2.40 reads nothing, says what the 32-bit form
// of the same code says.
func TestLong(t *testing.T) {
	short := openFile(t, compile(t, "-c", "-gdwarf-5"))
	long := openFile(t, compile(t, "-c", "-gdwarf-5", "-gdwarf64"))
	n := 0
	for _, a := range everyByte(t, short, ".text") {
		want, err := short.Source(a.addr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := long.Source(a.addr)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].Dir = want[0].Dir
		}
		if !slices.Equal(got, want) {
			t.Errorf("%#x: %+v, in the 32-bit form %+v", a.addr, got, want)
		}
		n++
	}
	if n < 50 {
		t.Errorf("only %d addresses were compared", n)
	}
}

// everyByte takes all addresses of functions, of those in one section when it is named.
func everyByte(t *testing.T, f *dwarf.File, section string) (out []sample) {
	base := map[int]uint64{}
	for _, s := range f.Sections() {
		if section == "" || s.Name == section {
			base[s.Index] = s.Addr
			if section == "" {
				base[s.Index] = 0
			}
		}
	}
	for s, err := range f.Symbols() {
		if err != nil {
			t.Fatal(err)
		}
		if from, ok := base[s.Section]; ok && s.Type == 2 { // STT_FUNC
			for i := range s.Size {
				out = append(out, sample{s.Addr + i, s.Addr + i - from})
			}
		}
	}
	return out
}

// TestSplit: of split debug information the lines are there, and the rest says where it is.
func TestSplit(t *testing.T) {
	f := openFile(t, compile(t, "-gdwarf-5", "-gsplit-dwarf", "-nostdlib", "-static", "-Wl,-e,outer"))
	for s, err := range f.Symbols() {
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != "outer" {
			continue
		}
		chain, err := f.Source(s.Addr)
		if !errors.Is(err, dwarf.ErrSplit) || len(chain) != 1 || chain[0].File != "code.c" || chain[0].Line == 0 {
			t.Errorf("the line of outer: %+v, %v", chain, err)
		}
	}
	for u, err := range f.Units() {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Entries(); !errors.Is(err, dwarf.ErrSplit) || !strings.Contains(err.Error(), ".dwo") {
			t.Errorf("entries of a split unit: %v", err)
		}
	}
}
