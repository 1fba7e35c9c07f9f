package dwarf_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// variables has what a compiler does with variables: kept in a register, folded to a constant,
// lost, inlined, in memory, made of pieces, passed by a caller who knows what.
const variables = `
struct pair { long first, second; };
extern long use(long);
extern void fill(struct pair *);
static volatile long state;
static inline __attribute__((always_inline)) long twice(long number)
{
	long result = use(number + 1);
	state = result;
	return result;
}
__attribute__((noinline)) long callee(long passed, long other)
{
	long gone = passed + 7;
	state = gone;
	use(1);
	return use(other);
}
long caller(long argument)
{
	const long fixed = 42;
	struct pair pair;
	fill(&pair);
	long v = twice(argument) + callee(5, argument);
	return v + pair.first + fixed;
}
`

// frame is a made-up frame: every register n is n<<32, memory at an address holds the address.
type frame struct{ lacks int }

func (f frame) Register(n int) (uint64, bool) { return uint64(n) << 32, n != f.lacks }

func (frame) ReadVirt(p []byte, va uint64) (int, error) {
	for i := range p {
		p[i] = byte((va + uint64(i)) >> (8 * (uint64(i) % 8)))
	}
	return len(p), nil
}

func machine(f *dwarf.File, pc uint64) *dwarf.Machine {
	m := &dwarf.Machine{Regs: frame{-1}, Mem: frame{}, Order: binary.LittleEndian, PtrSize: 8}
	m.CFA = func() (uint64, error) { return 0x7000, nil }
	m.Entry = func(dwarf.Passed) (uint64, error) { return 77, nil }
	m.FrameBase = func() (uint64, error) {
		n := *m
		n.FrameBase = nil
		return f.FrameBase(pc, &n)
	}
	return m
}

// describe tells where variables are at an address, in a line for each.
func describe(t *testing.T, f *dwarf.File, pc uint64) string {
	t.Helper()
	scopes, err := f.Scopes(pc)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range scopes {
		fmt.Fprintf(&b, "%s inlined %v\n", s.Function, s.Inlined)
		for _, v := range s.Variables {
			typ, err := v.Type()
			if err != nil {
				t.Fatal(err)
			}
			pieces, err := v.Locate(machine(f, pc))
			where := fmt.Sprint(pieces)
			switch {
			case errors.Is(err, dwarf.ErrOptimised):
				where = "optimised out"
			case err != nil:
				where = err.Error()
			case len(pieces) == 1:
				where = fmt.Sprint([]string{"none", "memory", "register", "value", "bytes", "pointer"}[pieces[0].Kind])
				if pieces[0].Kind == dwarf.PieceValue {
					where += fmt.Sprintf(" %d", pieces[0].Value)
				}
			}
			fmt.Fprintf(&b, "  %s %v parameter %v: %s\n", v.Name, typ, v.Parameter, where)
		}
	}
	return b.String()
}

// functionOf is where a function begins and ends.
func functionOf(t *testing.T, f *dwarf.File, name string) (low, high uint64) {
	t.Helper()
	for s := range f.Symbols() {
		if s.Name == name {
			return s.Addr, s.Addr + s.Size
		}
	}
	t.Fatalf("no symbol %s", name)
	return 0, 0
}

// TestLocals: the variables of a compiled source, in each version and form.
func TestLocals(t *testing.T) {
	for name, args := range map[string][]string{
		"DWARF 2":        {"-gdwarf-2"},
		"DWARF 3":        {"-gdwarf-3"},
		"DWARF 4":        {"-gdwarf-4"},
		"DWARF 5":        {"-gdwarf-5"},
		"64-bit DWARF 5": {"-gdwarf-5", "-gdwarf64"},
		"with views":     {"-gdwarf-5", "-gvariable-location-views=incompat5"},
	} {
		t.Run(name, func(t *testing.T) {
			checkLocals(t, openFile(t, compileText(t, variables, append([]string{"-c"}, args...)...)))
		})
	}
}

