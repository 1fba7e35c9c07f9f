package mm

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Page is a struct page: what the kernel knows of one page frame.
type Page struct {
	PFN      uint64 // in pages of the kernel
	Addr     uint64 // of the struct page
	Flags    uint64 // page.flags, the numbers of zone and node among the bits
	Mapping  uint64 // of a slab and of a tail page something else
	Index    uint64 // in pages, of what Mapping says
	Private  uint64
	RefCount int32
	// MapCount is _mapcount as it stands: -1 for a page that nobody maps, and for a page
	// that cannot be mapped the coded Type.
	MapCount int32
	Type     string // slab, buddy, table, offline, guard, hugetlb, large_kmalloc, …; "" if none
	Head     uint64 // of a tail page: the first frame of its compound page
	Tail     bool
	Order    int // of a head, or of a free page: 2^Order frames; 0 for all others

	names []symbols.Enumerator
}

// FlagNames are the names of the flags that are set, without PG_, the lowest first.
func (p Page) FlagNames() (names []string) {
	for _, e := range p.names {
		if p.Flags>>uint(e.Value)&1 != 0 {
			names = append(names, e.Name[len("PG_"):])
		}
	}
	return names
}

// Anon tells whether the page holds memory of a process that no file backs: the lowest bit
// of its mapping (PAGE_MAPPING_ANON).
func (p Page) Anon() bool { return p.Mapping&1 != 0 && p.Type == "" && !p.Tail }

// field is an integer in a struct page; size 0 says that there is none.
type field struct{ off, size uint64 }

func (f field) of(m *Memory, raw []byte) uint64 {
	if f.size == 0 || f.off+f.size > uint64(len(raw)) {
		return 0
	}
	return m.uint(raw[f.off:][:f.size])
}

// pageLayout is where struct page keeps what Page has. It changed much: flags became a
// struct in 6.18 (53fbef56e07d), compound_head compound_info in 7.1 (8c846c879e22), index
// __folio_index in 6.16 (acc53a0b4c15).
type pageLayout struct {
	size                                                   uint64
	flags, mapping, index, private, refs, mapcount, linked field
	order                                                  field // from the head page on: it lies in the first tail
	dtor                                                   field // likewise, until 6.5; hugeDtor is its value for huge pages
	hugeDtor                                               uint64
	tailFlags                                              field // likewise: flags of the first tail
	names                                                  []symbols.Enumerator
	bit                                                    map[string]uint64 // mask of a flag, 0 if the kernel lacks it
	types                                                  []pageType
}

// pageType is a value of _mapcount that says what kind of page it is.
type pageType struct {
	name        string
	mask, value uint32
}

func (m *Memory) pageLayout(ts symbols.Types) (l pageLayout, err error) {
	t, err := symbols.Find(ts, "struct page", "_mapcount")
	if err != nil {
		return l, err
	}
	l.size = t.Size()
	for _, want := range []struct {
		f     *field
		paths []string
	}{
		{&l.flags, []string{"flags.f", "flags"}},
		{&l.mapping, []string{"mapping"}},
		{&l.index, []string{"index", "__folio_index"}},
		{&l.private, []string{"private"}},
		{&l.refs, []string{"_refcount.counter", "_count.counter"}},
		{&l.mapcount, []string{"_mapcount.counter"}},
		{&l.linked, []string{"compound_head", "compound_info"}},
	} {
		member, merr := t.OneOf(want.paths...)
		if merr == nil {
			want.f.off, want.f.size = member.Bytes()
		}
		if merr != nil && want.f != &l.index && want.f != &l.linked {
			err = cmp.Or(err, merr)
		}
	}
	l.compound(ts, t)
	l.flagNames(ts)
	l.types = m.pageTypes(ts)
	return l, err
}

