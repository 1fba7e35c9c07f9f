package mm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Area is one area of the vmalloc range (struct vmap_area, vm_struct).
type Area struct {
	Addr       uint64 // struct vmap_area
	Start, End uint64 // the guard page behind it included
	Flags      uint64 // VM_…
	Caller     uint64 // the code that asked for it; 0 for vm_map_ram
	Pages      uint64 // of memory; 0 for a mapping of something else
	Phys       phys.Addr
	VM         uint64 // struct vm_struct, 0 for vm_map_ram
}

// The flags of vm_struct that never moved (include/linux/vmalloc.h).
var areaFlagNames = []struct {
	bit  uint64
	name string
}{{0x1, "ioremap"}, {0x2, "vmalloc"}, {0x4, "vmap"}, {0x8, "user"}, {0x10, "dma"}, {0x400, "huge"}}

// FlagNames are the flags as /proc/vmallocinfo spells them.
func (a Area) FlagNames() (names []string) {
	if a.VM == 0 {
		return []string{"vm_map_ram"}
	}
	for _, f := range areaFlagNames {
		if a.Flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

// Areas are the areas of the vmalloc range, ascending: modules, stacks, large allocations,
// registers of devices. Those that could not be read are in the error.
func (m *Memory) Areas(ctx context.Context) ([]Area, error) { return m.areas.get(ctx, m.readAreas) }

func (m *Memory) readAreas(ctx context.Context) (areas []Area, err error) {
	ts, err := m.k.Types()
	if err != nil {
		return nil, fmt.Errorf("vmalloc areas: %w", err)
	}
	t, err := symbols.Find(ts, "struct vmap_area")
	if err != nil {
		return nil, fmt.Errorf("vmalloc areas: %w", err)
	}
	heads, err := m.areaLists(ts)
	if err != nil {
		return nil, fmt.Errorf("vmalloc areas: %w", err)
	}
	for _, head := range heads {
		objects, lerr := m.listFromBothEnds(ctx, head, t, "list")
		err = errors.Join(err, lerr)
		for _, o := range objects {
			a, aerr := area(o)
			if err = errors.Join(err, aerr); aerr == nil {
				areas = append(areas, a)
			}
		}
	}
	slices.SortFunc(areas, func(a, b Area) int { return cmp.Compare(a.Start, b.Start) })
	if err != nil {
		err = fmt.Errorf("vmalloc areas: %w", err)
	}
	return areas, err
}

// maxVmapNodes is far above the 128 that 6.9 makes at most.
const maxVmapNodes = 1 << 12

// areaLists are the heads of the lists of areas: one until 6.8, one a node since
// (d093602919ad).
func (m *Memory) areaLists(ts symbols.Types) (heads []uint64, err error) {
	if info, err := m.k.Info(); err == nil {
		if head, ok := info.Symbol("vmap_area_list"); ok {
			return []uint64{head}, nil
		}
	}
	if sym, err := m.k.Symbol("vmap_area_list"); err == nil {
		return []uint64{sym.Addr}, nil
	}
	n, err := m.int("nr_vmap_nodes")
	if errors.Is(err, symbols.ErrNoSymbol) {
		n = 1 // a constant of kernels for one processor
	} else if err != nil {
		return nil, err
	}
	if n < 1 || n > maxVmapNodes {
		return nil, fmt.Errorf("nr_vmap_nodes is %d: %w", n, phys.ErrCorrupt)
	}
	t, err := symbols.Find(ts, "struct vmap_node")
	if err != nil {
		return nil, err
	}
	busy, err := t.Member("busy.head")
	if err != nil {
		return nil, err
	}
	sym, err := m.k.Symbol("vmap_nodes")
	if err != nil {
		return nil, err
	}
	at, err := m.word(sym.Addr)
	if err != nil {
		return nil, err
	}
	for i := range uint64(n) {
		heads = append(heads, at+i*t.Size()+busy.Offset/8)
	}
	return heads, nil
}

// area reads a vmap_area and its vm_struct, which those of vm_map_ram do not have.
func area(o kernel.Object) (a Area, err error) {
	f := o.Fields()
	a.Addr = o.Addr
	a.Start, a.End = f.Uint("va_start"), f.Uint("va_end")
	if err := f.Err(); err != nil {
		return a, err
	}
	vm, err := o.Follow("vm")
	if err != nil {
		if phys.Reason(err) == phys.ErrUnmapped {
			err = nil
		}
		return a, err
	}
	if at, err := vm.Pointer("addr"); err != nil || at != a.Start {
		return a, nil // until 5.3 the member is something else in areas without one
	}
	a.VM = vm.Addr
	f = vm.Fields()
	a.Flags, a.Caller, a.Pages, a.Phys = f.Uint("flags"), f.Pointer("caller"), f.Uint("nr_pages"), phys.Addr(f.Uint("phys_addr"))
	return a, f.Err()
}

// areaAt finds the area that an address is in.
func areaAt(areas []Area, va uint64) (Area, bool) {
	i := sort.Search(len(areas), func(i int) bool { return areas[i].End > va })
	if i < len(areas) && areas[i].Start <= va {
		return areas[i], true
	}
	return Area{}, false
}
