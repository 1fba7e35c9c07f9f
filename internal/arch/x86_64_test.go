package arch

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// x86Kernel is a kernel of which the tests build the page tables: text of 6 MiB with one
// 2 MiB page split into small ones and a hole where the init sections were, the direct
// map of 2 GiB of memory, and one page of vmalloc.
type x86Kernel struct {
	depth    uint
	sme      uint64
	physBase uint64
	direct   uint64
	mem      *fakeMem
	tree     *tree
}

const (
	x86Text     = 0xffffffff9a200000
	x86TextPhys = 0x3400000
	x86PGD      = x86Text + 0x1ff000 // of swapper_pg_dir
	x86Vmalloc  = 0xffffc90000000000
	x86Ram      = 2 << 30
)

func newX86Kernel(depth uint, sme, direct uint64) *x86Kernel {
	physBase := uint64(x86TextPhys)
	physBase -= x86Text - x86Image // below zero
	k := &x86Kernel{
		depth: depth, sme: sme, physBase: physBase, direct: direct,
		mem: newFakeMem(phys.Span{Start: 0, End: x86Ram}),
	}
	k.tree = &tree{
		mem: k.mem, order: binary.LittleEndian, levels: newX86Format(depth, sme).tree,
		root: x86TextPhys + x86PGD - x86Text, free: 0x10000000,
		encode: func(l level, kd kind, addr uint64) uint64 {
			if kd == inner {
				return addr | sme | 0x67
			}
			if l.shift == 12 {
				return addr | sme | 0x63 | 1<<63
			}
			return addr | sme | 0x1e3 | 1<<63
		},
	}
	k.tree.mapPage(direct, 0, 30)
	k.tree.mapRun(direct+1<<30, 1<<30, 1<<30, 21)
	k.tree.mapRun(x86Text, x86TextPhys, 2<<20, 21)
	k.tree.mapRun(x86Text+2<<20, x86TextPhys+2<<20, 1<<20, 12) // the second MiB is the hole
	k.tree.mapRun(x86Text+4<<20, x86TextPhys+4<<20, 2<<20, 21)
	k.tree.mapPage(x86Vmalloc, 0x7654000, 12)
	return k
}

func (k *x86Kernel) symbols() map[string]uint64 {
	return map[string]uint64{"_stext": x86Text, "swapper_pg_dir": x86PGD}
}

func (k *x86Kernel) numbers() map[string]uint64 {
	return map[string]uint64{"phys_base": k.physBase, "pgtable_l5_enabled": uint64(k.depth - 4), "sme_mask": k.sme}
}

func (k *x86Kernel) hints() Hints {
	h := hintsOf(4096, k.numbers(), k.symbols())
	h.MaxPhys = x86Ram
	return h
}

