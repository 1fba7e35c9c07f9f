package arch

import (
	"encoding/binary"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// s390Kernel is a kernel of which the tests build the page tables, top tables of region
// type tt: 1 is a region third table, 3 a region first table.
type s390Kernel struct {
	tt       int
	offset   uint64 // KERNELOFFSET and KERNELOFFPHYS of 6.10 and later, 0 before
	loaded   uint64
	identity uint64
}

const (
	s390Text    = 0x100000
	s390PGD     = 0x1400000
	s390Ram     = 0x20000000
	s390Vmalloc = 0x37fff000000
)

func s390Levels(tt int) []level {
	all := []level{{"R1", 53, 11}, {"R2", 42, 11}, {"R3", 31, 11}, {"STE", 20, 11}, {"PTE", 12, 8}}
	return all[3-tt:]
}

func s390Encode(l level, k kind, addr uint64) uint64 {
	tt := map[string]uint64{"R1": 3, "R2": 2, "R3": 1}[l.name] << 2
	switch {
	case k == leaf && l.name != "PTE":
		return addr | tt | s390Large | 0x200
	case k == leaf:
		return addr | 0x100
	case l.name == "STE":
		return addr
	}
	return addr | tt | 3 // the whole of the next table
}

func (k s390Kernel) space(t *testing.T) (Space, *tree) {
	t.Helper()
	mem := newFakeMem(phys.Span{Start: 0, End: s390Ram})
	b := &tree{
		mem: mem, order: binary.BigEndian, levels: s390Levels(k.tt),
		root: phys.Addr(s390PGD + k.loaded), free: 0x8000000, encode: s390Encode,
	}
	for i := range phys.Addr(2048) { // every entry of an empty table says its type
		mem.put(b.root+i*8, uint64(k.tt)<<2|s390Invalid, binary.BigEndian)
	}
	b.mapRun(k.offset+s390Text, phys.Addr(k.loaded+s390Text), 0x2000000, 20)
	b.mapRun(k.identity+0x4000000, 0x4000000, 0x4000000, 20)
	b.mapPage(s390Vmalloc, 0x5000000, 12)
	h := hintsOf(4096, nil, map[string]uint64{"_stext": k.offset + s390Text, "swapper_pg_dir": k.offset + s390PGD})
	h.MaxPhys = s390Ram
	if k.offset != 0 {
		hex := map[string]uint64{"KERNELOFFSET": k.offset, "KERNELOFFPHYS": k.loaded, "IDENTITYBASE": k.identity}
		h.Hex = func(key string) (uint64, bool) { v, ok := hex[key]; return v, ok }
	}
	s, err := s390x().Space(h, mem)
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func TestS390Space(t *testing.T) {
	for name, k := range map[string]s390Kernel{
		"3 levels": {tt: 1},
		"4 levels": {tt: 2},
		"5 levels": {tt: 3},
		"6.10":     {tt: 2, offset: 0x3ffe0000000, loaded: 0x2000000},
		"6.10, 3":  {tt: 1, offset: 0x3ffe0000000, loaded: 0x2000000, identity: 0x10000000000},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := k.space(t)
			checkRule(t, s, s.Image, k.offset+s390Text+0x1234)
			checkRule(t, s, s.Direct, k.identity+0x4123456)
			checkWalk(t, s, k.offset+s390Text+0x212345, phys.Addr(k.loaded+s390Text+0x212345), 1<<20)
			w := checkWalk(t, s, s390Vmalloc+8, 0x5000008, 4096)
			if len(w.Steps) != k.tt+2 || w.Flags[0] != "NOEXEC" {
				t.Errorf("%d steps, flags %v", len(w.Steps), w.Flags)
			}
			checkNoWalk(t, s, s390Vmalloc-(2<<31), phys.ErrUnmapped, "R3")
			if k.tt == 1 {
				checkNoWalk(t, s, 1<<43, phys.ErrUnmapped, "")
			}
			if start, end := s.ImageRange(); k.offset != 0 && (start != k.offset+s390Text || end != start+0x2000000) {
				t.Errorf("image %#x-%#x", start, end)
			}
			// An entry whose table lacks the quarter that the address needs.
			at := b.levels[k.tt-1].entryAt(w.Steps[k.tt-1].Entry&^0x3fff, s390Vmalloc)
			b.mem.put(at, w.Steps[k.tt-1].Value&^3, binary.BigEndian)
			checkNoWalk(t, s, s390Vmalloc, phys.ErrUnmapped, "R3")
		})
	}
}

// TestS390LargeRegion maps 2 GiB by one entry.
func TestS390LargeRegion(t *testing.T) {
	s, b := s390Kernel{tt: 2}.space(t)
	b.mapPage(0x20000000000, 0x80000000, 31)
	checkWalk(t, s, 0x20000000000+0x12345678, 0x80000000+0x12345678, 2<<30)
}
