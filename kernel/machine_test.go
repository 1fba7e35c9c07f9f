package kernel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// machine is the memory of a machine with a kernel in it that a test makes. What is put
// somewhere is in the dump, all else is a hole.
type machine struct {
	t     testing.TB
	arch  string // as uname -m names it
	order dumptest.Order
	word  int    // bytes of a long
	delta uint64 // from a physical address to that of the kernel image
	image dumptest.Image
	info  strings.Builder // VMCOREINFO
	next  uint64          // where alloc goes on
	syms  []symbols.Symbol
}

const (
	pageSize  = 4096
	x86Map    = 0xffffffff80000000 // __START_KERNEL_map
	x86Image  = x86Map + 16<<20    // _stext
	x86Base   = 6 << 20            // phys_base
	x86Direct = 0xffff888000000000 // of the direct map
	vmallocVA = 0xffffc90000002000 // the one page that only the tables map
)

// newMachine is an x86_64 machine whose page tables map 4 MiB of kernel image in large
// pages, all of physical memory in one piece, and one page of vmalloc.
func newMachine(t testing.TB) *machine {
	m := bareMachine(t, "x86_64", binary.LittleEndian, 8, x86Map-x86Base, x86Image)
	root, image, direct := m.page(), m.page(), m.page()
	m.symbol("swapper_pg_dir", root)
	m.number("phys_base", x86Base)
	m.entry(root, x86Image>>39, image, 0x63)
	m.entry(image, x86Image>>30, m.largePages(x86Image, 2), 0x63)
	m.entry(root, uint64(x86Direct)>>39, direct, 0x63)
	m.put(direct, m.long(0xe3)) // 1 GiB from physical 0 on
	m.mapPage(root, vmallocVA, m.page())
	return m
}

// bareMachine has an image without page tables; its first page begins with _stext.
func bareMachine(t testing.TB, uname string, order dumptest.Order, word int, delta, start uint64) *machine {
	m := &machine{t: t, arch: uname, order: order, word: word, delta: delta, next: start}
	m.image.PageSize = pageSize
	fmt.Fprintf(&m.info, "OSRELEASE=%s\nPAGESIZE=%d\n", release, pageSize)
	m.symbol("_stext", m.page())
	return m
}

const release = "6.1.0-test"

// phys is where an address of the image lies.
func (m *machine) phys(va uint64) phys.Addr { return phys.Addr(va - m.delta) }

// pfn is the page of an address of the image.
func (m *machine) pfn(va uint64) phys.PFN { return phys.PFN(m.phys(va) / pageSize) }

// alloc reserves n bytes of the image, which are zero.
func (m *machine) alloc(n int) uint64 {
	va := (m.next + 15) &^ 15
	m.next = va + uint64(n)
	m.put(va, make([]byte, n))
	return va
}

// page reserves one page.
func (m *machine) page() uint64 { return m.pages(1) }

// pages reserves n pages that begin on one.
func (m *machine) pages(n int) uint64 {
	m.next = (m.next + pageSize - 1) &^ (pageSize - 1)
	return m.alloc(n * pageSize)
}

// put writes bytes to the image.
func (m *machine) put(va uint64, b []byte) {
	for len(b) > 0 {
		p := m.pfn(va)
		if m.image.Pages[p] == nil {
			m.image.Set(p, make([]byte, pageSize))
		}
		n := copy(m.image.Pages[p][va%pageSize:], b)
		va, b = va+uint64(n), b[n:]
	}
}

// object reserves memory that holds b.
func (m *machine) object(b []byte) uint64 {
	va := m.alloc(len(b))
	m.put(va, b)
	return va
}

// long is an integer as wide as the machine's.
func (m *machine) long(v uint64) []byte {
	if m.word == 4 {
		return m.order.AppendUint32(nil, uint32(v))
	}
	return m.order.AppendUint64(nil, v)
}

func (m *machine) u32(v uint32) []byte { return m.order.AppendUint32(nil, v) }

// entry writes an entry of a page table that stands in the image.
func (m *machine) entry(table, index, target, flags uint64) {
	m.put(table+index%512*8, m.long(uint64(m.phys(target))|flags))
}

// largePages makes a table that maps n pages of 2 MiB.
func (m *machine) largePages(va uint64, n int) (table uint64) {
	table = m.page()
	for i := range uint64(n) {
		m.entry(table, va>>21+i, va+i<<21, 0xe3)
	}
	return table
}

