package arch

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// The kernel's address space on arm64 (Documentation/arch/arm64/memory.rst,
// arch/arm64/include/asm/memory.h). The half of 1<<VA_BITS bytes at the top has two
// halves; 5.4 exchanged them (14c127c957c1).
//
//	                  5.4 and later           before 5.4
//	-1<<VA_BITS       linear map              modules, image, vmalloc
//	-1<<(VA_BITS-1)   modules, image, vmalloc linear map
//
//	image  pa = va - kimage_voffset
//	linear pa = va - PAGE_OFFSET + PHYS_OFFSET, where PAGE_OFFSET is the lower end and
//	       PHYS_OFFSET may be below zero: KASLR and 52-bit kernels on 48-bit machines
//
// VMCOREINFO has VA_BITS, kimage_voffset and PHYS_OFFSET since 4.12 (20a166243328, the
// first kernel with kdump), TCR_EL1_T1SZ since 5.9, KERNELPACMASK since 5.10.
const (
	arm64ImageMax = 256 << 20 // no image is larger
	arm64ImageGap = 32 << 20  // the freed init sections are smaller
)

// arm64View is what the hints say.
type arm64View struct {
	format    arm64Format
	bits      uint   // of virtual addresses, as the processor was set up
	buildBits uint   // VA_BITS: what the kernel was built for
	voffset   uint64 // kimage_voffset
	anchor    uint64 // an address of the image
	root      uint64 // virtual address of swapper_pg_dir, 0 unknown
}

func spaceARM64(h Hints, mem phys.Reader) (Space, error) {
	v, err := newARM64View(h)
	if err != nil {
		return nil, err
	}
	s := &space{
		image:  v.imageWindow(),
		tables: tables{mem: mem, order: h.order(binary.LittleEndian), format: v.format},
		canon:  arm64Untag,
		strip:  v.strip,
	}
	if v.root == 0 {
		s.noTables = fmt.Errorf("swapper_pg_dir is not known: %w", phys.ErrUnsupported)
	}
	s.tables.root = phys.Addr(v.root - v.voffset)
	agreed := v.root != 0 && s.tables.aliased(phys.Addr(v.anchor-v.voffset), v.voffset)
	s.fact("page size", "%d", 1<<v.format.pageShift)
	s.fact("virtual address bits", "%d, built for %d", v.bits, v.buildBits)
	s.fact("page table levels", "%d", len(v.format.tree))
	s.fact("page table root", "%#x", uint64(s.tables.root))
	s.fact("kimage_voffset", "%#x", v.voffset)
	s.fact("page tables agree with kimage_voffset", "%t", agreed)
	if agreed {
		s.image, _ = s.tables.extent(s.image, v.anchor, arm64ImageGap)
	}
	if delta, how, ok := v.direct(h, s.tables, agreed); ok {
		start, end := v.linearHalf()
		s.direct = window{start, end, delta}
		s.fact("linear map", "%#x-%#x, pa = va - %#x (%s)", start, end, delta, how)
	}
	return s, nil
}

func newARM64View(h Hints) (arm64View, error) {
	var v arm64View
	var ok bool
	if v.anchor, ok = h.symbol("_stext", "swapper_pg_dir"); !ok {
		return v, fmt.Errorf("no address of the kernel image is known: %w", phys.ErrUnsupported)
	}
	if v.voffset, ok = arm64Voffset(h, v.anchor); !ok {
		return v, fmt.Errorf("kimage_voffset is not known: %w", phys.ErrUnsupported)
	}
	v.root, _ = h.symbol("swapper_pg_dir")
	return v, v.widths(h)
}

