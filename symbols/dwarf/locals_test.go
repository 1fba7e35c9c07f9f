package dwarf_test

import (
	"encoding/binary"
	"errors"
	"fmt"
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
	types := map[string]byte{}
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
				types[name] = byte(e.Off - u.Off)
			}
		}
	}
	scopes, err := f.Scopes(first(t, f))
	if err != nil || len(scopes) != 1 || scopes[0].Function != "f" {
		t.Fatal(scopes, err)
	}
	i, c, d := types["int"], types["unsigned char"], types["double"]
	if i == 0 || i > 0x7f || c == 0 || c > 0x7f || d == 0 {
		t.Skipf("base types at %v", types)
	}
	for _, x := range []struct {
		expr []byte
		want uint64
		err  error
	}{
		{[]byte{0x0b, 0xff, 0xff, 0xa8, c, 0xa8, 0}, 0xff, nil},                      // const2s -1 as unsigned char
		{[]byte{0x0c, 0xff, 0xff, 0xff, 0xff, 0xa8, i, 0xa8, 0}, ^uint64(0), nil},    // const4u as int is -1
		{[]byte{0x08, 200, 0xa8, c, 0x08, 100, 0xa8, c, 0x22, 0xa8, 0}, 44, nil},     // 200 + 100 as unsigned char
		{[]byte{0x09, 0xf8, 0xa8, i, 0x32, 0xa8, i, 0x1b, 0xa8, 0}, ^uint64(3), nil}, // -8 / 2
		{[]byte{0x09, 0xff, 0xa8, i, 0x34, 0xa8, i, 0x25, 0xa8, 0}, 0x0fffffff, nil}, // -1 >> 4 without its sign
		{[]byte{0x09, 0xff, 0xa8, c, 0x31, 0xa8, c, 0x2b}, 1, nil},                   // 255 > 1
		{[]byte{0xa5, 3, i, 0xa8, 0}, 0, nil},                                        // regval_type: the low half of 3<<32
		{[]byte{0xa4, c, 1, 0xfe, 0xa8, 0}, 0xfe, nil},                               // const_type
		{[]byte{0xa4, c, 2, 0xfe, 0xff}, 0, phys.ErrCorrupt},                         // of a wrong size
		{[]byte{0x31, 0xa8, d}, 0, phys.ErrUnsupported},                              // floating point
		{[]byte{0x31, 0xa8, i + 1, 0x9f}, 0, phys.ErrUnsupported},                    // no type there
	} {
		m := machine(f, 0)
		m.SetUnit(f, first(t, f))
		if got, err := m.Run(x.expr); got != x.want && err == nil || x.err != nil && phys.Reason(err) == nil || x.err == nil && err != nil {
			t.Errorf("% x: %#x, %v; want %#x, %v", x.expr, got, err, x.want, x.err)
		}
	}
}

// first is where the function f begins.
func first(t *testing.T, f *dwarf.File) uint64 {
	t.Helper()
	low, _ := functionOf(t, f, "f")
	return low
}
