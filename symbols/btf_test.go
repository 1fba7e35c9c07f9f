package symbols

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/phys"
)

var orders = []order{binary.LittleEndian, binary.BigEndian}

// TestBTFDeclare prints one type of every kind, in both byte orders.
func TestBTFDeclare(t *testing.T) {
	want := map[string]string{
		"struct task_struct": `struct task_struct {
    u32 __state;
    u32 in_execve : 1;
    u32 policy : 10;
    struct mm_struct *mm;
    struct list_head tasks;
    union {
        struct {
            u32 lock;
            struct list_head *owner;
        };
        unsigned long raw;
    };
    union {
        struct {
            u32 lock;
            struct list_head *owner;
        };
        unsigned long raw;
    } table[3];
    int (* const op)(const char * restrict, volatile unsigned long, ...);
    enum task_state state;
    unsigned long *hits;
    char comm[16];
}`,
		"enum task_state": "enum task_state {DEAD = -1, RUNNING, PARKED = 64}",
		"enum wide":       "enum wide {LOW = 1, HIGH = 9223372036854775810}",
		"u32":             "typedef unsigned int u32;",
		"unsigned long":   "unsigned long",
	}
	for _, o := range orders {
		b := everyKind(o).read(t, nil)
		for name, text := range want {
			typ, err := Find(b, name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text, typ.Declare()); diff != "" {
				t.Errorf("%v: %s (-want +got):\n%s", o, name, diff)
			}
		}
	}
}

// TestBTFOthers: kinds that C has no declaration of by name.
func TestBTFOthers(t *testing.T) {
	b := everyKind(binary.LittleEndian).read(t, nil)
	for _, c := range []struct {
		kind Kind
		name string
		want string
	}{
		{KindFunc, "vfs_read", "int vfs_read(const char * restrict, volatile unsigned long, ...);"},
		{KindVar, "current_task", "struct task_struct *current_task;"},
		{KindDataSec, ".data..percpu", "section .data..percpu {\n    struct task_struct *current_task;\n}"},
		{KindForward, "mm_struct", "struct mm_struct"},
		{KindForward, "either", "union either"},
		{KindFloat, "double", "double"},
		{KindTag, "percpu", "unsigned long"},
		{KindDeclTag, "kfunc", "declaration tag kfunc"},
	} {
		found, err := b.ByName(c.name, c.kind)
		if err != nil || len(found) != 1 {
			t.Fatal(c.name, found, err)
		}
		if got := found[0].Declare(); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
	section, _ := b.ByName(".data..percpu", KindDataSec)
	if m, err := section[0].Member("current_task"); m.Offset != 8*64 || m.Type().Kind != KindPointer || err != nil {
		t.Error(m, err)
	}
}

// TestTypeMember finds members by their paths.
func TestTypeMember(t *testing.T) {
	b := everyKind(binary.LittleEndian).read(t, nil)
	task, err := Find(b, "struct task_struct")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path      string
		off, size uint64
		typ       string
	}{
		{"comm", 120, 16, "char [16]"},
		{"comm[15]", 135, 1, "char"},
		{"tasks.prev", 24, 8, "struct list_head *"},
		{"lock", 32, 4, "u32"},
		{"owner", 40, 8, "struct list_head *"},
		{"raw", 32, 8, "unsigned long"},
		{"table[2].owner", 88, 8, "struct list_head *"},
		{"table[0x1]", 64, 16, "union {...}"},
		{"policy", 4, 2, "u32"},
		{"in_execve", 4, 1, "u32"},
		{"op", 96, 8, "int (* const)(const char * restrict, volatile unsigned long, ...)"},
		{"state", 104, 4, "enum task_state"},
	} {
		m, err := task.Member(c.path)
		if err != nil {
			t.Error(err)
			continue
		}
		off, size := m.Bytes()
		if off != c.off || size != c.size || m.Type().String() != c.typ || m.Name != c.path {
			t.Errorf("%s %q is %d bytes at %d, of type %q", c.path, m.Name, size, off, m.Type())
		}
	}
	for _, path := range []string{"", "nothing", "comm[16]", "comm[x]", "comm[-1]", "comm.a", "tasks.next.next", "tasks[0]", ".", "comm[", "comm[1", "comm[1]]", "table[1][1]"} {
		if m, err := task.Member(path); !errors.Is(err, ErrNoMember) {
			t.Errorf("%q is at %d, %v", path, m.Offset, err)
		}
	}
	m, err := task.OneOf("state_of_5_13", "__state", "comm")
	if m.Name != "__state" || err != nil {
		t.Error(m, err)
	}
	_, err = task.OneOf("no", "none")
	if want := `struct task_struct: none of ["no" "none"]: no such member`; !errors.Is(err, ErrNoMember) || err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
}

