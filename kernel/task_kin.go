package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// A dump filter older than its kernel takes pages of slabs for user data, and truncation
// takes what it likes: the task list then ends early. What is left of the tasks leads to
// others, by parents, children, siblings and threads, and by lying in one slab.

// kin yields the tasks that lists do not lead to any more, when they are broken.
func (r *taskReader) kin(ctx context.Context, yield func(Task, error) bool) bool {
	if r.lists == nil {
		return true
	}
	slab := r.taskSlab()
	for i := 0; i < len(r.order) && i < maxList; i++ { // it grows
		if ctx.Err() != nil {
			return yield(Task{}, ctx.Err())
		}
		o := r.k.Object(r.first.Type, r.order[i])
		for at := range r.relatives(o, slab) {
			if r.seen[at] || !r.plausible(r.k.Object(o.Type, at)) {
				continue
			}
			t, err := r.task(r.k.Object(o.Type, at))
			if !yield(t, err) {
				return false
			}
		}
	}
	return true
}

// relatives yields where other tasks may be.
func (r *taskReader) relatives(o Object, slab taskSlab) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, m := range []string{"real_parent", "parent", "group_leader"} {
			if at, err := o.Pointer(m); err == nil && at != 0 && !yield(at) {
				return
			}
		}
		// a list_head of one task leads to one of another
		for _, l := range [][2]string{
			{"tasks", "tasks"}, {"children", "sibling"}, {"sibling", "sibling"}, {"thread_node", "thread_node"}, {"thread_group", "thread_group"},
		} {
			to, err := o.Type.Member(l[1])
			if err != nil || !o.Has(l[0]) {
				continue
			}
			for _, way := range []string{".next", ".prev"} {
				if at, err := o.Pointer(l[0] + way); err == nil && at != 0 && !yield(r.k.clip(at-to.Offset/8)) {
					return
				}
			}
		}
		slab.neighbours(o.Addr, yield)
	}
}

// taskSlab is how the slabs of task_struct are laid out.
type taskSlab struct {
	size  uint64 // bytes from one object to the next; 0: not known
	bytes uint64 // of a slab, which is aligned to them
	pad   uint64 // before the first object
}

// taskSlab asks the cache: kmem_cache.oo has the order of a slab's pages in its upper half
// (OO_SHIFT, mm/slub.c).
func (r *taskReader) taskSlab() taskSlab {
	s, err := r.k.Symbol("task_struct_cachep")
	if err != nil {
		return taskSlab{}
	}
	at, err := r.k.pointer(s.Addr)
	if err != nil {
		return taskSlab{}
	}
	t, err := symbols.Find(r.ts, "struct kmem_cache", "size")
	if err != nil {
		return taskSlab{}
	}
	f := r.k.Object(t, at).Fields()
	size, oo := f.Uint("size"), f.Uint("oo.x")
	order := oo >> 16
	pad := uint64(0)
	if o := r.k.Object(t, at); o.Has("red_left_pad") {
		pad = f.Uint("red_left_pad")
	}
	// the type is larger than its objects: x86 ends them behind the FPU state that the
	// processor has (arch_task_struct_size)
	if f.Err() != nil || size < r.first.Type.Size()/4 || order > 10 || size > uint64(r.k.PageSize())<<order {
		return taskSlab{}
	}
	return taskSlab{size, uint64(r.k.PageSize()) << order, pad}
}

// neighbours yields the other places of the slab in which an object lies.
func (s taskSlab) neighbours(at uint64, yield func(uint64) bool) {
	if s.size == 0 {
		return
	}
	begin := at &^ (s.bytes - 1)
	for p := begin + (at-begin)%s.size; p+s.size <= begin+s.bytes; p += s.size {
		if p != at && !yield(p) {
			return
		}
	}
}

// plausible tells whether a task_struct that still counts lies there: what a cache gave back
// has no users, no PID of its own, or no name.
func (r *taskReader) plausible(o Object) bool {
	f := o.Fields()
	users, pid, comm := f.Uint("usage.refs.counter", "usage.counter"), f.Int("pid"), f.Text("comm")
	own := f.Pointer("thread_pid", "pids[0].pid")
	leader, tasks := f.Pointer("group_leader"), f.Pointer("tasks.next")
	return f.Err() == nil && users > 0 && users < 1<<20 && pid > 0 && pid <= 1<<22 && own != 0 && leader != 0 && tasks != 0 &&
		comm != "" && strings.IndexFunc(comm, func(c rune) bool { return c == unicode.ReplacementChar || unicode.IsControl(c) }) < 0
}

