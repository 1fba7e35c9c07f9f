package arch

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// The kernel's address space on x86_64 (Documentation/arch/x86/x86_64/mm.rst).
//
//	0xff00000000000000  direct map somewhere here, 5 levels    } KASLR moves it in
//	0xffff800000000000  direct map somewhere here, 4 levels    } steps of 1 GiB
//	        …           vmalloc, vmemmap
//	0xffffffff80000000  kernel image, KERNEL_IMAGE_SIZE: pa = va - 0xffffffff80000000 + phys_base
//	0xffffffffc0000000  modules, with KASLR
const (
	x86Image      = 0xffffffff80000000 // __START_KERNEL_map
	x86ImageSize  = 1 << 30            // KERNEL_IMAGE_SIZE with KASLR, 512 MiB without
	x86ImageAlign = 1 << 21            // phys_base moves in steps of it
	x86DirectStep = 1 << 30            // KASLR's granularity, a PUD
	x86ImageGap   = 64 << 20           // the freed init sections are smaller
)

// x86DirectBases are the places of the direct map without KASLR: 4.20 and later, 2.6.27
// to 4.19 (d52888aa2753 moved it), each with 4 and 5 levels.
var x86DirectBases = []uint64{0xffff888000000000, 0xff11000000000000, 0xffff880000000000, 0xff10000000000000}

// x86View is one reading of the hints, to be tried.
type x86View struct {
	physBase uint64
	tables   tables
	anchor   uint64 // an address of the image that must translate both ways
}

func (v x86View) image(h Hints) window {
	size, ok := h.number("KERNEL_IMAGE_SIZE")
	if !ok || size == 0 || size > x86ImageSize {
		size = x86ImageSize
	}
	return window{x86Image, x86Image + size, x86Image - v.physBase}
}

// agrees tells whether the tables translate the anchor as the image rule does.
func (v x86View) agrees() bool {
	return v.tables.aliased(phys.Addr(v.anchor-x86Image+v.physBase), x86Image-v.physBase)
}

// spaceX86 takes the first reading of the hints that page tables and image rule agree
// on, else the most likely one.
func spaceX86(h Hints, mem phys.Reader) (Space, error) {
	views := x86Views(h, mem)
	if len(views) == 0 {
		return nil, fmt.Errorf("neither phys_base nor CR3 is known: %w", phys.ErrUnsupported)
	}
	for _, v := range views {
		if v.agrees() {
			return v.space(h, true), nil
		}
	}
	return views[0].space(h, false), nil
}

// space makes the Space of one reading; agreed tells whether its tables were tested.
func (v x86View) space(h Hints, agreed bool) Space {
	f := v.tables.format.(x86Format)
	s := &space{image: v.image(h), tables: v.tables}
	if v.tables.root == 0 {
		s.noTables = fmt.Errorf("swapper_pg_dir is not known: %w", phys.ErrUnsupported)
	}
	s.fact("phys_base", "%#x", int64(v.physBase))
	s.fact("page table levels", "%d", len(f.tree))
	s.fact("page table root", "%#x", uint64(v.tables.root))
	s.fact("sme_mask", "%#x", f.sme)
	s.fact("page tables agree with phys_base", "%t", agreed)
	if agreed {
		s.image, _ = v.tables.extent(s.image, v.anchor, x86ImageGap)
	}
	if delta, how, ok := v.direct(h, agreed); ok {
		s.direct = x86DirectWindow(h, delta)
		s.fact("direct map base", "%#x (%s)", delta, how)
	}
	return s
}

// direct finds the base of the direct map, which is also the distance between virtual
// and physical addresses, since it begins with physical 0. The first used slot of the
// kernel's half of the root is the direct map, and its first page tells the base
// (seen on 5.10, 6.1, 6.12 with 5 levels, 7.2); it must also map the root itself.
func (v x86View) direct(h Hints, agreed bool) (base uint64, how string, ok bool) {
	if agreed {
		if base, ok := v.tables.linear(v.tables.format.(x86Format).high, x86Image); ok {
			return base, "from the page tables", true
		}
	}
	if base, ok := x86DirectOfSegments(h); ok {
		return base, "from the program headers", true
	}
	for _, base := range x86DirectBases {
		if agreed && v.tables.aliased(v.tables.root, base) {
			return base, "the default, which the page tables confirm", true
		}
	}
	return 0, "", false
}

// x86DirectOfSegments takes the base from a program header of /proc/vmcore that is not
// the image's.
func x86DirectOfSegments(h Hints) (uint64, bool) {
	for _, s := range h.Segments {
		base := s.Virt - uint64(s.Span.Start)
		if s.Virt >= newX86Format(5, 0).high && s.Virt < x86Image && base%x86DirectStep == 0 {
			return base, true
		}
	}
	return 0, false
}