// widths finds the granule and the address bits. With 64 KiB pages the tables are laid
// out for VA_BITS whatever the processor does (c812026c54cf, 5.4); with others they
// follow the processor, and a 52-bit kernel on a lesser one drops a level
// (0dd4f60a2c76, 6.9).
func (v *arm64View) widths(h Hints) error {
	if h.PageSize != 4096 && h.PageSize != 16384 && h.PageSize != 65536 {
		return fmt.Errorf("page size of %d bytes: %w", h.PageSize, phys.ErrUnsupported)
	}
	build, haveBuild := h.number("VA_BITS")
	actual, haveActual := h.number("TCR_EL1_T1SZ")
	switch {
	case haveActual:
		actual = 64 - actual&63
	case build == 52 && v.anchor>>48 == 0xffff:
		actual = 48 // 5.4 to 5.8, which do not tell: a 52-bit image lies below
	default:
		actual = build
	}
	if !haveBuild || build < actual {
		build = actual
	}
	if actual < 36 || build > 52 {
		return fmt.Errorf("%d virtual address bits: %w", actual, phys.ErrUnsupported)
	}
	v.bits, v.buildBits = uint(actual), uint(build)
	table := v.bits
	if h.PageSize == 65536 {
		table = v.buildBits
	}
	v.format = newARM64Format(h.PageSize, table)
	return nil
}

// arm64Voffset is kimage_voffset, or what the program header of the image tells in a
// dump of /proc/vmcore; hypervisors write physical addresses there.
func arm64Voffset(h Hints, anchor uint64) (uint64, bool) {
	if v, ok := h.number("kimage_voffset"); ok {
		return v, true
	}
	for _, s := range h.Segments {
		if anchor >= s.Virt && anchor-s.Virt < s.Span.Len() && s.Virt>>63 == 1 {
			return s.Virt - uint64(s.Span.Start), true
		}
	}
	return 0, false
}

// half is the size of either half of the kernel's addresses.
func (v arm64View) half() uint64 { return 1 << (v.bits - 1) }

// imageInUpperHalf tells the layout: the image lies in the half that the linear map
// leaves, the upper one since 5.4.
func (v arm64View) imageInUpperHalf() bool { return v.anchor&v.half() != 0 }

// linearHalf is the half in which the linear map lies.
func (v arm64View) linearHalf() (start, end uint64) {
	start = -(v.half() << 1)
	if v.imageInUpperHalf() {
		return start, start + v.half()
	}
	return start + v.half(), ^uint64(0)
}

// imageWindow is what the image takes at most, before the page tables narrow it. It is
// aligned to 2 MiB, and _stext lies 64 KiB behind its start.
func (v arm64View) imageWindow() window {
	start := (v.anchor - 1<<16) &^ (1<<21 - 1)
	return window{start, saturate(start, arm64ImageMax), v.voffset}
}

// direct finds the distance between virtual and physical addresses in the linear map:
// PAGE_OFFSET - PHYS_OFFSET. Kernels from 5.4 to 5.10 that were built for 52 bits and
// run on 48 count PAGE_OFFSET from the latter, later ones correct PHYS_OFFSET instead;
// where the formulas do not fit the tables, the first page of the linear map tells.
func (v arm64View) direct(h Hints, t tables, agreed bool) (delta uint64, how string, ok bool) {
	start, end := v.linearHalf()
	physOffset, known := h.number("PHYS_OFFSET")
	bases := []uint64{start, -(uint64(1) << v.buildBits)}
	for _, base := range bases {
		if known && agreed && t.aliased(t.root, base-physOffset) {
			return base - physOffset, "PHYS_OFFSET, which the page tables confirm", true
		}
	}
	if agreed {
		if delta, ok := t.linear(start, end); ok {
			return delta, "from the page tables", true
		}
	}
	if !v.imageInUpperHalf() {
		return start - physOffset, "PHYS_OFFSET", known
	}
	return bases[1] - physOffset, "PHYS_OFFSET", known
}

// arm64Untag takes the tag byte off a kernel address (top byte ignore; KASAN_HW_TAGS).
// Bit 55 tells which half an address belongs to.
func arm64Untag(va uint64) uint64 {
	if va>>55&1 == 1 {
		return va | 0xff<<56
	}
	return va
}

// strip takes the pointer authentication code off as well: the bits above the virtual
// address, of which bit 55 says what they were.
func (v arm64View) strip(va uint64) uint64 {
	mask := ^uint64(0) << v.bits
	if va>>55&1 == 1 {
		return va | mask
	}
	return va &^ mask
}
