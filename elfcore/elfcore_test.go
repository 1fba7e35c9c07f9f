package elfcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// expect is a read and its result: n bytes of the file from offset off on, then why.
type expect struct {
	addr phys.Addr
	size int
	n    int
	off  int
	why  error
}

func (e expect) check(t *testing.T, f *File) {
	t.Helper()
	buf := make([]byte, e.size)
	n, err := f.ReadPhys(buf, e.addr)
	if n != e.n || phys.Reason(err) != e.why || (err == nil) != (n == e.size) {
		t.Errorf("%d bytes at %#x: %d, %v; want %d, %v", e.size, e.addr, n, err, e.n, e.why)
		return
	}
	for i, b := range buf[:n] {
		if b != fill(e.off+i) {
			t.Errorf("%#x: byte %d is %#x, want that of file offset %#x", e.addr, i, b, e.off+i)
			return
		}
	}
}

func TestSegments(t *testing.T) {
	ones := ^uint64(0)
	for _, c := range []struct {
		name     string
		core     core
		reads    []expect
		problems int // how many
	}{
		{"unaligned, adjacent and with a hole between", core{segs: []phdr{
			load(0x1000, 0x10c00, 0x300, 0x300), load(0x2222, 0x10f00, 0x200, 0x200), load(0x3000, 0x12000, 0x10, 0x10),
		}}, []expect{
			{0x10c00, 0x300, 0x300, 0x1000, nil},
			{0x10f00, 0x200, 0x200, 0x2222, nil},
			{0x11080, 0x100, 0x80, 0x23a2, phys.ErrHole},
			{0x11100, 8, 0, 0, phys.ErrHole},
			{0x10000, 8, 0, 0, phys.ErrHole},
		}, 0},
		{"makedumpfile -E: a tail left out, a whole segment with offset 0", core{segs: []phdr{
			load(0x1000, 0x10000, 0x800, 0x2000), load(0, 0x20000, 0, 0x1000),
		}}, []expect{
			{0x10700, 0x200, 0x100, 0x1700, phys.ErrExcluded},
			{0x11000, 8, 0, 0, phys.ErrExcluded},
			{0x20000, 8, 0, 0, phys.ErrExcluded},
		}, 0},
		{"QEMU: offset -1 is not saved", core{segs: []phdr{
			load(0x1000, 0x10000, 0x800, 0x800), load(ones, 0x20000, 0x1000, 0x1000),
		}}, []expect{{0x20010, 8, 0, 0, phys.ErrExcluded}}, 0},
		{"filesz beyond memsz is clamped", core{segs: []phdr{
			load(0x1000, 0x10000, 0x2000, 0x1000),
		}}, []expect{{0x10ff8, 16, 8, 0x1ff8, phys.ErrHole}}, 1},
		{"overlap: data wins over a tail, then the lower index", core{segs: []phdr{
			load(0x1000, 0x10000, 0x100, 0x1000), load(0x2000, 0x10080, 0x800, 0x800), load(0x3000, 0x10090, 0x1000, 0x1000),
		}}, []expect{
			{0x10000, 0x100, 0x100, 0x1000, nil},
			{0x10100, 0x780, 0x780, 0x2080, nil},
			{0x10880, 0x810, 0x810, 0x37f0, nil},
		}, 0},
		{"zero-sized and virtual-only segments have no memory", core{segs: []phdr{
			load(0x1000, 0x10000, 0, 0), load(0x1000, ones, 0x100, 0x100), load(0x1000, 0x20000, 0x100, 0x100),
			{typ: 0x6474e551, offset: 0x1000, paddr: 0x30000, filesz: 16, memsz: 16},
		}}, []expect{
			{0x10000, 1, 0, 0, phys.ErrHole}, {0x30000, 1, 0, 0, phys.ErrHole}, {0x20000, 0x100, 0x100, 0x1000, nil},
		}, 0},
		{"end beyond the address space", core{segs: []phdr{
			load(0x1000, 0x10000, 0x100, ones-0x100),
		}}, []expect{{0x100f0, 32, 16, 0x10f0, phys.ErrExcluded}}, 0},
		{"truncated: the segment behind the end is lost", core{size: 0x1800, segs: []phdr{
			load(0x1000, 0x10000, 0x1000, 0x1000), load(0x2000, 0x20000, 0x1000, 0x1000),
		}}, []expect{
			{0x107f0, 32, 16, 0x17f0, phys.ErrLost}, {0x20000, 8, 0, 0, phys.ErrLost},
		}, 1},
		{"truncated: another segment's data is better than the loss", core{size: 0x1800, segs: []phdr{
			load(0x2000, 0x10000, 0x1000, 0x1000), load(0x1000, 0x10000, 0x10, 0x1000),
		}}, []expect{{0x10000, 32, 16, 0x1000, phys.ErrLost}}, 1},
		{"one segment at 0", core{segs: []phdr{{typ: ptLoad, offset: 0x1000, filesz: 0x100, memsz: 0x100}}}, []expect{
			{0, 0x100, 0x100, 0x1000, nil},
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := open(c.core.build())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.reads {
				e.check(t, f)
			}
			if len(f.Problems) != c.problems {
				t.Errorf("problems %v, want %d", f.Problems, c.problems)
			}
			for run := range f.Runs() {
				if run.Len() > 1<<30 { // the run that ends with the address space
					return
				}
			}
			checkRuns(t, &f.Memory)
		})
	}
}