// x86DirectWindow ends the direct map with the machine's memory: KASLR may put vmalloc
// right behind it. When that is not known, the 1 TiB that KASLR leaves at least.
func x86DirectWindow(h Hints, base uint64) window {
	end := h.maxPhys()
	if end == 0 {
		end = 1 << 40
	}
	limit := uint64(x86Image)
	if vmalloc, ok := h.number("VMALLOC_START"); ok && vmalloc > base {
		limit = min(limit, vmalloc)
	}
	return window{base, min(saturate(base, end), limit), base}
}

// x86Views reads the hints in every way that makes sense, the likely one first.
func x86Views(h Hints, mem phys.Reader) []x86View {
	var views []x86View
	anchor, haveAnchor := h.symbol("_stext", "swapper_pg_dir", "init_top_pgt", "init_level4_pgt")
	pgd, _ := h.symbol("swapper_pg_dir", "init_top_pgt", "init_level4_pgt")
	for _, physBase := range x86PhysBases(h, mem) {
		for _, t := range x86Trees(h, mem) {
			if pgd >= x86Image {
				t.root = phys.Addr(pgd - x86Image + physBase)
			}
			views = append(views, x86View{physBase, t, anchor})
		}
	}
	if h.CR3 == 0 {
		return views
	}
	for _, t := range x86Trees(h, mem) {
		cr3 := h.CR3 & x86AddrMask &^ t.format.(x86Format).sme
		for _, root := range []uint64{cr3, cr3 &^ 0x1000} { // a process' half under page table isolation
			t.root = phys.Addr(root)
			at := anchor
			if !haveAnchor {
				at = x86FirstOfImage(t)
			}
			if a, err := t.translate(at); err == nil && (uint64(a)-at)%x86ImageAlign == 0 {
				views = append(views, x86View{uint64(a) - (at - x86Image), t, at})
			}
		}
	}
	return views
}

// x86FirstOfImage is the first address that is mapped where the image lies.
func x86FirstOfImage(t tables) uint64 {
	va, _, err := t.scanner().next(x86Image, x86Image+x86ImageSize)
	if err != nil {
		return 0
	}
	return va
}

// x86Trees gives the forms that the tables may have: pgtable_l5_enabled and sme_mask
// are in VMCOREINFO since 4.17 and 5.1, LA57 and SME in the kernel since 4.14.
func x86Trees(h Hints, mem phys.Reader) []tables {
	depths, masks := []uint{4, 5}, []uint64{0, 1 << 47, 1 << 51}
	if l5, ok := h.number("pgtable_l5_enabled"); ok && l5 != 0 {
		depths = []uint{5, 4}
	}
	if mask, ok := h.number("sme_mask"); ok {
		masks = []uint64{mask}
	}
	var trees []tables
	for _, mask := range masks {
		for _, depth := range depths {
			trees = append(trees, tables{mem: mem, order: h.order(binary.LittleEndian), format: newX86Format(depth, mask)})
		}
	}
	return trees
}

// x86PhysBases gives the values that phys_base may have: of VMCOREINFO since 4.10
// (401721ecd1dc), of the program header of the image, of the dump's sub header, and,
// before 4.10, of the variable whose address VMCOREINFO has.
func x86PhysBases(h Hints, mem phys.Reader) []uint64 {
	var bases []uint64
	if base, ok := h.number("phys_base"); ok {
		bases = append(bases, base)
	}
	for _, s := range h.Segments {
		if s.Virt >= x86Image {
			bases = append(bases, uint64(s.Span.Start)-(s.Virt-x86Image))
			break
		}
	}
	if h.PhysBase != nil {
		bases = append(bases, uint64(*h.PhysBase))
	}
	if at, ok := h.symbol("phys_base"); ok && at >= x86Image {
		bases = append(bases, x86ReadPhysBase(h, mem, at)...)
	}
	return bases
}

// x86ReadPhysBase looks for the variable phys_base at virtual address va: where it is in
// physical memory depends on its own value, so a value that lies where it says may be
// it. It was 0 on most kernels before 4.10; relocation moves it in steps of 2 MiB.
func x86ReadPhysBase(h Hints, mem phys.Reader, va uint64) []uint64 {
	var bases []uint64
	off, end := va-x86Image, min(h.maxPhys(), scanBudget*x86ImageAlign)
	for base := uint64(0); base == 0 || base+off < end && len(bases) < 8; base += x86ImageAlign {
		var b [8]byte
		if _, err := mem.ReadPhys(b[:], phys.Addr(off+base)); err == nil && bin.Uint(b[:], binary.LittleEndian) == base {
			bases = append(bases, base)
		}
	}
	return bases
}