// brokenLists tells once that lists are broken, and of the PIDs whose tasks are not known.
func (r *taskReader) brokenLists(yield func(Task, error) bool) bool {
	if r.lists == nil {
		return true
	}
	pids := r.unknownPIDs()
	if len(pids) == 0 {
		return yield(Task{}, fmt.Errorf("lists of tasks are broken in %d places, every PID's task was found: %w", r.breaks, r.lists))
	}
	var names []string
	for _, p := range pids[:min(4, len(pids))] {
		names = append(names, fmt.Sprint(p))
	}
	if len(pids) > 4 {
		names = append(names, "…")
	}
	return yield(Task{}, fmt.Errorf("lists of tasks are broken in %d places, the tasks of %d PIDs (%s) are not known: %w",
		r.breaks, len(pids), strings.Join(names, ", "), r.lists))
}

// unknownPIDs are those that lead to no task that was found.
func (r *taskReader) unknownPIDs() (pids []int) {
	for pid := range r.lost {
		if !r.pids[pid] {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// absent tells whether something lies in pages that the dump does not have.
func absent(err error) bool {
	return errors.Is(err, phys.ErrExcluded) || phys.Damage(err)
}

// slabbed yields the tasks in slabs that no known task lies in, when PIDs without a task are
// left: it looks at the struct page of every page of the dump for task_struct's cache. That
// is x86_64's way to find the struct pages; elsewhere it finds nothing.
func (r *taskReader) slabbed(ctx context.Context, yield func(Task, error) bool) bool {
	slab := r.taskSlab()
	memmap, err := r.memmap()
	if r.lists == nil || err != nil || slab.size == 0 || len(r.unknownPIDs()) == 0 {
		return true
	}
	pages := phys.PFN(slab.bytes / uint64(r.k.PageSize()))
	for pfn := range r.pagesOf(ctx, memmap, pages) {
		begin := memmap.direct + uint64(pfn)*uint64(r.k.PageSize())
		for at := begin; at+slab.size <= begin+slab.bytes; at += slab.size {
			o := r.k.Object(r.first.Type, at+slab.pad)
			if r.seen[o.Addr] || !r.plausible(o) {
				continue
			}
			t, err := r.task(o)
			if !yield(t, err) {
				return false
			}
		}
	}
	return true
}

// memmap is where the struct pages of an x86_64 machine are, and its direct map.
type memmap struct {
	base, direct uint64
	size         uint64 // of a struct page
	cacheAt      uint64 // offset of the cache in it
	cache        uint64 // task_struct's
}

func (r *taskReader) memmap() (m memmap, err error) {
	for name, to := range map[string]*uint64{"vmemmap_base": &m.base, "page_offset_base": &m.direct, "task_struct_cachep": &m.cache} {
		s, err := r.k.Symbol(name)
		if err != nil {
			return m, err
		}
		if *to, err = r.k.pointer(s.Addr); err != nil {
			return m, err
		}
	}
	page, err := symbols.Find(r.ts, "struct page")
	if err != nil {
		return m, err
	}
	at, err := page.Member("slab_cache")
	if err != nil { // struct slab lies over struct page since 5.17
		slab, serr := symbols.Find(r.ts, "struct slab", "slab_cache")
		if serr != nil {
			return m, err
		}
		if at, err = slab.Member("slab_cache"); err != nil {
			return m, err
		}
	}
	m.size, m.cacheAt = page.Size(), at.Offset/8
	if m.size == 0 || m.size > 256 || m.cacheAt+8 > m.size {
		return m, fmt.Errorf("struct page of %d bytes: %w", m.size, phys.ErrUnsupported)
	}
	return m, nil
}

// pagesOf yields the first pages of the cache's slabs of which the dump has a page; slabs are
// aligned to their size.
func (r *taskReader) pagesOf(ctx context.Context, m memmap, slab phys.PFN) iter.Seq[phys.PFN] {
	return func(yield func(phys.PFN) bool) {
		const batch = 64 // an absent page of struct pages costs no more than these
		buf := make([]byte, batch*m.size)
		for run, err := range r.k.Dump().Runs() {
			if err != nil {
				return
			}
			for pfn := run.Start &^ (slab - 1); run.Why == nil && pfn < run.End; pfn += batch {
				if ctx.Err() != nil {
					return
				}
				b := buf[:min(batch, uint64(run.End-pfn))*m.size]
				n, _ := r.k.ReadVirt(b, m.base+uint64(pfn)*m.size)
				for i := uint64(0); (i+1)*m.size <= uint64(n); i++ {
					if binary.LittleEndian.Uint64(b[i*m.size+m.cacheAt:]) == m.cache && !yield(pfn+phys.PFN(i)) {
						return
					}
				}
			}
		}
	}
}