// mapPage maps one small page by tables of its own.
func (m *machine) mapPage(root, va, target uint64) {
	table := root
	for shift := 39; shift > 12; shift -= 9 {
		below := m.page()
		m.entry(table, va>>shift, below, 0x63)
		table = below
	}
	m.entry(table, va>>12, target, 0x63)
	m.put(target, []byte("mapped by tables alone"))
}

func (m *machine) symbol(name string, va uint64) { fmt.Fprintf(&m.info, "SYMBOL(%s)=%x\n", name, va) }

func (m *machine) number(name string, v int64) { fmt.Fprintf(&m.info, "NUMBER(%s)=%d\n", name, v) }

func (m *machine) offset(member string, v int) { fmt.Fprintf(&m.info, "OFFSET(%s)=%d\n", member, v) }

func (m *machine) size(name string, v int) { fmt.Fprintf(&m.info, "SIZE(%s)=%d\n", name, v) }

// lose makes the dump writer forget the page of an address.
func (m *machine) lose(va uint64) {
	if m.image.Lost == nil {
		m.image.Lost = map[phys.PFN]bool{}
	}
	m.image.Lost[m.pfn(va)] = true
}

// exclude makes the dump filter leave the page of an address out.
func (m *machine) exclude(va uint64) {
	delete(m.image.Pages, m.pfn(va))
	m.image.Exclude(m.pfn(va), m.pfn(va)+1)
}

// corrupt damages the stored form of the page of an address.
func (m *machine) corrupt(va uint64) {
	if m.image.Damage == nil {
		m.image.Damage = map[phys.PFN]dumptest.Damage{}
	}
	m.image.Damage[m.pfn(va)] = func(stored []byte, _ *dumptest.Desc) []byte {
		for i := range stored {
			stored[i] ^= 0x5a
		}
		return stored
	}
}

// file is the dump as makedumpfile writes it.
func (m *machine) file() []byte { return m.packed(dumptest.Zlib) }

// rawFile is the dump with its pages as they are.
func (m *machine) rawFile() []byte { return m.packed(dumptest.Raw) }

func (m *machine) packed(codec dumptest.Codec) []byte {
	o := dumptest.DefaultKDUMP()
	o.Order, o.VMCoreInfo, o.Utsname[4], o.Codec = m.order, m.info.String(), m.arch, codec
	if m.word == 4 {
		o.Main, o.Sub = dumptest.MainA, dumptest.SubPadded
	}
	file, err := m.image.KDUMP(o)
	if err != nil {
		m.t.Fatal(err)
	}
	return file
}

// dump opens the dump of the machine.
func (m *machine) dump() *vmcore.Dump {
	m.t.Helper()
	return openDump(m.t, m.file())
}

func openDump(t testing.TB, file []byte) *vmcore.Dump {
	t.Helper()
	d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// kernel opens the kernel of the machine. That of a bare machine gets its address space
// from the test.
func (m *machine) kernel() *kernel.Kernel {
	m.t.Helper()
	d := m.dump()
	open := func() (*kernel.Kernel, error) { return kernel.Open(d, nil) }
	if m.delta != x86Map-x86Base {
		a, err := arch.ByName(m.arch)
		if err != nil {
			m.t.Fatal(err)
		}
		open = func() (*kernel.Kernel, error) { return kernel.Assemble(d, a, linear{delta: m.delta}) }
	}
	k, err := open()
	if err != nil {
		m.t.Fatal(err)
	}
	return k
}

// linear is an address space of one piece.
type linear struct {
	arch.Space
	delta uint64
}

func (l linear) Image(va uint64) (phys.Addr, bool) { return phys.Addr(va - l.delta), va >= l.delta }

func (l linear) ImageRange() (start, end uint64) { return l.delta, l.delta + 1<<24 }

func (l linear) Direct(uint64) (phys.Addr, bool) { return 0, false }

func (l linear) Walk(va uint64) (arch.Walk, error) {
	return arch.Walk{}, &arch.WalkError{VA: va, Err: phys.ErrUnmapped}
}

// clonePages copies the pages of an image, so that one can be changed.
func clonePages(m dumptest.Image) map[phys.PFN][]byte {
	pages := map[phys.PFN][]byte{}
	for p, b := range m.Pages {
		pages[p] = bytes.Clone(b)
	}
	return pages
}

// contextAfter is the test's context with an end that the test can bring about.
func contextAfter(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}
