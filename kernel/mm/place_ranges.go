package mm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// stack is the kernel stack of a task.
type stack struct {
	start, end uint64
	task       kernel.Task
}

// taskStacks are the tasks with their stacks. A task that has ended has none any more.
func (m *Memory) taskStacks(ctx context.Context) ([]stack, error) {
	return m.stacks.get(ctx, func(ctx context.Context) (out []stack, err error) {
		size := uint64(4 * m.k.PageSize()) // THREAD_SIZE of 64-bit processors with pages of 4 KiB
		for t, terr := range m.k.Tasks(ctx) {
			if terr != nil {
				err = cmp.Or(err, terr)
			}
			if t.Addr == 0 {
				continue
			}
			s := stack{task: t}
			if s.start, terr = t.Pointer("stack"); terr == nil && s.start != 0 {
				s.end = s.start + m.stackSize(t, size)
			}
			out = append(out, s)
		}
		return out, err
	})
}

// stackSize is THREAD_SIZE: the size of the area that holds the stack of a task (4.9 on),
// without its guard page. KASAN doubles it.
func (m *Memory) stackSize(t kernel.Task, size uint64) uint64 {
	area, err := t.Follow("stack_vm_area")
	if err != nil {
		return size
	}
	n, err := area.Uint("size")
	page := uint64(m.k.PageSize())
	if err != nil || n <= page || n > 1<<20 {
		return size
	}
	return n - page
}

// moduleRange is a part of a module's memory.
type moduleRange struct {
	name, part string
	start, end uint64
}

// moduleRanges are where the loaded modules lie.
func (m *Memory) moduleRanges(ctx context.Context) ([]moduleRange, error) {
	return m.modules.get(ctx, func(ctx context.Context) (out []moduleRange, err error) {
		for mod, merr := range m.k.ModuleInfos(ctx) {
			err = cmp.Or(err, merr)
			for _, a := range mod.Areas {
				out = append(out, moduleRange{mod.Name, a.Name, a.Addr, a.Addr + a.Size})
			}
		}
		return out, err
	})
}

// percpuMap is where the per-CPU areas lie: the variables that have symbols, and the chunk
// that they are the beginning of.
type percpuMap struct {
	start, end uint64 // of the symbols
	syms       []symbols.Symbol
	areas      []percpuArea
	unit       uint64 // bytes of an area in the first chunk
}

type percpuArea struct {
	cpu  int
	off  uint64 // of the variables' symbols
	base uint64 // of the area in the first chunk, 0 if unknown
}

// inPerCPU: a variable of one CPU.
func (m *Memory) inPerCPU(ctx context.Context, p *Place) bool {
	pc, err := m.percpu.get(ctx, m.readPerCPU)
	if err != nil {
		if !errors.Is(err, symbols.ErrNoSymbol) {
			p.miss(err)
		}
		return false
	}
	for _, a := range pc.areas {
		at := p.Addr - a.off
		inUnit := a.base != 0 && p.Addr >= a.base && p.Addr-a.base < pc.unit
		if (at < pc.start || at >= pc.end) && !inUnit {
			continue
		}
		p.CPU = a.cpu
		if pa, err := m.k.Translate(p.Addr); err == nil {
			p.Phys = &pa
		}
		if !pc.named(p, at) {
			p.Offset = int64(p.Addr - a.base)
			return p.say(PlacePerCPU, "per-CPU memory of CPU %d that was allocated, %#x into its area", a.cpu, p.Offset)
		}
		return p.say(PlacePerCPU, "per-CPU variable %s%s of CPU %d", p.Symbol.Name, plus(p.Offset), a.cpu)
	}
	return false
}

// named sets the per-CPU symbol that an address or offset lies in.
func (pc *percpuMap) named(p *Place, at uint64) bool {
	i := sort.Search(len(pc.syms), func(i int) bool { return pc.syms[i].Addr > at })
	if at < pc.start || at >= pc.end || i == 0 {
		return false
	}
	p.Symbol, p.Offset = &pc.syms[i-1], int64(at-pc.syms[i-1].Addr)
	return true
}

// perCPUOffset adds that a small number can be the offset of a per-CPU variable, which is
// what the symbols of x86 are until 6.14.
func (m *Memory) perCPUOffset(ctx context.Context, p *Place) {
	if pc, err := m.percpu.get(ctx, m.readPerCPU); err == nil && pc.start == 0 && pc.named(p, p.Addr) {
		p.say(PlacePerCPU, "offset of the per-CPU variable %s%s, or an address of user space", p.Symbol.Name, plus(p.Offset))
	}
}

// readPerCPU reads the offsets of the CPUs' areas (__per_cpu_offset) and where the first
// chunk lies (pcpu_base_addr of mm/percpu.c).
func (m *Memory) readPerCPU(ctx context.Context) (pc percpuMap, err error) {
	first, err := m.k.Symbol("__per_cpu_start")
	end, err2 := m.k.Symbol("__per_cpu_end")
	offsets, err3 := m.k.Symbol("__per_cpu_offset")
	if err = errors.Join(err, err2, err3); err != nil {
		return pc, err
	}
	table, err := m.k.Symbols()
	if table == nil {
		return pc, err
	}
	pc.start, pc.end = first.Addr, end.Addr
	for s := range table.All() {
		if s.Addr >= pc.start && s.Addr < pc.end && s.Name != "__per_cpu_start" {
			pc.syms = append(pc.syms, s)
		}
	}
	slices.SortStableFunc(pc.syms, func(a, b symbols.Symbol) int { return cmp.Compare(a.Addr, b.Addr) })
	ptr := uint64(m.k.PtrSize())
	base, units := m.firstChunk(&pc)
	for _, cpu := range m.k.PossibleCPUs() {
		if ctx.Err() != nil {
			return pc, ctx.Err()
		}
		a := percpuArea{cpu: cpu}
		if a.off, err = m.word(offsets.Addr + uint64(cpu)*ptr); err != nil {
			return pc, fmt.Errorf("per-CPU area of CPU %d: %w", cpu, err)
		}
		if units != 0 {
			if off, err := m.word(units + uint64(cpu)*ptr); err == nil {
				a.base = base + off
			}
		}
		pc.areas = append(pc.areas, a)
	}
	return pc, nil
}

// firstChunk is the address of the first chunk, and that of the table of offsets in it.
func (m *Memory) firstChunk(pc *percpuMap) (base, units uint64) {
	var v [3]uint64
	for i, name := range []string{"pcpu_base_addr", "pcpu_unit_offsets", "pcpu_unit_size"} {
		s, err := m.k.Symbol(name)
		if err == nil {
			v[i], err = m.word(s.Addr)
		}
		if err != nil {
			return 0, 0
		}
	}
	pc.unit = uint64(uint32(v[2])) // an int
	return v[0], v[1]
}