func checkLocals(t *testing.T, f *dwarf.File) {
	t.Helper()
	low, high := functionOf(t, f, "caller")
	at := describe(t, f, low)
	for _, want := range []string{"caller inlined false\n", "  argument long parameter true: register\n", "  fixed const long parameter false: value 42\n", "  pair struct pair parameter false: "} {
		if !strings.Contains(at, want) {
			t.Errorf("at its begin:\n%swant %q", at, want)
		}
	}
	var all strings.Builder
	for pc := low; pc < high; pc++ {
		at := describe(t, f, pc)
		if strings.Contains(at, "not supported") {
			t.Errorf("%#x:\n%s", pc, at)
		}
		all.WriteString(at)
	}
	for _, want := range []string{
		"twice inlined true\n  number long parameter true: ", "  pair struct pair parameter false: memory\n",
		"  v long parameter false: optimised out\n", "  result long parameter false: register\n",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("nowhere in caller: %q", want)
		}
	}
	low, high = functionOf(t, f, "callee")
	if at := describe(t, f, high-1); !strings.Contains(at, "gone long parameter false: ") {
		t.Errorf("at the end of callee:\n%s", at)
	}
	if start, err := f.FunctionStart(high - 1); start != low || err != nil {
		t.Errorf("callee begins at %#x, not %#x: %v", start, low, err)
	}
}

// TestCallSite: what a caller has passed is known where it called, and only for the function
// that it called.
func TestCallSite(t *testing.T) {
	for _, version := range []string{"-gdwarf-4", "-gdwarf-5"} {
		f := openFile(t, compileText(t, variables, "-c", version))
		low, high := functionOf(t, f, "caller")
		found := map[string]bool{}
		for ret := low + 1; ret <= high; ret++ {
			c, err := f.CallSite(ret)
			if errors.Is(err, dwarf.ErrNoDebug) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			found[c.Function] = true
			if c.Function != "callee" {
				continue
			}
			const rdi = 5
			m := machine(f, ret-1)
			m.Entry = func(p dwarf.Passed) (uint64, error) { return c.Value(p, machine(f, ret-1)) }
			if v, err := m.Run([]byte{0xa3, 1, 0x50 + rdi}); v != 5 || err != nil {
				t.Errorf("%s: the first argument of callee: %d, %v", version, v, err)
			}
		}
		if !found["callee"] || !found["fill"] || !found["use"] {
			t.Errorf("%s: calls of %v", version, found)
		}
	}
}