// space makes the Space from hints.
func (k *x86Kernel) space(t *testing.T, h Hints) Space {
	t.Helper()
	s, err := x86_64().Space(h, k.mem)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check compares everything with what was built.
func (k *x86Kernel) check(t *testing.T, s Space) {
	t.Helper()
	if start, end := s.ImageRange(); start != x86Text || end != x86Text+6<<20 {
		t.Errorf("image %#x-%#x", start, end)
	}
	for _, off := range []uint64{0, 0x1234, 0x1fffff, 0x200008, 0x2ff000, 0x5ffff8} {
		checkRule(t, s, s.Image, x86Text+off)
	}
	for _, off := range []uint64{0, 0x12345678, 1 << 30, x86Ram - 1} {
		checkRule(t, s, s.Direct, k.direct+off)
		if va, ok := s.Virt(phys.Addr(off)); !ok || va != k.direct+off {
			t.Errorf("Virt(%#x) = %#x, %t", off, va, ok)
		}
	}
	checkWalk(t, s, k.direct+0x3fffffff, 0x3fffffff, 1<<30)
	checkWalk(t, s, k.direct+0x40200010, 0x40200010, 2<<20)
	checkWalk(t, s, x86Vmalloc+0xff8, 0x7654ff8, 4096)
	if a, err := Translate(s, x86Vmalloc+8); err != nil || a != 0x7654008 {
		t.Errorf("vmalloc: %#x, %v", a, err)
	}
	checkNoWalk(t, s, x86Text+3<<20, phys.ErrUnmapped, "PTE")
	checkNoWalk(t, s, 0xdead000000000100, phys.ErrUnmapped, "")
}

var x86Kernels = map[string]*x86Kernel{
	"4 levels":              newX86Kernel(4, 0, 0xffff8f2200000000),
	"4 levels, SME":         newX86Kernel(4, 1<<47, 0xffff888000000000),
	"4 levels, before 4.20": newX86Kernel(4, 0, 0xffff880000000000),
	"5 levels":              newX86Kernel(5, 0, 0xff3cd00500000000),
	"5 levels, SEV":         newX86Kernel(5, 1<<51, 0xff11000000000000),
}

func TestX86Space(t *testing.T) {
	for name, k := range x86Kernels {
		t.Run(name, func(t *testing.T) { k.check(t, k.space(t, k.hints())) })
	}
}

// TestX86Trial leaves out what old kernels do not tell: the depth and the mask.
func TestX86Trial(t *testing.T) {
	for name, k := range x86Kernels {
		t.Run(name, func(t *testing.T) {
			numbers := map[string]uint64{"phys_base": k.physBase}
			h := hintsOf(4096, numbers, k.symbols())
			h.MaxPhys = x86Ram
			k.check(t, k.space(t, h))
		})
	}
}

// TestX86PhysBase takes phys_base from each place that may have it.
func TestX86PhysBase(t *testing.T) {
	k := newX86Kernel(4, 0, 0xffff888000000000)
	signed, wrong := int64(k.physBase), int64(0x200000)
	image := Segment{x86Text, phys.Span{Start: x86TextPhys, End: x86TextPhys + 6<<20}}
	for name, h := range map[string]Hints{
		"sub header":     {Symbol: k.hints().Symbol, PhysBase: &signed},
		"program header": {Symbol: k.hints().Symbol, PhysBase: &wrong, Segments: []Segment{image}},
		"CR3":            {Symbol: k.hints().Symbol, PhysBase: &wrong, CR3: uint64(k.tree.root) | 0x801},
		"CR3 alone":      {CR3: uint64(k.tree.root)},
	} {
		t.Run(name, func(t *testing.T) {
			h.MaxPhys = x86Ram
			k.check(t, k.space(t, h))
		})
	}
	t.Run("variable", func(t *testing.T) {
		k := newX86Kernel(4, 0, 0xffff888000000000)
		k.shiftTo(0x1400000)
		symbols := k.symbols()
		symbols["phys_base"] = x86Text + 0x400010
		h := hintsOf(4096, nil, symbols)
		h.MaxPhys = x86Ram
		if s := k.space(t, h); fact(s, "phys_base") != "0x1400000" {
			t.Errorf("phys_base %s", fact(s, "phys_base"))
		}
	})
}

// shiftTo moves the image to physBase above the place that the image rule gives it with
// phys_base 0, and stores the variable phys_base there.
func (k *x86Kernel) shiftTo(physBase uint64) {
	start := phys.Addr(x86Text - x86Image + physBase)
	k.mem.put(start+0x400010, physBase, binary.LittleEndian)
	k.tree.root, k.tree.next = start+x86PGD-x86Text, nil
	k.tree.mapRun(x86Text, start, 6<<20, 21)
}

// TestX86Direct takes the direct map's base from the places that remain without tables.
func TestX86Direct(t *testing.T) {
	k := newX86Kernel(4, 0, 0xffff8f2200000000)
	k.mem.why[phys.PFN(k.tree.root>>12)] = phys.ErrLost
	h := k.hints()
	s := k.space(t, h)
	if _, ok := s.Direct(k.direct); ok {
		t.Error("a direct map was invented")
	}
	if a, ok := s.Image(x86Text + 0x10); !ok || a != x86TextPhys+0x10 {
		t.Errorf("image: %#x, %t", a, ok)
	}
	checkNoWalk(t, s, x86Vmalloc, phys.ErrLost, "PGD")
	h.Segments = []Segment{
		{x86Text, phys.Span{Start: x86TextPhys, End: x86TextPhys + 6<<20}},
		{k.direct + 0x100000, phys.Span{Start: 0x100000, End: x86Ram}},
	}
	if a, ok := k.space(t, h).Direct(k.direct + 0x4000); !ok || a != 0x4000 {
		t.Errorf("direct map of the program headers: %#x, %t", a, ok)
	}
}

// TestX86LostTables names the level of a table that is not in the dump.
func TestX86LostTables(t *testing.T) {
	k := newX86Kernel(5, 0, 0xff11000000000000)
	s := k.space(t, k.hints())
	w, err := s.Walk(x86Vmalloc)
	if err != nil || len(w.Steps) != 5 {
		t.Fatalf("%d steps, %v", len(w.Steps), err)
	}
	for i, reason := range []error{nil, phys.ErrExcluded, phys.ErrLost, phys.ErrCorrupt, phys.ErrHole} {
		if reason == nil {
			continue
		}
		pfn := phys.PFN(w.Steps[i].Entry >> 12)
		k.mem.why[pfn] = reason
		checkNoWalk(t, s, x86Vmalloc, reason, w.Steps[i].Level)
		var pe *phys.PageError
		if _, err := s.Walk(x86Vmalloc); !errors.As(err, &pe) || !pe.Span.Contains(w.Steps[i].Entry) {
			t.Errorf("%v does not name the page", err)
		}
		delete(k.mem.why, pfn)
	}
}

func TestX86Flags(t *testing.T) {
	k := newX86Kernel(4, 1<<47, 0xffff888000000000)
	s := k.space(t, k.hints())
	w := checkWalk(t, s, x86Vmalloc, 0x7654000, 4096)
	if want := []string{"PRESENT", "RW", "ACCESSED", "DIRTY", "NX", "ENC"}; !slices.Equal(w.Flags, want) {
		t.Errorf("page: %v, want %v", w.Flags, want)
	}
	w = checkWalk(t, s, x86Text, x86TextPhys, 2<<20)
	if want := []string{"PRESENT", "RW", "ACCESSED", "DIRTY", "PSE", "GLOBAL", "NX", "ENC"}; !slices.Equal(w.Flags, want) {
		t.Errorf("2 MiB: %v, want %v", w.Flags, want)
	}
	if levels := []string{w.Steps[0].Level, w.Steps[1].Level, w.Steps[2].Level}; !slices.Equal(levels, []string{"PGD", "PUD", "PMD"}) {
		t.Errorf("levels %v", levels)
	}
}

// TestX86User walks a process' tables, and finds nothing of it in the kernel's.
func TestX86User(t *testing.T) {
	k := newX86Kernel(4, 0, 0xffff888000000000)
	s := k.space(t, k.hints())
	user := *k.tree
	user.root, user.next, user.free = 0x20000000, nil, 0x20010000
	user.mapPage(0x7ffc12345000, 0x1111000, 12)
	if w, err := s.WalkUser(user.root, 0x7ffc12345678); err != nil || w.Addr != 0x1111678 {
		t.Errorf("%#x, %v", w.Addr, err)
	}
	checkNoWalk(t, s, 0x7ffc12345678, phys.ErrUnmapped, "PGD")
}

func TestX86NoHints(t *testing.T) {
	if _, err := x86_64().Space(Hints{}, newFakeMem()); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
}
