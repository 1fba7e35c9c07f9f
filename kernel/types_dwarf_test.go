package kernel_test

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/kautopsy/kautopsy/symbols"
)

// TestTypesAsDWARF compares the types in the small kernel's memory with those in the
// vmlinux it was made from: pahole made the one from the other.
func TestTypesAsDWARF(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	t.Parallel()
	packed, err := os.ReadFile(tiny + "/vmlinux.debug.xz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := xz.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	vmlinux, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	data, err := vmlinux.DWARF()
	if err != nil {
		t.Fatal(err)
	}
	c := dwarfComparison{t: t, data: data, btf: readBTF(t, openKernel(t, tiny+"/vmcore.zlib")), seen: map[string]bool{}}
	c.run()
	t.Logf("%d structs and unions with %d members, %d enums as in DWARF", c.structs, c.members, c.enums)
	if c.structs < 1500 || c.members < 12000 || c.enums < 290 {
		t.Error("that is not enough")
	}
}

// dwarfComparison looks at each type of DWARF once, by its kind, name and size.
type dwarfComparison struct {
	t                       *testing.T
	data                    *dwarf.Data
	btf                     *symbols.BTF
	seen                    map[string]bool
	structs, members, enums int
}

func (c *dwarfComparison) run() {
	for r := c.data.Reader(); ; {
		e, err := r.Next()
		if err != nil {
			c.t.Fatal(err)
		}
		if e == nil {
			return
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		size, defined := e.Val(dwarf.AttrByteSize).(int64)
		key := fmt.Sprint(e.Tag, name, size)
		if name != "" && defined && !c.seen[key] {
			c.seen[key] = true
			c.compare(e, name)
		}
		if e.Children && e.Tag != dwarf.TagCompileUnit {
			r.SkipChildren()
		}
	}
}

// compare looks for a type of BTF that says what DWARF says.
func (c *dwarfComparison) compare(e *dwarf.Entry, name string) {
	kinds := map[dwarf.Tag]symbols.Kind{
		dwarf.TagStructType: symbols.KindStruct, dwarf.TagUnionType: symbols.KindUnion, dwarf.TagEnumerationType: symbols.KindEnum,
	}
	kind, ok := kinds[e.Tag]
	if !ok {
		return
	}
	typ, err := c.data.Type(e.Offset)
	if err != nil {
		c.t.Fatal(err)
	}
	var want []string
	switch d := typ.(type) {
	case *dwarf.StructType:
		c.structs++
		c.members += len(d.Field)
		want = dwarfFields(d)
	case *dwarf.EnumType:
		c.enums++
		for _, v := range d.Val {
			want = append(want, fmt.Sprint(v.Name, " = ", v.Val))
		}
	}
	found, err := c.btf.ByName(name, kind)
	if err != nil {
		c.t.Error(err)
		return
	}
	var got []string
	for _, f := range found {
		if got = btfFields(f); f.Size() == uint64(typ.Common().ByteSize) && slices.Equal(got, want) {
			return
		}
	}
	c.t.Errorf("%v %s\nDWARF %q\nBTF   %q", kind, name, want, got)
}

// dwarfFields spells the members of a struct: place, width and name.
func dwarfFields(d *dwarf.StructType) (list []string) {
	for _, f := range d.Field {
		at := f.ByteOffset * 8
		if f.BitSize != 0 {
			at += f.DataBitOffset
		}
		list = append(list, fmt.Sprintf("%s at %d, %d bytes, %d bits", f.Name, at, max(f.Type.Size(), 0), f.BitSize))
	}
	return list
}

func btfFields(t *symbols.Type) (list []string) {
	for _, m := range t.Members {
		list = append(list, fmt.Sprintf("%s at %d, %d bytes, %d bits", m.Name, m.Offset, m.Type().Size(), m.Bits))
	}
	for _, v := range t.Values {
		list = append(list, fmt.Sprint(v.Name, " = ", v.Value))
	}
	return list
}
