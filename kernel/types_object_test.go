package kernel_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// tinyTypes are real types for objects that a test puts into memory.
func tinyTypes(t testing.TB) *symbols.BTF { return readBTF(t, openKernel(t, tiny+"/vmcore.zlib")) }

func find(t testing.TB, ts symbols.Types, name string) *symbols.Type {
	t.Helper()
	typ, err := symbols.Find(ts, name)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// putTask writes members of a task_struct to memory.
func putTask(t testing.TB, m *machine, task *symbols.Type, members map[string][]byte) uint64 {
	t.Helper()
	va := m.pages(int(task.Size())/pageSize + 1)
	for path, b := range members {
		at, err := task.Member(path)
		if err != nil {
			t.Fatal(err)
		}
		off, _ := at.Bytes()
		m.put(va+off, b)
	}
	return va
}

// TestObject reads members of every kind.
func TestObject(t *testing.T) {
	m := newMachine(t)
	task := find(t, tinyTypes(t), "struct task_struct")
	parent := m.alloc(64)
	va := putTask(t, m, task, map[string][]byte{
		"pid": m.u32(1234), "prio": m.u32(^uint32(19)), "comm": []byte("a_name_of_16_byt"), "real_parent": m.long(parent),
		"tasks.prev": m.long(0x1234), "in_execve": {0xff, 0xff, 0xff, 0xff}, "cpus_mask.bits": m.long(6), "utime": m.long(1 << 40),
	})
	o := m.kernel().Object(task, va)
	f := o.Fields()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"pid", f.Int("pid"), int64(1234)},
		{"a negative prio", f.Int("prio"), int64(-20)},
		{"its bits", f.Uint("prio"), uint64(0xffffffec)},
		{"comm", f.Text("comm"), "a_name_of_16_byt"},
		{"parent", f.Pointer("real_parent"), parent},
		{"a path", f.Pointer("tasks.prev"), uint64(0x1234)},
		{"a bitfield", f.Uint("in_execve"), uint64(1)},
		{"an array", f.Uint("cpus_mask.bits[0]"), uint64(6)},
		{"a typedef", f.Uint("utime"), uint64(1 << 40)},
		{"the first that exists", f.Int("none", "neither", "pid"), int64(1234)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, not %v", c.what, c.got, c.want)
		}
	}
	if err := f.Err(); err != nil {
		t.Error(err)
	}
	up, err := o.Follow("real_parent")
	if err != nil || up.Addr != parent || up.Type != task {
		t.Errorf("%v at %#x, %v", up.Type, up.Addr, err)
	}
	bits, err := o.Member("cpus_mask.bits")
	if err != nil {
		t.Fatal(err)
	}
	first, err := bits.Index(0)
	if v, err2 := first.Uint(); v != 6 || err != nil || err2 != nil {
		t.Error(v, err, err2)
	}
	if _, err := bits.Index(1 << 20); !errors.Is(err, symbols.ErrNoMember) {
		t.Error(err)
	}
}

