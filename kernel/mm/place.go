package mm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// PlaceKind says what an address leads to.
type PlaceKind string

// The kinds of places.
const (
	PlaceNull         PlaceKind = "null"          // NULL, or a member of what NULL points to
	PlaceError        PlaceKind = "error-pointer" // a negative errno in place of a pointer
	PlacePoison       PlaceKind = "poison"        // a value that the kernel leaves in what it has done with
	PlaceNonCanonical PlaceKind = "non-canonical" // no address at all
	PlaceUser         PlaceKind = "user"          // the half of the address space that processes have
	PlaceSymbol       PlaceKind = "symbol"        // code or data of the kernel image
	PlacePerCPU       PlaceKind = "per-cpu"       // a variable of one CPU
	PlaceModule       PlaceKind = "module"        // memory of a module
	PlaceStack        PlaceKind = "stack"         // kernel stack of a task
	PlaceStructPage   PlaceKind = "struct-page"   // the struct page of a frame
	PlaceVmalloc      PlaceKind = "vmalloc"       // an area of the vmalloc range
	PlaceSlab         PlaceKind = "slab"          // in a slab
	PlacePage         PlaceKind = "page"          // any other page of memory
	PlaceMapped       PlaceKind = "mapped"        // page tables translate it; nothing else is known
	PlaceUnmapped     PlaceKind = "unmapped"      // nothing is there
)

// Place is what an address is. Fields that do not belong to its kind are nil or zero.
type Place struct {
	Addr uint64
	Kind PlaceKind
	Text string // in words, without the address

	// Offset is from the beginning of what Kind names: the symbol, the lowest address of
	// the stack, the object, the area, the module's part, the struct page, the poison.
	Offset int64
	Symbol *symbols.Symbol // with the name of its module
	CPU    int             // of a per-CPU variable; -1
	Module string
	Task   *kernel.Task // whose stack or task_struct it is
	Slab   *SlabObject
	Area   *Area
	Page   *Page      // the memory behind the address; of a struct page what it describes
	Phys   *phys.Addr // where the address lies, if in memory
	Free   bool       // the object or the page is free: whoever comes here uses freed memory
	Why    error      // what kept the answer from being better
}

// Describe tells what an address of the kernel is: it never fails, and says in Why what could not
// be known. Types are needed for everything but symbols and values that are no addresses.
func (m *Memory) Describe(ctx context.Context, va uint64) Place {
	p := Place{Addr: va, CPU: -1}
	if m.noAddress(&p) {
		if p.Kind == PlaceUser {
			m.perCPUOffset(ctx, &p)
		}
		return p
	}
	for _, ask := range []func(context.Context, *Place) bool{
		m.inPerCPU, m.inImage, m.inMemmap, m.inStack, m.inModule, m.inVmalloc, m.inDirectMap, m.inTables,
	} {
		earlier := p.Why
		p.Why = nil
		if found := ask(ctx, &p); found && p.Kind != PlaceMapped && p.Kind != PlaceUnmapped {
			return p // what could not be asked before does not matter
		}
		if earlier != nil {
			p.Why = earlier
		}
	}
	return p
}

// DescribePhys tells what a physical address is.
func (m *Memory) DescribePhys(ctx context.Context, a phys.Addr) Place {
	space, err := m.k.Space()
	if err == nil {
		if va, ok := space.Virt(a); ok {
			p := Place{Addr: va, CPU: -1}
			m.inFrame(ctx, &p, a)
			return p
		}
	}
	return Place{Kind: PlaceUnmapped, CPU: -1, Text: "not in the direct map", Phys: &a, Why: err}
}

// say sets what a place is.
func (p *Place) say(kind PlaceKind, format string, args ...any) bool {
	p.Kind, p.Text = kind, fmt.Sprintf(format, args...)
	return true
}

// miss notes what kept an answer from being better: the first such reason.
func (p *Place) miss(err error) {
	if p.Why == nil {
		p.Why = err
	}
}

// noAddress knows the values that are no addresses of the kernel.
func (m *Memory) noAddress(p *Place) bool {
	va, ptr := p.Addr, m.k.PtrSize()
	big := m.uint([]byte{1, 0}) != 1
	if nullPointer(va, m.k.PageSize()) {
		p.Offset = int64(va)
		if va == 0 {
			return p.say(PlaceNull, "NULL")
		}
		return p.say(PlaceNull, "NULL + %#x: a member of what a NULL pointer leads to", va)
	}
	if text, ok := errPointer(va, ptr); ok {
		return p.say(PlaceError, "%s", text)
	}
	if name, says, off, ok := poison(va, ptr); ok {
		p.Offset = off
		return p.say(PlacePoison, "%s%s: %s", name, plus(off), says)
	}
	if ptr != 8 {
		return false
	}
	if nonCanonical(va, m.addressBits()) {
		if text, ok := ascii(va, ptr, big); ok {
			return p.say(PlaceNonCanonical, "no address (not canonical); as text %q", text)
		}
		return p.say(PlaceNonCanonical, "no address (not canonical)")
	}
	if m.k.IsUser(va) {
		return p.say(PlaceUser, "address of user space")
	}
	return false
}

// plus prints an offset behind a name.
func plus(off int64) string {
	switch {
	case off == 0:
		return ""
	case off < 0:
		return fmt.Sprintf("-%#x", -off)
	}
	return fmt.Sprintf("+%#x", off)
}

// addressBits is how many bits of an address say something, its sign among them: those above
// repeat it. 0 where that is not known.
func (m *Memory) addressBits() int {
	space, err := m.k.Space()
	if err != nil {
		return 0
	}
	switch m.k.Machine() {
	case "x86_64":
		start, _ := space.ImageRange()
		w, _ := space.Walk(start)
		for _, s := range w.Steps {
			if s.Level == "P4D" {
				return 57
			}
		}
		return 48
	case "aarch64": // VA_BITS for each half
		if info, err := m.k.Info(); err == nil {
			if n, ok := info.Number("VA_BITS"); ok {
				return int(n) + 1
			}
		}
	}
	return 0
}