func TestTailSaysThatItCannotTell(t *testing.T) {
	f, err := open(core{segs: []phdr{load(0x1000, 0x10000, 0x100, 0x2000)}}.build())
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.ReadPage(0x11, make([]byte, 4096))
	if !errors.Is(err, phys.ErrExcluded) || !strings.Contains(err.Error(), "excluded or all zero: makedumpfile -E cannot tell") {
		t.Errorf("error %v", err)
	}
}

// TestForms opens the same memory in each class and byte order, with the table's place,
// stride and count told in each way.
func TestForms(t *testing.T) {
	segs := []phdr{load(0x1000, 0x10000, 0x200, 0x200), load(0x1200, 0x20000, 0x100, 0x100)}
	for i := range segs {
		segs[i].vaddr = 0xc0000000 + segs[i].paddr
	}
	for _, class := range []int{32, 64} {
		for _, o := range []order{binary.LittleEndian, binary.BigEndian} {
			for _, c := range []core{{}, {phoff: 192}, {phentsize: 72}, {xnum: inSection}, {phoff: 0x800, xnum: inSection}} {
				c.class, c.order, c.segs = class, o, segs
				c.notes = note(o, "CORE", 1, "registers")
				f, err := open(c.build())
				if err != nil {
					t.Fatalf("%d %v %+v: %v", class, o, c, err)
				}
				expect{0x20080, 0x80, 0x80, 0x1280, nil}.check(t, f)
				if f.Header.Order != binary.ByteOrder(o) || f.Header.Class != class || len(f.Notes) != 1 || len(f.Problems) != 0 || f.Incomplete {
					t.Errorf("%d %v: %+v", class, o, f)
				}
				want := Segment{0xc0010000, phys.Span{Start: 0x10000, End: 0x10200}}
				if len(f.Segments) != 2 || f.Segments[0] != want {
					t.Errorf("%d %v: segments %v", class, o, f.Segments)
				}
			}
		}
	}
}

// TestPNXNum: a count that is not told is 65535, of which the file has fewer.
func TestPNXNum(t *testing.T) {
	for _, x := range []xnum{noSection, cutOff} {
		c := core{xnum: x, segs: []phdr{load(0x4000, 0x10000, 0x200, 0x200)}}
		f, err := open(c.build())
		if err != nil {
			t.Fatal(err)
		}
		expect{0x10000, 0x200, 0x200, 0x4000, nil}.check(t, f)
		if !f.Incomplete || len(f.Problems) == 0 {
			t.Errorf("%v: %v", x, f.Problems)
		}
	}
}

func TestManySegments(t *testing.T) {
	const n = 70000 // more than e_phnum holds
	var segs []phdr
	for i := range uint64(n) {
		segs = append(segs, load(0x500000+i&0xff*16, i*0x20000, 16, 16))
	}
	f, err := open(core{xnum: inSection, segs: segs, size: 0x600000}.build())
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for run := range f.Runs() {
		if run.Why != phys.ErrHole { // 16 bytes of a page
			t.Fatal(run)
		}
		runs++
	}
	if runs != n || f.MaxPFN() != (n-1)*0x20+1 {
		t.Errorf("%d runs, MaxPFN %#x", runs, f.MaxPFN())
	}
}