// TestObjectAbsent: what cannot be read says what it was, where, and why.
func TestObjectAbsent(t *testing.T) {
	m := newMachine(t)
	ts := tinyTypes(t)
	task := find(t, ts, "struct task_struct")
	here, gone, lost, broken := m.page(), m.page(), m.page(), m.page()
	m.exclude(gone)
	m.lose(lost)
	m.corrupt(broken)
	k := m.kernel()
	for va, reason := range map[uint64]error{gone: phys.ErrExcluded, lost: phys.ErrLost, broken: phys.ErrCorrupt, 16: phys.ErrUnmapped} {
		o := k.Object(task, va)
		_, err1 := o.Int("pid")
		_, err2 := o.Text("comm")
		_, err3 := o.Follow("mm")
		_, err4 := o.Bytes("tasks")
		for _, err := range []error{err1, err2, err3, err4} {
			var ve *kernel.VirtError
			if !errors.Is(err, reason) || !errors.As(err, &ve) {
				t.Errorf("%#x: %v is not %v", va, err, reason)
			}
		}
		if !strings.HasPrefix(err1.Error(), "pid at ") {
			t.Error(err1)
		}
	}
	o := k.Object(task, here)
	for what, c := range map[string]struct {
		read   func() error
		reason error
	}{
		"NULL":         {func() error { _, err := o.Follow("mm"); return err }, phys.ErrUnmapped},
		"no member":    {func() error { _, err := o.Int("no", "none"); return err }, symbols.ErrNoMember},
		"a struct":     {func() error { _, err := o.Uint("tasks"); return err }, phys.ErrUnsupported},
		"no pointer":   {func() error { _, err := o.Pointer("pid"); return err }, phys.ErrUnsupported},
		"no such type": {func() error { _, err := k.Global(ts, "linux_banner"); return err }, nil},
	} {
		if err := c.read(); err == nil || c.reason != nil && !errors.Is(err, c.reason) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, read := range map[string]func(kernel.Object) error{
		"Uint":   func(o kernel.Object) error { _, err := o.Uint("pid"); return err },
		"Int":    func(o kernel.Object) error { _, err := o.Int(); return err },
		"Follow": func(o kernel.Object) error { _, err := o.Follow("mm"); return err },
		"Index":  func(o kernel.Object) error { _, err := o.Index(1); return err },
		"Text":   func(o kernel.Object) error { _, err := o.Text("comm"); return err },
		"Bytes":  func(o kernel.Object) error { _, err := o.Bytes(); return err },
	} {
		if err := read(kernel.Object{}); !errors.Is(err, symbols.ErrNoType) {
			t.Errorf("%s of no object: %v", what, err)
		}
	}
	f := o.Fields()
	f.Int("none")
	f.Text("nothing")
	if f.Int("pid") != 0 || !errors.Is(f.Err(), symbols.ErrNoMember) || !strings.Contains(f.Err().Error(), `"none"`) || strings.Contains(f.Err().Error(), "nothing") {
		t.Error(f.Err())
	}
}

// TestObjectText reads strings that pointers lead to.
func TestObjectText(t *testing.T) {
	m := newMachine(t)
	charPtr := find(t, tinyTypes(t), "char").PointerTo(8)
	long := strings.Repeat("0123456789", 300)
	edge, gone, far := m.page(), m.page(), m.pages(3)
	m.exclude(gone)
	m.put(gone-6, []byte("last\x00"))
	m.put(edge, []byte(strings.Repeat("x", 100)+"\x00y"))
	m.put(far, append([]byte(strings.Repeat("z", 3*pageSize-1)), 0))
	cut := m.object(append([]byte(long), 0))
	pointers := map[uint64]uint64{}
	for _, va := range []uint64{0, gone - 6, edge, cut, far, gone} {
		pointers[va] = m.object(m.long(va))
	}
	k := m.kernel()
	text := func(va uint64) (string, error) { return k.Object(charPtr, pointers[va]).Text() }
	if s, err := k.Object(charPtr.Elem().ArrayOf(0), edge).Text(); len(s) != 100 || err != nil {
		t.Errorf("flexible array: %q, %v", s, err)
	}
	for va, want := range map[uint64]string{0: "", gone - 6: "last", edge: strings.Repeat("x", 100), cut: long} {
		if s, err := text(va); s != want || err != nil {
			t.Errorf("%#x: %q, %v", va, s, err)
		}
	}
	if s, err := text(far); len(s) != 4096 || !errors.Is(err, phys.ErrLimit) {
		t.Error(len(s), err)
	}
	if s, err := text(gone); s != "" || !errors.Is(err, phys.ErrExcluded) {
		t.Error(s, err)
	}
}

// TestList walks lists that close, that lead back into themselves, and that are cut.
func TestList(t *testing.T) {
	m := newMachine(t)
	module := find(t, tinyTypes(t), "struct module")
	member, err := module.Member("list")
	if err != nil {
		t.Fatal(err)
	}
	off := member.Offset / 8
	ring := func(n int) (head uint64, nodes []uint64) {
		head = m.alloc(16)
		at := head
		for range n {
			node := m.alloc(64)
			m.put(at, m.long(node+off))
			nodes, at = append(nodes, node), node+off
		}
		m.put(at, m.long(head))
		return head, nodes
	}
	whole, nodes := ring(5)
	loop, again := ring(5)
	m.put(again[4]+off, m.long(again[2]+off))
	empty, _ := ring(0)
	cut, last := ring(3)
	m.put(last[2]+off, m.long(0x18))
	k := m.kernel()
	for _, c := range []struct {
		head  uint64
		want  []uint64
		cause error
	}{{whole, nodes, nil}, {empty, nil, nil}, {loop, again, phys.ErrCorrupt}, {cut, last, phys.ErrUnmapped}} {
		var got []uint64
		var cause error
		for o, err := range k.List(t.Context(), c.head, module, "list") {
			if cause = err; err == nil {
				got = append(got, o.Addr)
			}
		}
		if !slices.Equal(got, c.want) || !errors.Is(cause, c.cause) {
			t.Errorf("%x, not %x; %v", got, c.want, cause)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range k.List(ctx, whole, module, "list") {
		if !errors.Is(err, ctx.Err()) {
			t.Error(err)
		}
	}
	for _, err := range k.List(t.Context(), whole, module, "no_list") {
		if !errors.Is(err, symbols.ErrNoMember) {
			t.Error(err)
		}
	}
}