// TestPlaces: the operations that describe places, and what bounds them.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		expr []byte
		want string
		err  error
	}{
		{[]byte{0x53}, "[{2 0 0 0x0 3 0x0 []}]", nil},                                                                 // reg3
		{[]byte{0x90, 17}, "[{2 0 0 0x0 17 0x0 []}]", nil},                                                            // regx 17
		{[]byte{0x73, 8}, "[{1 0 0 0x300000008 0 0x0 []}]", nil},                                                      // breg3 8
		{[]byte{0x91, 0x78}, "", phys.ErrUnsupported},                                                                 // fbreg without debug information
		{[]byte{0x9c}, "[{1 0 0 0x7000 0 0x0 []}]", nil},                                                              // call_frame_cfa
		{[]byte{0x35, 0x9f}, "[{3 0 0 0x0 0 0x5 []}]", nil},                                                           // lit5, stack_value
		{[]byte{0x9e, 2, 7, 8}, "[{4 0 0 0x0 0 0x0 [7 8]}]", nil},                                                     // implicit_value
		{[]byte{0x53, 0x93, 4, 0x93, 4}, "[{2 32 0 0x0 3 0x0 []} {0 32 0 0x0 0 0x0 []}]", nil},                        // reg3, piece 4; piece 4 of nothing
		{[]byte{0x31, 0x9f, 0x93, 8, 0x73, 0, 0x93, 8}, "[{3 64 0 0x0 0 0x1 []} {1 64 0 0x300000000 0 0x0 []}]", nil}, // a value and memory
		{[]byte{0x53, 0x9d, 3, 5}, "[{2 3 5 0x0 3 0x0 []}]", nil},                                                     // bit_piece
		{nil, "", dwarf.ErrOptimised},
		{[]byte{0x53, 0x54}, "", phys.ErrCorrupt},                 // two places
		{[]byte{0x9f}, "", phys.ErrCorrupt},                       // the value of nothing
		{[]byte{0x2f, 0xfd, 0xff}, "", phys.ErrLimit},             // skip to itself
		{[]byte{0x93, 4, 0x2f, 0xfb, 0xff}, "", phys.ErrLimit},    // pieces for ever
		{[]byte{0x31, 0x2f, 0xfc, 0xff}, "", phys.ErrLimit},       // values for ever
		{[]byte{0x9e, 0xff, 0xff, 3}, "", phys.ErrCorrupt},        // more bytes than there are
		{[]byte{0xa3, 1, 0x55, 0x9f}, "", phys.ErrUnsupported},    // entry_value without a caller
		{[]byte{0xa8, 0x20}, "", phys.ErrUnsupported},             // convert nothing
		{[]byte{0x31, 0xa8, 0x20, 0x9f}, "", phys.ErrUnsupported}, // to a type of no unit
	} {
		m := machine(nil, 0)
		m.FrameBase, m.Entry = nil, nil
		pieces, err := m.Locate(c.expr)
		got := ""
		for _, p := range pieces {
			got += fmt.Sprintf(" {%d %d %d %#x %d %#x %v}", p.Kind, p.Bits, p.Skip, p.Addr, p.Reg, p.Value, p.Bytes)
		}
		if got != "" {
			got = "[" + got[1:] + "]"
		}
		if err == nil && got != c.want || !errors.Is(err, c.err) {
			t.Errorf("% x: %s, %v; want %s, %v", c.expr, got, err, c.want, c.err)
		}
	}
	m := machine(nil, 0)
	m.Regs = frame{3}
	var lacks *dwarf.RegisterError
	if _, err := m.Locate([]byte{0x73, 8}); !errors.As(err, &lacks) || lacks.Reg != 3 || errors.Is(err, dwarf.ErrOptimised) {
		t.Errorf("a register that is not known: %v", err)
	}
}

// TestTypedOperations: GCC computes in types narrower than an address since DWARF 5.
func TestTypedOperations(t *testing.T) {
	f := openFile(t, compileText(t, "int a; unsigned char b; long c; double d; int f(void) { return a + b + c + d; }", "-c", "-gdwarf-5"))
	types := map[string][]byte{} // where they are in the unit, as ULEB128 of two bytes
	for u, err := range f.Units() {
		if err != nil {
			t.Fatal(err)
		}
		e, err := u.Entries()
		if err != nil {
			t.Fatal(err)
		}
		for e.Next() {
			if name, _ := e.Name(); e.Tag == dwarf.TagBaseType {
				types[name] = []byte{byte(e.Off-u.Off) | 0x80, byte((e.Off - u.Off) >> 7)}
			}
		}
	}
	scopes, err := f.Scopes(first(t, f))
	if err != nil || len(scopes) != 1 || scopes[0].Function != "f" {
		t.Fatal(scopes, err)
	}
	i, c, d := types["int"], types["unsigned char"], types["double"]
	if i == nil || c == nil || d == nil {
		t.Fatalf("base types at %v", types)
	}
	for _, x := range []struct {
		expr []byte
		want uint64
		err  error
	}{
		{join(0x0b, 0xff, 0xff, 0xa8, c, 0xa8, 0), 0xff, nil},                      // const2s -1 as unsigned char
		{join(0x0c, 0xff, 0xff, 0xff, 0xff, 0xa8, i, 0xa8, 0), ^uint64(0), nil},    // const4u as int is -1
		{join(0x08, 200, 0xa8, c, 0x08, 100, 0xa8, c, 0x22, 0xa8, 0), 44, nil},     // 200 + 100 as unsigned char
		{join(0x09, 0xf8, 0xa8, i, 0x32, 0xa8, i, 0x1b, 0xa8, 0), ^uint64(3), nil}, // -8 / 2
		{join(0x09, 0xff, 0xa8, i, 0x34, 0xa8, i, 0x25, 0xa8, 0), 0x0fffffff, nil}, // -1 >> 4 without its sign
		{join(0x09, 0xff, 0xa8, c, 0x31, 0xa8, c, 0x2b), 1, nil},                   // 255 > 1
		{join(0xa5, 3, i, 0xa8, 0), 0, nil},                                        // regval_type: the low half of 3<<32
		{join(0xa4, c, 1, 0xfe, 0xa8, 0), 0xfe, nil},                               // const_type
		{join(0xa4, c, 2, 0xfe, 0xff), 0, phys.ErrCorrupt},                         // of a wrong size
		{join(0x31, 0xa8, d), 0, phys.ErrUnsupported},                              // floating point
		{join(0x31, 0xa8, []byte{1}, 0x9f), 0, phys.ErrUnsupported},                // no type there
	} {
		m := machine(f, 0)
		m.SetUnit(f, first(t, f))
		if got, err := m.Run(x.expr); got != x.want && err == nil || x.err != nil && phys.Reason(err) == nil || x.err == nil && err != nil {
			t.Errorf("% x: %#x, %v; want %#x, %v", x.expr, got, err, x.want, x.err)
		}
	}
}