// TestMemberBits compares bitfields with how the kernel takes them out: bit by bit.
func TestMemberBits(t *testing.T) {
	p := []byte{0xa5, 0x3c, 0x96, 0x0f, 0x81, 0x7e, 0xd2, 0x4b, 0xe7, 0x18}
	signed := &Type{Kind: KindInt, Signed: true, size: 8}
	for width := uint64(1); width <= 64; width++ {
		for off := range uint64(8) {
			m := Member{Offset: off, Bits: width, Ref: signed.Ref()}
			_, n := m.Bytes()
			var little, big uint64
			for i := range width {
				at := off + i
				little |= uint64(p[at/8]>>(at%8)&1) << i
				big = big<<1 | uint64(p[at/8]>>(7-at%8)&1)
			}
			if got := m.Uint(p[:n], binary.LittleEndian); got != little {
				t.Errorf("little endian %d bits at %d: %#x, not %#x", width, off, got, little)
			}
			if got := m.Uint(p[:n], binary.BigEndian); got != big {
				t.Errorf("big endian %d bits at %d: %#x, not %#x", width, off, got, big)
			}
			if got, want := m.Int(p[:n], binary.LittleEndian), int64(little<<(64-width))>>(64-width); got != want {
				t.Errorf("%d signed bits at %d: %d, not %d", width, off, got, want)
			}
		}
	}
}

// TestBTFOldBitfields: until pahole 1.12 a bitfield was an integer of few bits.
func TestBTFOldBitfields(t *testing.T) {
	m := newBTFMaker(binary.LittleEndian)
	bits := m.add("unsigned int", 1, 0, 4, 3<<16|5)
	m.aggregate("flags", 4, 8, "a", bits, 32)
	typ, err := Find(m.read(t, nil), "struct flags")
	if err != nil {
		t.Fatal(err)
	}
	if a := typ.Members[0]; a.Offset != 35 || a.Bits != 5 || a.Declare() != "unsigned int a : 5" {
		t.Errorf("%+v %s", a, a.Declare())
	}
}

