package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// inDirectMap: memory at its own address.
func (m *Memory) inDirectMap(ctx context.Context, p *Place) bool {
	space, err := m.k.Space()
	if err != nil {
		p.miss(err)
		return false
	}
	a, ok := space.Direct(p.Addr)
	return ok && m.inFrame(ctx, p, a)
}

// inFrame tells what a frame of memory is used for.
func (m *Memory) inFrame(ctx context.Context, p *Place, a phys.Addr) bool {
	pfn := uint64(a) >> m.pageShift()
	page, err := m.HeadOf(ctx, pfn)
	if errors.Is(err, phys.ErrHole) {
		return p.say(PlaceUnmapped, "no memory (physical %#x)", uint64(a))
	}
	p.Phys = &a
	if err != nil {
		p.miss(err)
		return p.say(PlacePage, "page frame %#x (physical %#x)", pfn, uint64(a))
	}
	p.Page = &page
	if page.Type == "slab" {
		o, err := m.objectIn(ctx, page, p.Addr)
		if o.Cache != nil {
			p.Slab, p.Offset = &o, o.Offset
			m.sayObject(ctx, p)
		}
		if err != nil {
			p.miss(err)
			return p.say(PlaceSlab, "slab, page frame %#x (physical %#x)", pfn, uint64(a))
		}
		return true
	}
	p.Offset = int64(uint64(a) - page.PFN<<m.pageShift())
	p.Free = page.Type == "buddy"
	return p.say(PlacePage, "%s: page frame %#x (physical %#x)", page.describe(), pfn, uint64(a))
}

// sayObject describes an object of a slab, and the task that it is.
func (m *Memory) sayObject(ctx context.Context, p *Place) {
	o := p.Slab
	c := o.Cache
	if o.StateErr != nil {
		p.miss(o.StateErr)
	}
	if o.Index < 0 {
		p.say(PlaceSlab, "behind the last object of a slab of %s", c.Name)
		return
	}
	p.Free = o.Free
	state := "allocated"
	switch {
	case o.Free:
		state = "free (" + o.Where + ")"
	case o.StateErr != nil:
		state = "probably allocated (not every list of free objects could be read)"
	}
	where := ""
	switch {
	case o.Offset < 0:
		where = fmt.Sprintf("%#x before it, ", -o.Offset)
	case uint64(o.Offset) >= c.ObjectSize:
		where = fmt.Sprintf("%#x behind its end, ", uint64(o.Offset)-c.ObjectSize)
	case o.Offset > 0:
		where = fmt.Sprintf("%#x into it, ", o.Offset)
	}
	p.say(PlaceSlab, "slab object %#x of %s, %s%s", o.Addr, c.Name, where, state)
	if c.Name == "task_struct" && !o.Free {
		m.ownTask(ctx, p)
	}
}

// ownTask names the task that an object of the cache task_struct is.
func (m *Memory) ownTask(ctx context.Context, p *Place) {
	stacks, _ := m.taskStacks(ctx)
	for i := range stacks {
		if t := &stacks[i].task; t.Addr == p.Slab.Addr {
			p.Task = t
			p.Text += fmt.Sprintf(": task %d (%s)", t.PID, t.Comm)
		}
	}
}

// inTables: whatever else the page tables translate.
func (m *Memory) inTables(_ context.Context, p *Place) bool {
	space, err := m.k.Space()
	if err != nil {
		p.miss(err)
		return p.say(PlaceUnmapped, "unknown")
	}
	w, err := space.Walk(p.Addr)
	if err != nil {
		if !errors.Is(err, phys.ErrUnmapped) {
			p.miss(err)
		}
		return p.say(PlaceUnmapped, "not mapped")
	}
	p.Phys = &w.Addr
	return p.say(PlaceMapped, "mapped to physical %#x", uint64(w.Addr))
}
