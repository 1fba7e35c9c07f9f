package dwarf_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// both are the orders of bytes.
var both = []binary.ByteOrder{binary.LittleEndian, binary.BigEndian}

// TestTypesByHand: the forms that compilers of old kernels wrote, and those that C has and
// the small kernel has not.
func TestTypesByHand(t *testing.T) {
	for _, o := range both {
		m := newMaker(o)
		integer := m.add(dwarf.TagBaseType, false, text("int"), number(dwarf.AttrByteSize, 4), number(dwarf.AttrEncoding, 5))
		grid := m.add(dwarf.TagArrayType, true, m.ref(integer))
		m.add(dwarf.TagSubrangeType, false, number(dwarf.AttrUpperBound, 1))
		m.add(dwarf.TagSubrangeType, false, number(dwarf.AttrCount, 3))
		m.end()
		tail := m.add(dwarf.TagArrayType, true, m.ref(integer))
		m.add(dwarf.TagSubrangeType, false)
		m.end()
		empty := m.add(dwarf.TagArrayType, true, m.ref(integer))
		m.add(dwarf.TagSubrangeType, false, val{dwarf.AttrUpperBound, dwarf.FormSdata, []byte{0x7f}}) // -1
		m.end()
		m.add(dwarf.TagStructureType, true, text("shapes"), number(dwarf.AttrByteSize, 40))
		m.add(dwarf.TagMember, false, text("old"), m.ref(integer), val{dwarf.AttrDataMemberLoc, dwarf.FormBlock1, []byte{2, 0x23, 4}},
			number(dwarf.AttrByteSize, 4), number(dwarf.AttrBitSize, 3), number(dwarf.AttrBitOffset, 22))
		m.add(dwarf.TagMember, false, text("new"), m.ref(integer), number(dwarf.AttrBitSize, 5), number(dwarf.AttrDataBitOffset, 70))
		m.add(dwarf.TagMember, false, text("grid"), m.ref(grid), number(dwarf.AttrDataMemberLoc, 12))
		m.add(dwarf.TagMember, false, text("none"), m.ref(empty), number(dwarf.AttrDataMemberLoc, 36))
		m.add(dwarf.TagMember, false, text("tail"), m.ref(tail), number(dwarf.AttrDataMemberLoc, 36))
		m.end()
		fn := m.add(dwarf.TagSubroutineType, true, m.ref(integer))
		m.add(dwarf.TagFormalParameter, false, m.ref(integer))
		m.add(dwarf.TagUnspecifiedParams, false)
		m.end()
		fnPtr := m.add(dwarf.TagPointerType, false, m.ref(fn))
		m.add(dwarf.TagTypedef, false, text("printer_t"), m.ref(m.add(dwarf.TagConstType, false, m.ref(fnPtr))))
		m.add(dwarf.TagEnumerationType, true, text("state"), number(dwarf.AttrByteSize, 4))
		m.add(dwarf.TagEnumerator, false, text("DEAD"), val{dwarf.AttrConstValue, dwarf.FormSdata, []byte{0x7e}})
		m.add(dwarf.TagEnumerator, false, text("ALIVE"), number(dwarf.AttrConstValue, 200))
		m.end()
		ts, err := m.open(t).Types()
		if err != nil {
			t.Fatal(err)
		}
		bit := uint64(32 + 7)
		if o == binary.ByteOrder(binary.BigEndian) {
			bit = 32 + 22
		}
		for spelled, want := range map[string]string{
			"struct shapes": fmt.Sprintf("struct shapes {\n    int old : 3;\n    int new : 5;\n    int grid[2][3];\n    int none[];\n    int tail[];\n}%d 70 96 288 288", bit),
			"printer_t":     "typedef int (* const printer_t)(int, ...);",
			"enum state":    "enum state {DEAD = -2, ALIVE = 200}",
		} {
			typ, err := symbols.Find(ts, spelled)
			if err != nil {
				t.Fatal(err)
			}
			got := typ.Declare()
			for i, m := range typ.Members {
				got += strings.Repeat(" ", min(i, 1)) + fmt.Sprint(m.Offset)
			}
			if got != want {
				t.Errorf("%v\n%s\nwant\n%s", o, got, want)
			}
		}
	}
}

