package arch

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// arm64Kernel is a kernel of which the tests build the page tables.
type arm64Kernel struct {
	name      string
	pageSize  int
	build     uint   // VA_BITS
	actual    uint   // 64 - T1SZ
	tableBits uint   // what the tables are laid out for
	old       bool   // before 5.4: the linear map is the upper half
	ram       uint64 // where memory begins
	depth     int
}

var arm64Kernels = []arm64Kernel{
	{"4K 48", 4096, 48, 48, 48, false, 0x40000000, 4},
	{"4K 39", 4096, 39, 39, 39, false, 0x80000000, 3},
	{"4K 48 before 5.4", 4096, 48, 48, 48, true, 0x40000000, 4},
	{"4K 52 LPA2", 4096, 52, 52, 52, false, 0xc000080000000, 5},
	{"4K 52 on 48", 4096, 52, 48, 48, false, 0x880000000, 4},
	{"16K 36", 16384, 36, 36, 36, false, 0x80000000, 2},
	{"16K 47", 16384, 47, 47, 47, false, 0x80000000, 3},
	{"16K 48", 16384, 48, 48, 48, false, 0x80000000, 4},
	{"16K 52 LPA2", 16384, 52, 52, 52, false, 0x8000080000000, 4},
	{"16K 52 on 47", 16384, 52, 47, 47, false, 0x80000000, 3},
	{"64K 42", 65536, 42, 42, 42, false, 0x80000000, 2},
	{"64K 48", 65536, 48, 48, 48, false, 0x80000000, 3},
	{"64K 52", 65536, 52, 52, 52, false, 0x9000080000000, 3},
	{"64K 52 on 48", 65536, 52, 48, 52, false, 0x80000000, 3},
}

const (
	arm64TextOff = 0x210000  // of _stext in memory
	arm64PGDOff  = 0x1a10000 // of swapper_pg_dir
	arm64RamSize = 0x20000000
)

func (k arm64Kernel) pageShift() uint { return newARM64Format(k.pageSize, 48).pageShift }

// text is the address of _stext: in the half that the linear map leaves.
func (k arm64Kernel) text() uint64 {
	upper := -(uint64(1) << (k.actual - 1))
	if k.old {
		upper = -(uint64(1) << k.actual)
	}
	return upper + 0x8000000 + arm64TextOff
}

// linear is the first address of the linear map; memory begins at it.
func (k arm64Kernel) linear() uint64 {
	if k.old {
		return -(uint64(1) << (k.actual - 1))
	}
	return -(uint64(1) << k.actual)
}

func (k arm64Kernel) voffset() uint64 { return k.text() - (k.ram + arm64TextOff) }

// physOffset is what makes PAGE_OFFSET - PHYS_OFFSET the distance of the linear map.
func (k arm64Kernel) physOffset() uint64 {
	pageOffset := -(uint64(1) << k.build)
	if k.old {
		pageOffset = k.linear()
	}
	return pageOffset - (k.linear() - k.ram)
}

// encode makes an entry as the processor wants it.
func (k arm64Kernel) encode(l level, kd kind, addr uint64) uint64 {
	low := addr & (1<<48 - 1)
	switch {
	case k.pageSize == 65536:
		low |= addr >> 48 & 0xf << 12
	case k.tableBits == 52:
		low |= addr & (3 << 48)
		low |= addr >> 50 & 3 << 8
	}
	switch {
	case kd == inner:
		return low | 3
	case l.shift == k.pageShift():
		return low | 3 | 1<<10 | 1<<53 | 1<<54
	}
	return low | 1 | 1<<10
}

// vmalloc is an address that only the tables translate, the last page of memory.
func (k arm64Kernel) vmalloc() (va uint64, a phys.Addr) {
	return k.text() + 0x20000000, phys.Addr(k.ram + arm64RamSize - uint64(k.pageSize))
}

// buildTables makes the page tables.
func (k arm64Kernel) buildTables() *fakeMem {
	mem := newFakeMem(phys.Span{Start: phys.Addr(k.ram), End: phys.Addr(k.ram + arm64RamSize)})
	b := &tree{
		mem: mem, order: binary.LittleEndian, levels: newARM64Format(k.pageSize, k.tableBits).tree,
		root: phys.Addr(k.ram + arm64PGDOff), free: phys.Addr(k.ram + 0x10000000), encode: k.encode,
	}
	shift := k.pageShift()
	b.mapRun(k.text(), phys.Addr(k.ram+arm64TextOff), 0x600000, shift)
	b.mapRun(k.text()+0x800000, phys.Addr(k.ram+arm64TextOff+0x800000), 0x1400000, shift)
	block := b.levels[len(b.levels)-2].shift // 2, 32 or 512 MiB
	b.mapRun(k.linear(), phys.Addr(k.ram), max(arm64RamSize, uint64(1)<<block), block)
	va, a := k.vmalloc()
	b.mapPage(va, a, shift)
	return mem
}

func (k arm64Kernel) hints() Hints {
	h := hintsOf(k.pageSize, map[string]uint64{
		"VA_BITS":        uint64(k.build),
		"TCR_EL1_T1SZ":   uint64(64 - k.actual),
		"kimage_voffset": k.voffset(),
		"PHYS_OFFSET":    k.physOffset(),
	}, map[string]uint64{
		"_stext":         k.text(),
		"swapper_pg_dir": k.text() + arm64PGDOff - arm64TextOff,
	})
	h.MaxPhys = phys.Addr(k.ram + arm64RamSize)
	return h
}