func TestIncomplete(t *testing.T) {
	segs := []phdr{load(0x1000, 0x10000, 0x100, 0x100)}
	for _, c := range []struct {
		core core
		want bool
	}{
		{core{segs: segs}, false},
		{core{segs: segs, flags: 1}, true},
		{core{segs: segs, flags: 1, machine: machinePPC64}, false}, // fadump: the ABI's version
		{core{segs: segs, flags: 1, machine: machinePPC64, size: 0x1080}, true},
		{core{segs: segs, flags: 2}, false},
		{core{segs: segs, size: 0x10ff}, true},
		{core{segs: segs, size: 0x70}, true}, // in the middle of the program headers
	} {
		f, err := open(c.core.build())
		if err != nil {
			t.Fatal(err)
		}
		if f.Incomplete != c.want {
			t.Errorf("flags %d, machine %d, size %#x: incomplete is %v", c.core.flags, c.core.machine, c.core.size, f.Incomplete)
		}
		for _, p := range f.Problems {
			if !errors.Is(p, phys.ErrLost) {
				t.Errorf("problem %v has no reason", p)
			}
		}
	}
}

func TestNotes(t *testing.T) {
	le := binary.LittleEndian
	info := note(le, "VMCOREINFO", 0, "OSRELEASE=6.1.0\nPAGESIZE=65536\n")
	c := core{notes: info, machine: 183, segs: []phdr{
		load(0x1000, 0x10000, 0x100, 0x100),
		{typ: ptNote, offset: 0x2000, filesz: 0x20, memsz: 8}, // grown by makedumpfile
		{typ: ptNote, offset: 0x2ff0, filesz: 0x20, memsz: 0x20},
	}, size: 0x3000}
	f, err := open(c.build())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Notes) != 3 || len(f.Notes[1]) != 0x20 || len(f.Notes[2]) != 0x10 {
		t.Errorf("note areas %d", len(f.Notes))
	}
	if f.PageSize() != 65536 || f.MaxPFN() != 2 || f.Header.Arch() != "aarch64" {
		t.Errorf("page size %d, MaxPFN %d, arch %q", f.PageSize(), f.MaxPFN(), f.Header.Arch())
	}
	if !slices.ContainsFunc(f.Problems, func(e error) bool { return errors.Is(e, phys.ErrLost) }) {
		t.Errorf("problems %v", f.Problems)
	}
}