// compound finds where the order and the kind of a compound page lie, from its head on:
// members of the first tail page until 6.2, of struct folio until 6.5, the flags of the
// first tail since (ebc1baf5c9b4): their low byte is the order.
func (l *pageLayout) compound(ts symbols.Types, page *symbols.Type) {
	of := func(t *symbols.Type, add uint64, path string) (f field) {
		if member, err := t.Member(path); err == nil {
			f.off, f.size = member.Bytes()
			f.off += add
		}
		return f
	}
	l.order, l.dtor = of(page, l.size, "compound_order"), of(page, l.size, "compound_dtor")
	l.tailFlags = field{l.size + l.flags.off, l.flags.size}
	if folio, err := symbols.Find(ts, "struct folio"); err == nil && l.order.size == 0 {
		l.order, l.dtor = of(folio, 0, "_folio_order"), of(folio, 0, "_folio_dtor")
	}
	if l.order.size == 0 {
		l.order = l.tailFlags
	}
	if dtors, err := symbols.Find(ts, "enum compound_dtor_id"); err == nil {
		for _, e := range dtors.Values {
			if e.Name == "HUGETLB_PAGE_DTOR" {
				l.hugeDtor = uint64(e.Value)
			}
		}
	}
}

// headOrder is the order of a compound page, 0 where raw has not the first tail too.
func (l *pageLayout) headOrder(m *Memory, raw []byte, pfn, flags uint64) int {
	if flags&l.bit["head"] == 0 || uint64(len(raw)) < 2*l.size {
		return 0
	}
	if n := l.order.of(m, raw) & 0xff; n <= maxOrder && pfn&(1<<n-1) == 0 {
		return int(n)
	}
	return 0
}

// hugetlb tells whether the head of a compound page is that of a huge page; since 6.9 the
// page's type says so.
func (l *pageLayout) hugetlb(m *Memory, raw []byte, flags uint64) bool {
	switch {
	case flags&l.bit["head"] == 0:
		return false
	case l.dtor.size != 0:
		return l.hugeDtor != 0 && l.dtor.of(m, raw) == l.hugeDtor
	}
	return l.tailFlags.of(m, raw)&l.bit["hugetlb"] != 0
}

// flagNames reads enum pageflags. Of several names of a bit the first one is the general one.
func (l *pageLayout) flagNames(ts symbols.Types) {
	l.bit = make(map[string]uint64)
	t, err := symbols.Find(ts, "enum pageflags")
	if err != nil {
		return
	}
	end := int64(64)
	for _, e := range t.Values {
		if e.Name == "__NR_PAGEFLAGS" {
			end = e.Value
		}
	}
	seen := make(map[int64]bool)
	for _, e := range t.Values {
		if e.Value < 0 || e.Value >= end || len(e.Name) < 4 || e.Name[:3] != "PG_" {
			continue
		}
		l.bit[e.Name[3:]] = 1 << uint(e.Value)
		if !seen[e.Value] {
			seen[e.Value] = true
			l.names = append(l.names, e)
		}
	}
	slices.SortFunc(l.names, func(a, b symbols.Enumerator) int { return cmp.Compare(a.Value, b.Value) })
}

// pageTypes are the kinds of pages that _mapcount tells.
//
//	… 4.17          a number: buddy -128
//	4.18 … 6.11     bits that are cleared of a base of ones
//	6.12 …          the highest byte (enum pagetype, PGTY_)
func (m *Memory) pageTypes(ts symbols.Types) (out []pageType) {
	if t, err := symbols.Find(ts, "enum pagetype"); err == nil {
		for _, e := range t.Values {
			switch {
			case e.Name == "PGTY_mapcount_underflow":
			case len(e.Name) > 5 && e.Name[:5] == "PGTY_":
				out = append(out, pageType{e.Name[5:], 0xff << 24, uint32(e.Value) << 24})
			case len(e.Name) > 3 && e.Name[:3] == "PG_": // 6.11
				out = append(out, pageType{e.Name[3:], 0x80000000 | uint32(e.Value), 0x80000000})
			}
		}
		return out
	}
	info, err := m.k.Info()
	if err != nil {
		return nil
	}
	for _, key := range []struct{ name, key string }{
		{"buddy", "PAGE_BUDDY_MAPCOUNT_VALUE"},
		{"offline", "PAGE_OFFLINE_MAPCOUNT_VALUE"},
		{"slab", "PAGE_SLAB_MAPCOUNT_VALUE"},
		{"hugetlb", "PAGE_HUGETLB_MAPCOUNT_VALUE"},
	} {
		if v, ok := info.Number(key.key); ok {
			out = append(out, pageType{key.name, 0xffffffff, uint32(v)})
		}
	}
	return out
}