func (k arm64Kernel) space(t *testing.T, h Hints, mem phys.Reader) Space {
	t.Helper()
	s, err := arm64().Space(h, mem)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestARM64Space compares each granule and width with what was built.
func TestARM64Space(t *testing.T) {
	for _, k := range arm64Kernels {
		t.Run(k.name, func(t *testing.T) {
			s := k.space(t, k.hints(), k.buildTables())
			if depth := len(s.(*space).tables.format.(arm64Format).tree); depth != k.depth {
				t.Errorf("%d levels, want %d", depth, k.depth)
			}
			if start, end := s.ImageRange(); start != k.text() || end != k.text()+0x1c00000 {
				t.Errorf("image %#x-%#x, want %#x-%#x", start, end, k.text(), k.text()+0x1c00000)
			}
			for _, off := range []uint64{0, 0x1238, 0x5ffff8, 0x800000, 0x1bffff8} {
				checkRule(t, s, s.Image, k.text()+off)
			}
			for _, off := range []uint64{0, 0x123456, arm64RamSize - 8} {
				checkRule(t, s, s.Direct, k.linear()+off)
				if va, ok := s.Virt(phys.Addr(k.ram + off)); !ok || va != k.linear()+off {
					t.Errorf("Virt(%#x) = %#x, %t, want %#x", k.ram+off, va, ok, k.linear()+off)
				}
			}
			va, a := k.vmalloc()
			checkWalk(t, s, va+8, a+8, uint64(k.pageSize))
			checkNoWalk(t, s, k.text()+0x700000, phys.ErrUnmapped, "PTE")
			checkNoWalk(t, s, 0xdead000000000100, phys.ErrUnmapped, "")
			checkNoWalk(t, s, 0x1000, phys.ErrUnmapped, "")
		})
	}
}

// TestARM64LinearFromTables leaves PHYS_OFFSET out, or makes it wrong.
func TestARM64LinearFromTables(t *testing.T) {
	for _, k := range arm64Kernels {
		t.Run(k.name, func(t *testing.T) {
			h := k.hints()
			number := h.Number
			h.Number = func(key string) (int64, bool) {
				v, ok := number(key)
				if key == "PHYS_OFFSET" {
					v += 0x1000000
				}
				return v, ok
			}
			s := k.space(t, h, k.buildTables())
			if a, ok := s.Direct(k.linear() + 0x1234); !ok || a != phys.Addr(k.ram+0x1234) {
				t.Errorf("linear map: %#x, %t", a, ok)
			}
		})
	}
}

// TestARM64Lost translates image and linear map when the root is not in the dump.
func TestARM64Lost(t *testing.T) {
	for _, k := range arm64Kernels {
		t.Run(k.name, func(t *testing.T) {
			mem := k.buildTables()
			for off := phys.PFN(0); off < 16; off++ {
				mem.why[phys.PFN((k.ram+arm64PGDOff)>>12)+off] = phys.ErrLost
			}
			s := k.space(t, k.hints(), mem)
			if a, ok := s.Image(k.text() + 0x10); !ok || a != phys.Addr(k.ram+arm64TextOff+0x10) {
				t.Errorf("image: %#x, %t", a, ok)
			}
			if a, ok := s.Direct(k.linear() + 0x1234); !ok || a != phys.Addr(k.ram+0x1234) {
				t.Errorf("linear map: %#x, %t", a, ok)
			}
			va, _ := k.vmalloc()
			checkNoWalk(t, s, va, phys.ErrLost, "PGD")
		})
	}
}

// TestARM64Tags takes off a tag byte always, and pointer authentication on demand.
func TestARM64Tags(t *testing.T) {
	k := arm64Kernels[1] // 39 bits leave room for a code
	s := k.space(t, k.hints(), k.buildTables())
	va := k.linear() + 0x1000
	if a, ok := s.Direct(va&^(0xff<<56) | 0xf3<<56); !ok || a != phys.Addr(k.ram+0x1000) {
		t.Errorf("tagged pointer: %#x, %t", a, ok)
	}
	pac := k.text()&^(0x5a5<<40) | 1<<55
	if got := s.Strip(pac); got != k.text() {
		t.Errorf("Strip(%#x) = %#x, want %#x", pac, got, k.text())
	}
	if got := s.Strip(0x0012007ffc123456 &^ (1 << 55)); got != 0x7ffc123456 {
		t.Errorf("user address: %#x", got)
	}
	if _, ok := s.Image(pac); ok {
		t.Error("a signed pointer translates without Strip")
	}
}

func TestARM64Flags(t *testing.T) {
	k := arm64Kernels[0]
	s := k.space(t, k.hints(), k.buildTables())
	w, err := s.Walk(k.text())
	if want := []string{"VALID", "AF", "PXN", "UXN"}; err != nil || !slices.Equal(w.Flags, want) {
		t.Errorf("%v, %v, want %v", w.Flags, err, want)
	}
	var names []string
	for _, step := range w.Steps {
		names = append(names, step.Level)
	}
	if want := []string{"PGD", "PUD", "PMD", "PTE"}; !slices.Equal(names, want) {
		t.Errorf("levels %v", names)
	}
}

// TestARM64Refused: what does not suffice, and what does not exist.
func TestARM64Refused(t *testing.T) {
	k := arm64Kernels[0]
	full := k.hints()
	none := func(string) (uint64, bool) { return 0, false }
	for name, change := range map[string]func(*Hints){
		"nothing":   func(h *Hints) { *h = Hints{} },
		"no symbol": func(h *Hints) { h.Symbol = none },
		"page size": func(h *Hints) { h.PageSize = 8192 },
		"VA bits": func(h *Hints) {
			h.Number = func(key string) (int64, bool) { return 64, key == "VA_BITS" || key == "kimage_voffset" }
		},
	} {
		h := full
		change(&h)
		if _, err := arm64().Space(h, newFakeMem()); !errors.Is(err, phys.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
	}
}