func TestPageSizeOf(t *testing.T) {
	for text, want := range map[string]int{
		"PAGESIZE=4096\n": 4096, "X=1\nPAGESIZE=16384\nY=2": 16384, "PAGESIZE=65536": 65536,
		"": 0, "PAGESIZE=\n": 0, "PAGESIZE=0": 0, "PAGESIZE=5000": 0, "PAGESIZE=99999999999": 0, "PAGESIZE=2097152": 0, "XPAGESIZE=4096": 0,
	} {
		if got := pageSizeOf([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestArch(t *testing.T) {
	for _, c := range []struct {
		class   int
		order   binary.ByteOrder
		machine uint16
		arch    string
		ptr     int
	}{
		{64, binary.LittleEndian, 62, "x86_64", 8},
		{64, binary.LittleEndian, 3, "i686", 4},
		{32, binary.LittleEndian, 40, "armv7l", 4},
		{64, binary.LittleEndian, 40, "armv7l", 4},
		{64, binary.BigEndian, 22, "s390x", 8},
		{32, binary.BigEndian, 22, "s390", 4},
		{64, binary.LittleEndian, 21, "ppc64le", 8},
		{64, binary.BigEndian, 21, "ppc64", 8},
		{32, binary.LittleEndian, 243, "riscv32", 4},
		{64, binary.LittleEndian, 258, "loongarch64", 8},
		{64, binary.LittleEndian, 9999, "", 8},
	} {
		h := Header{Class: c.class, Order: c.order, Machine: c.machine}
		if h.Arch() != c.arch || h.PtrSize() != c.ptr {
			t.Errorf("machine %d class %d %v: %q, %d", c.machine, c.class, c.order, h.Arch(), h.PtrSize())
		}
	}
}

// TestDispatch: what is no dump is refused by name.
func TestDispatch(t *testing.T) {
	le := binary.LittleEndian
	user := append(note(le, "CORE", 3, "psinfo"), note(le, "CORE", 6, "auxv")...)
	kcore := append(note(le, "CORE", 3, "psinfo"), note(le, "CORE", 4, "task")...)
	info := note(le, "VMCOREINFO", 0, "OSRELEASE=6.1\n")
	at0 := phdr{typ: ptLoad, offset: 0x1000, vaddr: 0x400000, filesz: 16, memsz: 16}
	kernelText := phdr{typ: ptLoad, offset: 0x1000, vaddr: 0xffffffff81000000, paddr: 0x1000000, filesz: 16, memsz: 16}
	one := []phdr{load(0x1000, 0x10000, 16, 16)}
	for _, c := range []struct {
		core core
		want string // "" is a dump
	}{
		{core{typ: typeExec, segs: []phdr{kernelText}}, "vmlinux"},
		{core{typ: typeDyn, segs: []phdr{at0}, sections: []string{".text", "__ksymtab"}}, "vmlinux"},
		{core{typ: typeExec, segs: []phdr{at0}}, "a program or shared library"},
		{core{typ: typeRel, sections: []string{".text", ".modinfo"}}, "a kernel module"},
		{core{typ: typeRel, sections: []string{".text"}}, "an object file"},
		{core{sections: []string{".note.Xen", ".xen_pages"}}, "a Xen domain core"},
		{core{segs: one, sections: []string{"pv_mem_meta"}}, "an encrypted dump of a protected s390 guest"},
		{core{sections: []string{"md_KELF", "md_LOGBUF"}}, "a Qualcomm minidump, 2 regions"},
		{core{segs: []phdr{at0, at0}, notes: user}, "the core of a user process"},
		{core{segs: []phdr{at0}, notes: user}, "the core of a user process"},
		{core{segs: []phdr{at0}, notes: append(user, info...)}, ""},
		{core{segs: one, notes: kcore, size: 0x800}, "a copy of /proc/kcore without its memory"},
		{core{segs: one, notes: kcore}, ""}, // netdump, or /proc/kcore itself
		{core{segs: []phdr{at0, at0}, notes: kcore}, "no physical addresses"},
		{core{segs: []phdr{load(0x1000, ^uint64(0), 16, 16)}, notes: info}, "no physical addresses"},
		{core{}, "without memory and notes"},
		{core{notes: info}, ""},
	} {
		_, err := open(c.core.build())
		var not *NotCore
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c.core, err)
		case c.want != "" && (!errors.As(err, &not) || !strings.Contains(err.Error(), c.want) || not.Do == "" || !errors.Is(err, phys.ErrUnsupported)):
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestTooManyProgramHeaders(t *testing.T) {
	h := core{xnum: inSection, segs: []phdr{load(0x1000, 0x10000, 16, 16)}}.build()
	shoff := int(binary.LittleEndian.Uint64(h[40:]))
	binary.LittleEndian.PutUint32(h[shoff+44:], ^uint32(0))
	if f, err := open(h); err != nil || !f.Incomplete {
		t.Errorf("more than the file has: %v", err)
	}
	// A sparse file is large enough for them; nothing of it may be read into memory.
	_, err := New(zeros{h}, 1<<40)
	if !errors.Is(err, phys.ErrLimit) {
		t.Errorf("2^32 of them in a file of 1 TiB: %v", err)
	}
}

// zeros is a file that goes on with zeros for ever.
type zeros struct{ head []byte }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z.head)) {
		copy(p, z.head[off:])
	}
	return len(p), nil
}

func Example() {
	file := core{machine: 62, segs: []phdr{load(0x1000, 0x100000, 0x2000, 0x4000)}}.build()
	f, err := open(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	for run := range f.Runs() {
		fmt.Printf("pages %#x-%#x: %v\n", run.Start, run.End, run.Why)
	}
	var b [8]byte
	_, err = f.ReadPhys(b[:], 0x103000)
	fmt.Println(errors.Is(err, phys.ErrExcluded))
	// Output:
	// pages 0x100-0x102: <nil>
	// pages 0x102-0x104: excluded or all zero: makedumpfile -E cannot tell: excluded by the dump filter
	// true
}
