package mm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// memmap is where the struct pages lie: runs of page frames whose struct pages follow each
// other. With SPARSEMEM_VMEMMAP the whole machine is one run in virtual memory, and still
// mem_section tells for which frames there are any.
//
//	FLATMEM     pglist_data.node_mem_map                    one run
//	SPARSEMEM   mem_section[root][n].section_mem_map        a run a section, joined
//
// section_mem_map is the address that the struct page of frame 0 would have, with flags in
// its low bits (SECTION_MAP_MASK in include/linux/mmzone.h; 2 bits in 2.6.32, 6 in 7.2).
type memmap struct {
	layout pageLayout
	runs   []memmapRun // ascending
}

// memmapRun is a run of frames; base is the struct page that frame 0 would have.
type memmapRun struct {
	first, end uint64
	base       uint64
}

const (
	sectionPresent = 1 << 0
	sectionHasMap  = 1 << 1
	// A map of struct pages begins at a page, and so do the multiples of a section's pages.
	sectionFlags = 0xfff
)

func (m *Memory) memoryMap(ctx context.Context) (*memmap, error) {
	return m.memmap.get(ctx, m.readMemmap)
}

func (m *Memory) readMemmap(ctx context.Context) (*memmap, error) {
	ts, err := m.k.Types()
	if err != nil {
		return nil, fmt.Errorf("struct page: %w", err)
	}
	mm := &memmap{}
	if mm.layout, err = m.pageLayout(ts); err != nil {
		return nil, err
	}
	section, err := symbols.Find(ts, "struct mem_section")
	if errors.Is(err, symbols.ErrNoType) {
		mm.runs, err = m.flatMap(ts, mm.layout.size)
	} else if err == nil {
		mm.runs, err = m.sectionMap(ctx, section)
	}
	if len(mm.runs) == 0 {
		return nil, fmt.Errorf("memory map: %w", cmpErr(err, phys.ErrUnsupported))
	}
	return mm, err
}

// cmpErr is err, or other when there is none.
func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// flatMap is the map of a machine whose memory is one piece.
func (m *Memory) flatMap(ts symbols.Types, size uint64) ([]memmapRun, error) {
	node, err := m.k.Global(ts, "contig_page_data")
	if err != nil {
		return nil, err
	}
	f := node.Fields()
	start, n, at := f.Uint("node_start_pfn"), f.Uint("node_spanned_pages"), f.Pointer("node_mem_map")
	return []memmapRun{{start, start + n, at - start*size}}, f.Err()
}

// sectionMap reads mem_section: an array of roots, of which each leads to a page full of
// sections; without SPARSEMEM_EXTREME the roots are the sections.
func (m *Memory) sectionMap(ctx context.Context, section *symbols.Type) (runs []memmapRun, err error) {
	roots, err := m.sectionRoots()
	if err != nil {
		return nil, err
	}
	bits := m.sectionBits()
	perRoot := max(1, uint64(m.k.PageSize())/section.Size())
	perSection := uint64(1) << (bits - m.pageShift())
	member, err := section.Member("section_mem_map")
	if err != nil {
		return nil, err
	}
	frames := uint64(m.k.Dump().MaxPFN()) * uint64(m.k.Dump().PageSize()) >> m.pageShift()
	for root := range frames/perSection/perRoot + 1 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at, rerr := m.word(roots + root*uint64(m.k.PtrSize()))
		if rerr != nil {
			return runs, fmt.Errorf("mem_section: %w", rerr)
		}
		if at == 0 {
			continue
		}
		for i := range perRoot {
			coded, rerr := m.word(at + i*section.Size() + member.Offset/8)
			if rerr != nil {
				err = fmt.Errorf("mem_section %d: %w", root*perRoot+i, rerr)
				break
			}
			if coded&(sectionPresent|sectionHasMap) == sectionPresent|sectionHasMap {
				first := (root*perRoot + i) * perSection
				runs = join(runs, memmapRun{first, first + perSection, coded &^ sectionFlags})
			}
		}
	}
	return runs, err
}

// sectionRoots is the address of the roots: VMCOREINFO gives it, and the variable leads to
// it since they are not an array of fixed size any more (83e3c48729d9, 4.15).
func (m *Memory) sectionRoots() (uint64, error) {
	if info, err := m.k.Info(); err == nil {
		if at, ok := info.Symbol("mem_section"); ok {
			return at, nil
		}
	}
	sym, err := m.k.Symbol("mem_section")
	if err != nil {
		return 0, err
	}
	return m.word(sym.Addr)
}