// named sets the symbol that an address lies in.
func (m *Memory) named(ctx context.Context, p *Place) bool {
	table, err := m.k.AllSymbols(ctx)
	if table == nil {
		p.miss(err)
		return false
	}
	s, off, err := table.At(p.Addr)
	if err != nil {
		return false
	}
	p.Symbol, p.Offset, p.Module = &s, int64(off), s.Module
	return true
}

// inMemmap: a struct page.
func (m *Memory) inMemmap(ctx context.Context, p *Place) bool {
	mm, err := m.memoryMap(ctx)
	if mm == nil {
		p.miss(err)
		return false
	}
	pfn, ok := mm.frame(p.Addr)
	if !ok {
		return false
	}
	va, _ := mm.page(pfn)
	p.Offset = int64(p.Addr - va)
	a := phys.Addr(pfn << m.pageShift())
	p.say(PlaceStructPage, "struct page%s of page frame %#x (physical %#x)", plus(p.Offset), pfn, uint64(a))
	page, err := m.PageOf(ctx, pfn)
	if err != nil {
		p.miss(err)
		return true
	}
	p.Page = &page
	p.Text += ": " + page.describe()
	if page.Type == "slab" {
		if space, err := m.k.Space(); err == nil {
			if at, ok := space.Virt(a); ok {
				if o, err := m.ObjectAt(ctx, at); err == nil {
					p.Text += " of " + o.Cache.Name
				}
			}
		}
	}
	return true
}

// describe says in words what a page is used for.
func (p Page) describe() string {
	switch {
	case p.Tail:
		return fmt.Sprintf("tail of the compound page at frame %#x", p.Head)
	case p.Type == "buddy":
		return fmt.Sprintf("free, order %d", p.Order)
	case p.Type == "table":
		return "page table"
	case p.Type != "":
		return strings.ReplaceAll(p.Type, "_", " ")
	case p.Mapping&3 == 3:
		return "anonymous, shared by KSM"
	case p.Anon():
		return "anonymous memory of a process"
	case p.has("reserved"):
		return "reserved"
	case p.has("lru") && p.Mapping != 0:
		return "page cache"
	case p.RefCount == 0:
		return "not in use"
	}
	return "in use by the kernel"
}

// has tells whether a flag is set.
func (p Page) has(flag string) bool {
	for _, e := range p.names {
		if e.Name == "PG_"+flag {
			return p.Flags>>uint(e.Value)&1 != 0
		}
	}
	return false
}

// inStack: the kernel stack of a task.
func (m *Memory) inStack(ctx context.Context, p *Place) bool {
	stacks, err := m.taskStacks(ctx)
	if err != nil {
		p.miss(err)
	}
	for i := range stacks {
		s := &stacks[i]
		if p.Addr < s.start || p.Addr >= s.end {
			continue
		}
		p.Task, p.Offset = &s.task, int64(p.Addr-s.start)
		if a, err := m.k.Translate(p.Addr); err == nil {
			p.Phys = &a
		}
		return p.say(PlaceStack, "kernel stack of task %d (%s), %#x below its top", s.task.PID, s.task.Comm, s.end-p.Addr)
	}
	return false
}

// inModule: text, data and the rest of a loaded module.
func (m *Memory) inModule(ctx context.Context, p *Place) bool {
	ranges, err := m.moduleRanges(ctx)
	if err != nil {
		p.miss(err)
	}
	for _, r := range ranges {
		if p.Addr < r.start || p.Addr >= r.end {
			continue
		}
		if a, err := m.k.Translate(p.Addr); err == nil {
			p.Phys = &a
		}
		if m.named(ctx, p) && p.Module == r.name {
			return p.say(PlaceModule, "%s", p.symbolText(p.Symbol.Type&^0x20 == 'T'))
		}
		p.Symbol, p.Module, p.Offset = nil, r.name, int64(p.Addr-r.start)
		return p.say(PlaceModule, "module %s, %s%s", r.name, r.part, plus(p.Offset))
	}
	return false
}

// inVmalloc: an area of the vmalloc range.
func (m *Memory) inVmalloc(ctx context.Context, p *Place) bool {
	areas, err := m.Areas(ctx)
	a, ok := areaAt(areas, p.Addr)
	if !ok {
		if err != nil {
			p.miss(err)
		}
		return false
	}
	p.Area, p.Offset = &a, int64(p.Addr-a.Start)
	text := strings.Join(a.FlagNames(), " ")
	if caller := m.callerName(ctx, a.Caller); caller != "" {
		text += " by " + caller
	}
	p.say(PlaceVmalloc, "vmalloc area of %d KiB%s, %s", (a.End-a.Start)/1024, plus(p.Offset), strings.TrimSpace(text))
	if pa, err := m.k.Translate(p.Addr); err == nil {
		p.Phys = &pa
		if page, err := m.PageOf(ctx, uint64(pa)>>m.pageShift()); err == nil {
			p.Page = &page
		}
	} else if errors.Is(err, phys.ErrUnmapped) {
		p.Text += "; nothing is mapped here (guard page)"
	} else {
		p.miss(err)
	}
	return true
}

// callerName is the code that asked for memory.
func (m *Memory) callerName(ctx context.Context, va uint64) string {
	table, _ := m.k.AllSymbols(ctx)
	if table == nil || va == 0 {
		return ""
	}
	s, off, err := table.At(va)
	if err != nil {
		return ""
	}
	return s.Name + plus(int64(off))
}