// join makes an expression of bytes and of pieces of several.
func join(parts ...any) (out []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			out = append(out, byte(p))
		case []byte:
			out = append(out, p...)
		}
	}
	return out
}

// first is where the function f begins.
func first(t *testing.T, f *dwarf.File) uint64 {
	t.Helper()
	low, _ := functionOf(t, f, "f")
	return low
}

// TestSplitLocals: of split debug information the same is told as of one file: functions that
// were inlined, their lines, variables and types; from the .dwo and from a package.
func TestSplitLocals(t *testing.T) {
	// GCC 12 writes lengths of .debug_loc.dwo that are wrong by two, where a location begins or
	// ends in the middle of a call.
	for version, bad := range map[string]int{"-gdwarf-4": 10, "-gdwarf-5": 0} {
		t.Run(version, func(t *testing.T) {
			link := []string{"-nostdlib", "-static", "-Wl,-e,caller", "-Wl,--unresolved-symbols=ignore-all", version}
			one := openFile(t, compileText(t, variables, link...))
			name := compileText(t, variables, append(link, "-gsplit-dwarf")...)
			dir := filepath.Dir(name)
			checkSplit(t, one, openSplit(t, name, func(w dwarf.SplitFile) string {
				if w.Package || w.Dir == "" {
					return ""
				}
				return filepath.Join(dir, w.Name)
			}), bad)
			object := compileText(t, variables, "-c", version, "-gsplit-dwarf")
			checkSplit(t, openFile(t, compileText(t, variables, "-c", version)), openSplit(t, object, func(w dwarf.SplitFile) string {
				if w.Package {
					return ""
				}
				return filepath.Join(filepath.Dir(object), w.Name)
			}), bad)
			makePackage(t, name, version)
			checkSplit(t, one, openSplit(t, name, func(w dwarf.SplitFile) string {
				if !w.Package {
					return ""
				}
				return name + ".dwp"
			}), bad)
		})
	}
}

