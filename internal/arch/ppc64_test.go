package arch

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

const (
	ppcText    = ppcLinear + 0x10000
	ppcPGD     = ppcLinear + 0x2000000
	ppcVmalloc = 0xc008000000000000
	ppcRam     = 1 << 30
)

func ppcEncode(l level, k kind, addr uint64) uint64 {
	if k == inner {
		return addr | 1<<63 | 9
	}
	return addr | 1<<63 | 1<<62 | 0x18e
}

// ppcSpace is a radix kernel; both byte orders have the same tables.
func ppcSpace(t *testing.T, m machine, pageSize int, numbers map[string]uint64, radix bool) Space {
	t.Helper()
	mem := newFakeMem(phys.Span{Start: 0, End: ppcRam})
	b := &tree{
		mem: mem, order: binary.BigEndian, levels: newPPCFormat(pageSize).tree,
		root: ppcPGD - ppcLinear, free: 0x4000000, encode: ppcEncode,
	}
	if radix {
		b.mapRun(ppcLinear, 0, ppcRam/2, 21)
		b.mapPage(ppcLinear+1<<30, 1<<30, 30)
	}
	b.mapPage(ppcVmalloc+uint64(pageSize), phys.Addr(3*pageSize), b.levels[3].shift)
	h := hintsOf(pageSize, numbers, map[string]uint64{"_stext": ppcText, "swapper_pg_dir": ppcPGD})
	h.MaxPhys = 2 * ppcRam
	s, err := m.Space(h, mem)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPPC64Radix(t *testing.T) {
	for _, m := range []machine{ppc64(), ppc64le()} {
		for _, pageSize := range m.info.PageSizes {
			s := ppcSpace(t, m, pageSize, nil, true)
			checkRule(t, s, s.Image, ppcText+0x1234)
			checkRule(t, s, s.Direct, ppcLinear+0x1234567)
			checkWalk(t, s, ppcLinear+0x200010, 0x200010, 2<<20)
			checkWalk(t, s, ppcLinear+0x40000123, 0x40000123, 1<<30)
			size := uint64(pageSize)
			checkWalk(t, s, ppcVmalloc+size+8, phys.Addr(3*size+8), size)
			checkNoWalk(t, s, ppcVmalloc, phys.ErrUnmapped, "PTE")
			checkNoWalk(t, s, 0x5deadbeef0000100, phys.ErrUnmapped, "")
		}
	}
}

// TestPPC64Hash translates the linear map only, whether VMCOREINFO says so or not.
func TestPPC64Hash(t *testing.T) {
	for _, numbers := range []map[string]uint64{nil, {"RADIX_MMU": 0}} {
		s := ppcSpace(t, ppc64(), 65536, numbers, false)
		checkNoWalk(t, s, ppcVmalloc+65536, phys.ErrUnsupported, "")
		if a, ok := s.Direct(ppcLinear + 0x1234); !ok || a != 0x1234 {
			t.Errorf("linear map: %#x, %t", a, ok)
		}
		if _, err := s.WalkUser(0, 0x1000); !errors.Is(err, phys.ErrUnsupported) {
			t.Errorf("a process: %v", err)
		}
	}
}