// join adds a run, to the one before it if they have one map.
func join(runs []memmapRun, r memmapRun) []memmapRun {
	if n := len(runs); n > 0 && runs[n-1].end == r.first && runs[n-1].base == r.base {
		runs[n-1].end = r.end
		return runs
	}
	return append(runs, r)
}

// sectionBits is SECTION_SIZE_BITS: in VMCOREINFO since 4.13 or so, else the processor's
// own (x86_64; arm64 had 30 until 5.11).
func (m *Memory) sectionBits() uint {
	if info, err := m.k.Info(); err == nil {
		if n, ok := info.Number("SECTION_SIZE_BITS"); ok && n > 12 && n < 48 {
			return uint(n)
		}
	}
	if m.k.Machine() == "aarch64" {
		return 30
	}
	return 27
}

func (m *Memory) pageShift() uint {
	shift := uint(0)
	for 1<<shift < m.k.PageSize() {
		shift++
	}
	return shift
}

// page is the address of the struct page of a frame; ok is false for frames without one.
func (mm *memmap) page(pfn uint64) (va uint64, ok bool) {
	i := sort.Search(len(mm.runs), func(i int) bool { return mm.runs[i].end > pfn })
	if i == len(mm.runs) || pfn < mm.runs[i].first {
		return 0, false
	}
	return mm.runs[i].base + pfn*mm.layout.size, true
}

// frame is the frame that the struct page at va, or around it, describes.
func (mm *memmap) frame(va uint64) (pfn uint64, ok bool) {
	for _, r := range mm.runs {
		start, end := r.base+r.first*mm.layout.size, r.base+r.end*mm.layout.size
		if va >= start && va < end {
			return r.first + (va-start)/mm.layout.size, true
		}
	}
	return 0, false
}

// pageChunk is a run of struct pages that were read at once.
type pageChunk struct {
	layout   *pageLayout
	raw      []byte // of n pages, and of the one behind them where that could be read
	first, n uint64 // frames
	va       uint64 // of the first struct page
	end      uint64 // of the run of frames that the chunk is in
}

// chunkPages is how many struct pages are read at once.
const chunkPages = 512

// structPages reads the struct pages of the frames [first, end), as far as there are any. The
// chunk is valid until the next one. What cannot be read comes as an error about these
// frames, and the walk goes on.
func (m *Memory) structPages(ctx context.Context, first, end uint64) iter.Seq2[pageChunk, error] {
	return func(yield func(pageChunk, error) bool) {
		mm, err := m.memoryMap(ctx)
		if err != nil && !yield(pageChunk{}, err) || mm == nil {
			return
		}
		size := mm.layout.size
		buf := make([]byte, (chunkPages+1)*size)
		for _, r := range mm.runs {
			last := min(end, r.end)
			for pfn := max(first, r.first); pfn < last; {
				if err := ctx.Err(); err != nil {
					yield(pageChunk{}, err)
					return
				}
				n := min(chunkPages-pfn%chunkPages, last-pfn)
				va := r.base + pfn*size
				// One more than needed: the order of a head page is in the page behind it.
				got, err := m.k.ReadVirt(buf[:(n+1)*size], va)
				whole := min(n, uint64(got)/size)
				if whole > 0 && !yield(pageChunk{&mm.layout, buf[:got], pfn, whole, va, last}, nil) {
					return
				}
				if pfn += whole; whole < n {
					next := min(last, m.behind(pfn, r.base, size))
					if !yield(pageChunk{}, m.lostPages(pfn, next, err)) {
						return
					}
					pfn = next
				}
			}
		}
	}
}

// behind is the first frame whose struct page begins behind the page of memory in which
// that of pfn lies or ends: what is absent is absent by pages.
func (m *Memory) behind(pfn, base, size uint64) uint64 {
	page := uint64(m.k.PageSize())
	last := base + (pfn+1)*size - 1
	edge := (last/page + 1) * page
	return max(pfn+1, (edge-base+size-1)/size)
}

// lostPages says which frames have struct pages that cannot be read.
func (m *Memory) lostPages(first, end uint64, err error) error {
	shift := m.pageShift()
	span := phys.Span{Start: phys.Addr(first << shift), End: phys.Addr(end << shift)}
	return fmt.Errorf("struct pages of %v: %w", span, err)
}

// pages decodes every struct page.
func (m *Memory) pages(ctx context.Context) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for c, err := range m.structPages(ctx, 0, ^uint64(0)) {
			if err != nil {
				if !yield(Page{}, err) {
					return
				}
				continue
			}
			for i := range c.n {
				if !yield(c.layout.decode(m, c.raw[i*c.layout.size:], c.first+i, c.va+i*c.layout.size), nil) {
					return
				}
			}
		}
	}
}