// makePackage puts the .dwo of a program into a package: by dwp, which of DWARF 5 binutils'
// cannot do, so that one is the .dwo with an index of its one unit.
func makePackage(t *testing.T, name, version string) {
	t.Helper()
	args := []string{"dwp", "-e", name, "-o", name + ".dwp"}
	if version == "-gdwarf-5" {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*.dwo"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		index := filepath.Join(filepath.Dir(name), "index")
		if err := os.WriteFile(index, packageIndex(t, names[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		args = []string{"objcopy", "--add-section", ".debug_cu_index=" + index, names[0], name + ".dwp"}
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("%s (binutils) is not installed", args[0])
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Dir(name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// packageIndex is .debug_cu_index of version 5 with the unit of a .dwo, in the second of two
// slots.
func packageIndex(t *testing.T, dwo string) []byte {
	t.Helper()
	e, err := elf.Open(dwo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	info, err := e.Section(".debug_info.dwo").Data()
	if err != nil {
		t.Fatal(err)
	}
	out := binary.LittleEndian.AppendUint16(nil, 5)
	out = append(out, 0, 0)
	var ids, sizes, offsets []uint32
	for id, name := range map[uint32]string{1: "info", 3: "abbrev", 5: "loclists", 6: "str_offsets", 8: "rnglists"} {
		if s := e.Section(".debug_" + name + ".dwo"); s != nil {
			ids, offsets, sizes = append(ids, id), append(offsets, 0), append(sizes, uint32(s.Size))
		}
	}
	words := append([]uint32{uint32(len(ids)), 1, 2, 0, 0, binary.LittleEndian.Uint32(info[12:]), binary.LittleEndian.Uint32(info[16:]), 0, 1}, ids...)
	for _, w := range append(append(words, offsets...), sizes...) {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// TestSplitDamaged: a .dwo that is changed anywhere, or is another's, does no harm.
func TestSplitDamaged(t *testing.T) {
	name := compileText(t, variables, "-nostdlib", "-static", "-Wl,-e,caller", "-Wl,--unresolved-symbols=ignore-all", "-gdwarf-5", "-gsplit-dwarf")
	names, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*.dwo"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	good, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	noticed := 0
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(16, seed))
		b := slices.Clone(good)
		for range 1 + rng.IntN(6) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if rng.IntN(8) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		f := openFile(t, name)
		f.FindSplit(func(w dwarf.SplitFile) (io.ReaderAt, int64, error) {
			if w.Package != (seed%4 == 0) {
				return nil, 0, os.ErrNotExist
			}
			return bytes.NewReader(b), int64(len(b)), nil
		})
		for pc := uint64(0x401000); pc < 0x401080; pc += 3 {
			locate(f, pc, func(err error) {
				if err != nil {
					noticed++
					checkReason(t, seed, err)
				}
			})
		}
	}
	if noticed == 0 {
		t.Error("no damage was noticed")
	}
}

// openSplit opens a file whose split debug information is where find says.
func openSplit(t *testing.T, name string, find func(dwarf.SplitFile) string) *dwarf.File {
	t.Helper()
	f := openFile(t, name)
	f.FindSplit(func(w dwarf.SplitFile) (io.ReaderAt, int64, error) {
		r, err := os.Open(find(w))
		if err != nil {
			return nil, 0, err
		}
		t.Cleanup(func() { r.Close() })
		st, err := r.Stat()
		if err != nil {
			return nil, 0, err
		}
		return r, st.Size(), nil
	})
	return f
}

// checkSplit compares what a file and one with split debug information say of every address;
// variables may differ at some.
func checkSplit(t *testing.T, one, split *dwarf.File, bad int) {
	t.Helper()
	n, inlined, differ := 0, 0, 0
	for _, name := range []string{"caller", "callee"} {
		low, high := functionOf(t, one, name)
		from, _ := functionOf(t, split, name)
		for i := range high - low {
			want, got := describe(t, one, low+i), describe(t, split, from+i)
			if want != got {
				differ++
				t.Logf("%s+%#x:\n%swant\n%s", name, i, got, want)
			}
			a, err := one.Source(low + i)
			if err != nil {
				t.Fatal(err)
			}
			b, err := split.Source(from + i)
			for j := range a {
				a[j].Dir = ""
			}
			for j := range b {
				b[j].Dir = ""
			}
			if err != nil || !slices.Equal(a, b) {
				t.Fatalf("%s+%#x: %v, %v; want %v", name, i, b, err, a)
			}
			n, inlined = n+1, inlined+len(a)-1
		}
	}
	if n < 50 || inlined == 0 || differ > bad {
		t.Errorf("%d addresses, %d of them in inlined functions; variables differ at %d", n, inlined, differ)
	}
}