// typeOf names the type of a page, which a flag tells of slabs until 6.9.
func (l *pageLayout) typeOf(flags uint64, mapcount uint32) string {
	if flags&l.bit["slab"] != 0 {
		return "slab"
	}
	for _, t := range l.types {
		if mapcount&t.mask == t.value {
			return t.name
		}
	}
	return ""
}

// maxOrder bounds the order of a page: 1 GiB of huge page are 2^18 frames, free lists end
// at 2^10 or so.
const maxOrder = 20

// decode reads a struct page out of raw, which has the page behind it too where that is
// there.
func (l *pageLayout) decode(m *Memory, raw []byte, pfn, va uint64) Page {
	p := Page{
		PFN: pfn, Addr: va,
		Flags: l.flags.of(m, raw), Mapping: l.mapping.of(m, raw), Index: l.index.of(m, raw), Private: l.private.of(m, raw),
		RefCount: int32(l.refs.of(m, raw)), MapCount: int32(l.mapcount.of(m, raw)), names: l.names,
	}
	p.Type = l.typeOf(p.Flags, uint32(p.MapCount))
	if link := l.linked.of(m, raw); link&1 != 0 {
		p.Tail, p.Head = true, l.head(pfn, va, link)
		return p
	}
	switch {
	case p.Type == "buddy" && p.Private <= maxOrder:
		p.Order = int(p.Private)
	default:
		p.Order = l.headOrder(m, raw, pfn, p.Flags)
	}
	if p.Type == "" && l.hugetlb(m, raw, p.Flags) {
		p.Type = "hugetlb"
	}
	return p
}

// head is the frame at which the compound page of a tail begins. Bit 0 of the link says
// tail; the rest is the address of the head, or since 7.1, where the size of struct page is
// a power of two, a mask that makes it of the tail's address.
func (l *pageLayout) head(pfn, va, link uint64) uint64 {
	link &^= 1
	at := link
	if low := ^link; low&(low+1) == 0 { // all bits above some are set
		at = va & link
	}
	if at > va || (va-at)%l.size != 0 || (va-at)/l.size > pfn {
		return pfn
	}
	return pfn - (va-at)/l.size
}

// PageOf reads the struct page of a frame of the kernel's page size. The error is
// phys.ErrHole for a frame without one.
func (m *Memory) PageOf(ctx context.Context, pfn uint64) (Page, error) {
	mm, err := m.memoryMap(ctx)
	if mm == nil {
		return Page{}, err
	}
	va, ok := mm.page(pfn)
	if !ok {
		return Page{}, fmt.Errorf("page frame %#x has no struct page: %w", pfn, phys.ErrHole)
	}
	raw := make([]byte, 2*mm.layout.size)
	n, err := m.k.ReadVirt(raw, va)
	if uint64(n) < mm.layout.size {
		return Page{}, fmt.Errorf("struct page of frame %#x: %w", pfn, err)
	}
	return mm.layout.decode(m, raw[:n], pfn, va), nil
}

// HeadOf reads the struct page of the first frame of the compound page that a frame is in.
func (m *Memory) HeadOf(ctx context.Context, pfn uint64) (Page, error) {
	p, err := m.PageOf(ctx, pfn)
	if err == nil && p.Tail && p.Head != pfn {
		return m.PageOf(ctx, p.Head)
	}
	return p, err
}
