package arch

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// riscvKernel is a kernel of which the tests build the page tables.
type riscvKernel struct {
	vaBits     uint
	pageOffset uint64
}

var riscvKernels = map[string]riscvKernel{
	"Sv39": {39, 0xffffffd600000000},
	"Sv48": {48, 0xffffaf8000000000},
	"Sv57": {57, 0xff60000000000000},
}

const (
	riscvText    = 0xffffffff80002000
	riscvRam     = 0x80000000
	riscvRamSize = 0x10000000
	riscvOffset  = 0xffffffff80000000 - (riscvRam + 0x200000)
	riscvPGD     = 0xffffffff81000000
	riscvModule  = 0xffffffff01234000
	riscvNapotVA = 0xffffffff02000000
)

func riscvEncode(l level, k kind, addr uint64) uint64 {
	if k == inner {
		return addr>>12<<10 | 1
	}
	return addr>>12<<10 | 0xc7
}

func (k riscvKernel) space(t *testing.T, change func(*Hints)) Space {
	t.Helper()
	mem := newFakeMem(phys.Span{Start: riscvRam, End: riscvRam + riscvRamSize})
	b := &tree{
		mem: mem, order: binary.LittleEndian, levels: newRISCVFormat(k.vaBits).tree,
		root: riscvPGD - riscvOffset, free: riscvRam + 0x8000000, encode: riscvEncode,
	}
	b.mapRun(k.pageOffset, riscvRam, riscvRamSize, 21)
	b.mapRun(riscvText-0x2000, riscvRam+0x200000, 0x1400000, 21)
	b.mapPage(riscvModule, riscvRam+0x7000000, 12)
	napot := b.encode
	b.encode = func(l level, kd kind, addr uint64) uint64 {
		if kd == leaf {
			addr |= 0x8000
			return napot(l, kd, addr) | 1<<63
		}
		return napot(l, kd, addr)
	}
	b.mapRun(riscvNapotVA, riscvRam+0x7010000, 1, 12)
	b.mapRun(riscvNapotVA+0x5000, riscvRam+0x7010000, 1, 12)
	h := hintsOf(4096, map[string]uint64{
		"VA_BITS": uint64(k.vaBits), "PAGE_OFFSET": k.pageOffset, "phys_ram_base": riscvRam,
		"va_kernel_pa_offset": riscvOffset,
	}, map[string]uint64{"_stext": riscvText, "swapper_pg_dir": riscvPGD})
	h.MaxPhys = riscvRam + riscvRamSize
	change(&h)
	s, err := riscv64().Space(h, mem)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRISCVSpace(t *testing.T) {
	for name, k := range riscvKernels {
		t.Run(name, func(t *testing.T) {
			s := k.space(t, func(*Hints) {})
			if start, end := s.ImageRange(); start != riscvText-0x2000 || end != riscvText-0x2000+0x1400000 {
				t.Errorf("image %#x-%#x", start, end)
			}
			checkRule(t, s, s.Image, riscvText+0x1234)
			for _, off := range []uint64{0, 0x1234567, riscvRamSize - 8} {
				checkRule(t, s, s.Direct, k.pageOffset+off)
			}
			if _, ok := s.Direct(k.pageOffset + riscvRamSize); ok {
				t.Error("the linear map goes on behind memory")
			}
			w := checkWalk(t, s, riscvModule+8, riscvRam+0x7000008, 4096)
			if want := []string{"PRESENT", "READ", "WRITE", "ACCESSED", "DIRTY"}; !slices.Equal(w.Flags, want) {
				t.Errorf("flags %v", w.Flags)
			}
			checkWalk(t, s, riscvNapotVA+0x5678, riscvRam+0x7015678, 64<<10)
			checkNoWalk(t, s, riscvModule+0x1000, phys.ErrUnmapped, "PTE")
			checkNoWalk(t, s, 0x0dead00000000000, phys.ErrUnmapped, "")
		})
	}
}

// TestRISCVOtherHints takes the width and the root from satp, and the linear map from
// the tables when phys_ram_base is not where it begins.
func TestRISCVOtherHints(t *testing.T) {
	k := riscvKernels["Sv48"]
	s := k.space(t, func(h *Hints) {
		numbers := map[string]uint64{
			"satp": 9<<60 | (riscvPGD-riscvOffset)>>12, "PAGE_OFFSET": k.pageOffset,
			"phys_ram_base": riscvRam + 0x200000, "KERNEL_LINK_ADDR": 0xffffffff80000000,
		}
		h.Number = func(key string) (int64, bool) { v, ok := numbers[key]; return int64(v), ok }
		h.Symbol = func(key string) (uint64, bool) { return riscvText, key == "_stext" }
	})
	checkRule(t, s, s.Image, riscvText+0x1234)
	checkRule(t, s, s.Direct, k.pageOffset+0x1234)
}

func TestRISCVRefused(t *testing.T) {
	for name, numbers := range map[string]map[string]uint64{
		"nothing": nil,
		"width":   {"VA_BITS": 40, "va_kernel_pa_offset": 0},
		"offset":  {"VA_BITS": 39},
	} {
		if _, err := riscv64().Space(hintsOf(4096, numbers, nil), newFakeMem()); !errors.Is(err, phys.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
	}
}
