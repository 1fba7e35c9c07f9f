package kernel_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// fileMemory is what a file has of memory.
type fileMemory struct {
	va uint64
	b  []byte
}

func (m fileMemory) ReadVirt(p []byte, va uint64) (int, error) {
	if va < m.va || va-m.va >= uint64(len(m.b)) {
		return 0, phys.ErrUnmapped
	}
	if n := copy(p, m.b[va-m.va:]); n < len(p) {
		return n, phys.ErrUnmapped
	}
	return len(p), nil
}

// TestTypesOfVMLinux compares the BTF of a vmlinux with its DWARF.
func TestTypesOfVMLinux(t *testing.T) {
	name := os.Getenv("KAUTOPSY_VMLINUX")
	if name == "" {
		t.Skip("KAUTOPSY_VMLINUX names no vmlinux with debug information")
	}
	e, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.Section(".BTF")
	b, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	btf, err := symbols.ReadBTF(fileMemory{s.Addr, b}, symbols.ABI{Order: e.ByteOrder, PtrSize: 8}, s.Addr, s.Addr+uint64(len(b)), nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := debugFiles{t, map[string]string{"": name}, map[string]kernel.Want{}}.OpenDebug(t.Context(), kernel.Want{})
	if err != nil {
		t.Fatal(err)
	}
	sameAsDWARF(t, btf, f, 7000)
}

// TestTypesOfTiny compares the BTF of the small kernel with the DWARF of its vmlinux.
func TestTypesOfTiny(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	t.Parallel()
	f, err := debugFiles{t, map[string]string{"": tiny + "/vmlinux.debug.xz"}, map[string]kernel.Want{}}.OpenDebug(t.Context(), kernel.Want{})
	if err != nil {
		t.Fatal(err)
	}
	sameAsDWARF(t, readBTF(t, openKernel(t, tiny+"/vmcore.zlib")), f, 1500)
}

// sameAsDWARF looks for each named struct, union, enum and typedef of BTF among the types of
// DWARF, and finds one that says the same. Two things differ, and are right in DWARF:
// pahole makes arrays of arrays one array, and an enum that is only declared is in BTF one
// without constants. Types that are declared in a function are not looked for in DWARF by
// name: that they are those is looked at.
func sameAsDWARF(t *testing.T, btf *symbols.BTF, f *dwarf.File, least int) {
	t.Helper()
	ts, err := f.Types()
	if err != nil {
		t.Fatal(err)
	}
	count, bad := map[symbols.Kind]int{}, 0
	local := map[string]bool{}
	for typ, err := range btf.All() {
		if err != nil {
			t.Fatal(err)
		}
		switch typ.Kind {
		case symbols.KindStruct, symbols.KindUnion, symbols.KindEnum, symbols.KindTypedef:
		default:
			continue
		}
		if typ.Name == "" || typ.Kind == symbols.KindEnum && len(typ.Values) == 0 {
			continue
		}
		count[typ.Kind]++
		found, err := ts.ByName(typ.Name, typ.Kind)
		if errors.Is(err, symbols.ErrNoType) {
			local[typ.Name] = true
			continue
		}
		if err == nil && slices.ContainsFunc(found, func(d *symbols.Type) bool { return slices.Equal(shape(d), shape(typ)) }) {
			continue
		}
		if bad++; bad > 20 {
			continue
		}
		if t.Errorf("%v %s: %v\nBTF   %q", typ.Kind, typ.Name, err, shape(typ)); err == nil {
			t.Errorf("DWARF %q", shape(found[0]))
		}
	}
	t.Logf("%d structs, %d unions, %d enums, %d typedefs; %d differ, %d names only in functions", count[symbols.KindStruct],
		count[symbols.KindUnion], count[symbols.KindEnum], count[symbols.KindTypedef], bad, len(local))
	if count[symbols.KindStruct] < least {
		t.Error("that is not enough")
	}
	inFunctions(t, f, local)
	for name := range local {
		t.Errorf("%s is nowhere in DWARF", name)
	}
}

// inFunctions takes the names away that types have which are declared in functions.
func inFunctions(t *testing.T, f *dwarf.File, names map[string]bool) {
	t.Helper()
	for u, err := range f.Units() {
		if err != nil {
			t.Fatal(err)
		}
		e, err := u.Entries()
		if err != nil {
			t.Fatal(err)
		}
		for e.Next() && len(names) > 0 {
			switch e.Tag {
			case dwarf.TagStructureType, dwarf.TagUnionType, dwarf.TagEnumerationType, dwarf.TagTypedef:
				if name, err := e.Name(); err == nil && e.Depth > 1 {
					delete(names, name)
				}
			}
		}
		if err := e.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// shape is what a type says of its size, members and constants.
func shape(t *symbols.Type) []string {
	list := []string{fmt.Sprint(t.Size(), " bytes")}
	for _, m := range t.Members {
		list = append(list, fmt.Sprintf("%s at %d: %d", oneArray(m.Type(), m.Name), m.Offset, m.Bits))
	}
	for _, v := range t.Values {
		list = append(list, fmt.Sprint(v.Name, " = ", uint32(v.Value)))
	}
	if t.Kind == symbols.KindTypedef {
		list = append(list, oneArray(t.Elem(), ""))
	}
	return list
}

// oneArray declares a name, with arrays of arrays as one array.
func oneArray(t *symbols.Type, name string) string {
	n := uint64(1)
	array := false
	for ; t.Kind == symbols.KindArray; t = t.Elem() {
		n *= t.Count
		array = true
	}
	if array {
		t = t.ArrayOf(n)
	}
	m := t.Whole()
	m.Name = name
	return m.Declare()
}