// TestForward: what is only declared is what another unit defines, as long as there is no
// doubt which.
func TestForward(t *testing.T) {
	m := newMaker(binary.LittleEndian)
	integer := m.add(dwarf.TagBaseType, false, text("int"), number(dwarf.AttrByteSize, 4), number(dwarf.AttrEncoding, 5))
	flag := val{dwarf.AttrDeclaration, dwarf.FormFlag, []byte{1}}
	pointers := map[string]uint32{}
	for _, name := range []string{"one", "two", "none"} {
		pointers[name] = m.add(dwarf.TagPointerType, false, m.ref(m.add(dwarf.TagStructureType, false, text(name), flag)))
	}
	define := func(name string, line byte, members ...string) {
		m.add(dwarf.TagStructureType, true, text(name), number(dwarf.AttrByteSize, 8), number(dwarf.AttrDeclLine, line))
		for _, member := range members {
			m.add(dwarf.TagMember, false, text(member), m.ref(integer), number(dwarf.AttrDataMemberLoc, 0))
		}
		m.end()
	}
	define("one", 1, "a")
	define("one", 2, "a") // the same once more
	define("two", 3, "a")
	define("two", 4, "b")
	ts, err := m.open(t).Types()
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]symbols.Kind{"one": symbols.KindStruct, "two": symbols.KindForward, "none": symbols.KindForward} {
		p, err := ts.ByID(symbols.TypeID(pointers[name]))
		if err != nil || p.Elem().Kind != kind || p.Elem().Name != name {
			t.Errorf("%s: %v, want %v: %v", name, p.Elem().Kind, kind, err)
		}
	}
	if list, err := ts.ByName("two", symbols.KindStruct); len(list) != 2 || list[0].Members[0].Name != "a" || list[1].Members[0].Name != "b" {
		t.Errorf("two: %v: %v", list, err)
	}
	if list, err := ts.ByName("none", symbols.KindForward); len(list) != 1 {
		t.Errorf("none: %v: %v", list, err)
	}
	if _, err := ts.ByName("none", symbols.KindStruct); !errors.Is(err, symbols.ErrNoType) {
		t.Error(err)
	}
}

// TestTypesDamaged sets every byte of a file to telling values: what is said may then be
// wrong, but it ends, and each error has its reason.
func TestTypesDamaged(t *testing.T) {
	m := newMaker(binary.LittleEndian)
	integer := m.add(dwarf.TagBaseType, false, text("int"), number(dwarf.AttrByteSize, 4), number(dwarf.AttrEncoding, 5))
	m.add(dwarf.TagStructureType, true, text("node"), number(dwarf.AttrByteSize, 16))
	m.add(dwarf.TagMember, false, text("v"), m.ref(integer), number(dwarf.AttrDataMemberLoc, 0), number(dwarf.AttrBitSize, 3), number(dwarf.AttrBitOffset, 2))
	m.add(dwarf.TagMember, false, text("next"), m.ref(m.add(dwarf.TagPointerType, false, m.ref(integer+10))), number(dwarf.AttrDataMemberLoc, 8))
	m.end()
	grid := m.add(dwarf.TagArrayType, true, m.ref(integer))
	m.add(dwarf.TagSubrangeType, false, number(dwarf.AttrUpperBound, 1))
	m.end()
	m.add(dwarf.TagTypedef, false, text("grid_t"), m.ref(grid))
	m.add(dwarf.TagEnumerationType, true, number(dwarf.AttrByteSize, 4))
	m.add(dwarf.TagEnumerator, false, text("ONE"), number(dwarf.AttrConstValue, 1))
	m.end()
	m.add(dwarf.TagVariable, false, text("here"), m.ref(grid), val{dwarf.AttrLocation, dwarf.FormBlock1, []byte{9, 3, 1, 2, 3, 4, 5, 6, 7, 8}})
	info, abbrev := m.info, m.abbrev
	for _, part := range []*[]byte{&m.info, &m.abbrev} {
		whole := *part
		for at := range whole {
			for _, v := range []byte{0, 1, 2, 7, 0x17, 0x7f, 0x80, 0xff} {
				*part = append([]byte(nil), whole...)
				(*part)[at] = v
				useTypes(t, m.open(t))
			}
		}
		m.info, m.abbrev = info, abbrev
	}
}

// useTypes asks for everything that there is to ask.
func useTypes(t *testing.T, f *dwarf.File) {
	t.Helper()
	ts, err := f.Types()
	if err != nil {
		t.Fatal(err)
	}
	for typ, err := range ts.All() {
		if err != nil && phys.Reason(err) == nil {
			t.Fatalf("type %#x: %v has no reason", typ.ID, err)
		}
		_ = typ.Declare() + typ.String()
		typ.Size()
		_, _ = typ.Member("next")
	}
	if _, err := ts.Variable("here", 0x0807060504030201); err != nil && phys.Reason(err) == nil && !errors.Is(err, symbols.ErrNoType) {
		t.Fatalf("%v has no reason", err)
	}
}