// TestBTFSplit: the types of a module go on where those of the kernel end.
func TestBTFSplit(t *testing.T) {
	for _, o := range orders {
		kernel := everyKind(o)
		base := kernel.read(t, nil)
		list, err := Find(base, "struct list_head")
		if err != nil {
			t.Fatal(err)
		}
		m := kernel.split()
		m.aggregate("ck_device", 4, 24, "list", uint32(list.ID), 0, "users", uint32(2), 128)
		m.aggregate("list_head", 4, 8, "own", uint32(2), 0)
		module := m.read(t, base)
		device, err := Find(module, "struct ck_device")
		if err != nil {
			t.Fatal(err)
		}
		want := "struct ck_device {\n    struct list_head list;\n    int users;\n}"
		if got := device.Declare(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
		if both, err := module.ByName("list_head", KindStruct); len(both) != 2 || both[0].Size() != 8 || both[1] != list {
			t.Error(both, err)
		}
		if l, err := Find(module, "struct list_head", "prev"); l != list {
			t.Error(l, err)
		}
		if _, err := Find(base, "struct ck_device"); !errors.Is(err, ErrNoType) {
			t.Error(err)
		}
		if own := count(t, module.Own()); own != 2 {
			t.Errorf("%d types of its own", own)
		}
		if all := count(t, module.All()); all != int(kernel.n)+2 {
			t.Errorf("%d types", all)
		}
	}
}

func count(t *testing.T, types func(func(*Type, error) bool)) (n int) {
	t.Helper()
	for typ, err := range types {
		if n++; err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
	return n
}

// TestBTFNewKind: a kind of the future is left out by what the layout section says, and
// named where there is none.
func TestBTFNewKind(t *testing.T) {
	for _, withLayout := range []bool{true, false} {
		m := newBTFMaker(binary.LittleEndian)
		in := m.integer("int", 4, 1)
		strange := m.add("strange", 100, 0x10002, 0)
		m.types = append(m.types, make([]byte, 8+0x10002*12)...)
		m.aggregate("after", 4, 4, "x", in, 0, "y", strange, 0)
		if withLayout {
			m.layout = make([]byte, 4*101)
			m.layout[400], m.layout[401] = 8, 12
		}
		b, err := readBTFBytes(m.bytes(), m.abi(), nil)
		if !withLayout {
			if !errors.Is(err, phys.ErrUnsupported) || !strings.Contains(err.Error(), "kind 100") || b.end() != 2 {
				t.Errorf("without a layout: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		after, err := Find(b, "struct after")
		if err != nil {
			t.Fatal(err)
		}
		if s := after.Members[1].Declare(); s != "<unreadable type 2> y" {
			t.Error(s)
		}
		if _, err := b.ByID(TypeID(strange)); !errors.Is(err, phys.ErrUnsupported) || !strings.Contains(err.Error(), "kind 100") {
			t.Error(err)
		}
	}
}

// TestBTFCircles: types that are made of themselves end.
func TestBTFCircles(t *testing.T) {
	m := newBTFMaker(binary.LittleEndian)
	m.add("loop", 8, 0, 2)
	m.add("loop2", 8, 0, 1)
	m.aggregate("self", 4, 8, "", uint32(3), 0, "", uint32(3), 0)
	m.add("array", 3, 0, 0, 4, 1, 1<<31)
	m.add("endless", 2, 0, 5)
	m.add("call", 13, 2, 6, 0, 6, 0, 6)
	m.add("section", 15, 1, 8, 7, 0, 0)
	b := m.read(t, nil)
	for typ, err := range b.All() {
		if err != nil {
			t.Error(err)
		}
		if s := typ.Declare(); s == "" || len(s) > 1<<21 {
			t.Errorf("type %d takes %d bytes", typ.ID, len(s))
		}
		typ.Size()
		if _, err := typ.Member("x.y"); err == nil {
			t.Errorf("type %d has a member", typ.ID)
		}
	}
	loop, _ := b.ByID(1)
	if err := loop.Underlying().Err(); !errors.Is(err, phys.ErrCorrupt) {
		t.Error(err)
	}
	self, _ := b.ByID(3)
	if _, err := self.Member("x"); !errors.Is(err, phys.ErrLimit) {
		t.Error(err)
	}
}

// TestBTFGaps: types whose memory is absent say so, the others are there.
func TestBTFGaps(t *testing.T) {
	m := newBTFMaker(binary.LittleEndian)
	in := m.integer("int", 4, 1)
	for i := range 400 {
		m.aggregate(fmt.Sprintf("s%d", i), 4, 4, fmt.Sprintf("m%d", i), in, 0)
	}
	p := m.bytes()
	whole := m.read(t, nil)
	for page := uint64(btfVA &^ (minPage - 1)); page < btfVA+uint64(len(p)); page += minPage {
		mem := &image{va: btfVA, b: p, absent: map[uint64]error{page: phys.ErrExcluded}}
		b, err := ReadBTF(mem, m.abi(), btfVA, btfVA+uint64(len(p)), nil)
		if b == nil {
			if !errors.Is(err, phys.ErrExcluded) {
				t.Errorf("page %#x: %v", page, err)
			}
			continue
		}
		for i := range 400 {
			name := fmt.Sprintf("s%d", i)
			typ, err := Find(b, "struct "+name)
			if err != nil {
				continue
			}
			same, _ := whole.ByID(typ.ID)
			if same.Declare() != typ.Declare() && !strings.Contains(typ.Declare(), "unreadable") {
				t.Errorf("page %#x: %s is %s", page, name, typ.Declare())
			}
		}
		for typ, err := range b.All() {
			if err != nil && !errors.Is(err, phys.ErrExcluded) {
				t.Errorf("page %#x: type %d: %v", page, typ.ID, err)
			}
		}
		if _, err := Find(b, "struct nothing"); b.lost != nil && !errors.Is(err, phys.ErrExcluded) {
			t.Errorf("page %#x: %v", page, err)
		}
	}
}

// TestBTFConcurrent: many ask for the same types at once and are given the same.
func TestBTFConcurrent(t *testing.T) {
	b := everyKind(binary.LittleEndian).read(t, nil)
	var wait sync.WaitGroup
	got := make([]*Type, 8)
	for i := range got {
		wait.Go(func() {
			got[i], _ = Find(b, "struct task_struct", "table[1].owner.next")
			got[i], _ = Find(b, "struct task_struct", "table[1].owner")
			_ = got[i].Declare()
		})
	}
	wait.Wait()
	for _, typ := range got {
		if typ == nil || typ != got[0] {
			t.Errorf("%p and %p", typ, got[0])
		}
	}
}

// TestFindBTF finds the types of a kernel among other things that begin like them.
func TestFindBTF(t *testing.T) {
	for _, o := range orders {
		kernel := newBTFMaker(o)
		for i := range 8000 {
			kernel.add(fmt.Sprintf("t%d", i), 8, 0, 0)
		}
		small := everyKind(o).bytes()
		p := append(append(append(make([]byte, 3001), small...), btfMark(kernel.abi())...), make([]byte, 4093)...)
		at := uint64(len(p))
		p = append(append(p, kernel.bytes()...), small...)
		im := Image{ABI: kernel.abi(), Start: btfVA, End: btfVA + uint64(len(p))}
		start, end, err := FindBTF(&image{va: btfVA, b: p}, im)
		if start != btfVA+at || end != start+uint64(len(kernel.bytes())) || err != nil {
			t.Errorf("%v: %#x-%#x, %v", o, start-btfVA, end-btfVA, err)
		}
		gone := map[uint64]error{(btfVA + at) &^ (minPage - 1): phys.ErrLost}
		if _, _, err := FindBTF(&image{va: btfVA, b: p, absent: gone}, im); !errors.Is(err, ErrNoType) || !errors.Is(err, phys.ErrLost) {
			t.Error(err)
		}
		im.End = btfVA + 3000
		if _, _, err := FindBTF(&image{va: btfVA, b: p}, im); !errors.Is(err, ErrNoType) || phys.Reason(err) != nil {
			t.Error(err)
		}
	}
}

// TestBTFDamage sets every word to telling values and cuts the data at every byte: types
// may be wrong then, but never endless, and each error has its reason.
func TestBTFDamage(t *testing.T) {
	m := everyKind(binary.LittleEndian)
	good := m.bytes()
	try := func(what string, p []byte) {
		b, err := readBTFBytes(p, m.abi(), nil)
		if err != nil && phys.Reason(err) == nil {
			t.Errorf("%s: %v has no reason", what, err)
		}
		if b != nil {
			useTypes(t, b)
		}
	}
	for n := range good {
		try(fmt.Sprintf("cut at %d", n), good[:n])
	}
	for off := 0; off < len(good)-4; off += 4 {
		for _, v := range []uint32{0, 1, 7, 1 << 24, 4<<24 | 0xffff, 0x7fffffff, ^uint32(0)} {
			p := append([]byte(nil), good...)
			binary.LittleEndian.PutUint32(p[off:], v)
			try(fmt.Sprintf("%#x at %d", v, off), p)
		}
	}
}

// useTypes asks for everything that there is to ask.
func useTypes(t testing.TB, b *BTF) {
	t.Helper()
	for typ, err := range b.All() {
		if err != nil && phys.Reason(err) == nil {
			t.Errorf("type %d: %v has no reason", typ.ID, err)
		}
		_ = typ.Declare() + typ.String()
		typ.Size()
		if found, err := b.ByName(typ.Name, typ.Kind); typ.Name != "" && err == nil && found[0].Name != typ.Name {
			t.Errorf("type %d: %q is named %q", typ.ID, typ.Name, found[0].Name)
		}
		for _, m := range typ.Members {
			if found, err := typ.Member(m.Name); err == nil && found.Name != m.Name {
				t.Errorf("type %d: member %q is %q", typ.ID, m.Name, found.Name)
			} else if err != nil && !errors.Is(err, ErrNoMember) && phys.Reason(err) == nil {
				t.Errorf("type %d: member %q: %v has no reason", typ.ID, m.Name, err)
			}
			m.Bytes()
		}
	}
}

// FuzzBTF reads, finds and prints every type of what it is given.
func FuzzBTF(f *testing.F) {
	for _, o := range orders {
		m := everyKind(o)
		f.Add(m.bytes(), o == binary.BigEndian)
		m.layout = make([]byte, 80)
		f.Add(m.bytes(), o == binary.BigEndian)
	}
	f.Fuzz(func(t *testing.T, p []byte, big bool) {
		abi := ABI{Order: binary.LittleEndian, PtrSize: 8}
		if big {
			abi = ABI{Order: binary.BigEndian, PtrSize: 4}
		}
		b, err := readBTFBytes(p, abi, nil)
		if err != nil && phys.Reason(err) == nil {
			t.Fatalf("%v has no reason", err)
		}
		if b == nil {
			return
		}
		useTypes(t, b)
		if module, err := readBTFBytes(p, abi, b); err == nil {
			useTypes(t, module)
		}
	})
}
