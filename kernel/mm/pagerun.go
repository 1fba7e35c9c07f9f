package mm

import (
	"context"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
)

// Class is what a dump filter makes of a page frame. The classes and their rules are those
// of makedumpfile 1.7.9 (__exclude_unnecessary_pages), so that the same frames are left out.
type Class uint8

// The classes. A page of a compound page has the class of its head.
const (
	ClassKernel       Class = iota // everything that no other class takes: always kept
	ClassCache                     // page cache without private data
	ClassCachePrivate              // page cache with private data: buffers of a file system
	ClassUser                      // memory of processes: anonymous and huge pages
	ClassFree                      // in the lists of the buddy allocator
	ClassPoisoned                  // broken memory (PG_hwpoison): reading it may kill the machine
	ClassOffline                   // given to a hypervisor (balloon) or not yet accepted from it
)

// classNames in the order of the classes.
var classNames = []string{"kernel", "cache", "cache-private", "user", "free", "poisoned", "offline"}

// String is the class in a word.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// The bits of makedumpfile's -d. Zero pages (1) are told by their contents.
const (
	LevelZero         = 1
	LevelCache        = 2 // without private data
	LevelCachePrivate = 4 // with and without
	LevelUser         = 8
	LevelFree         = 16
)

// Excluded tells whether makedumpfile -d LEVEL leaves the class out. Broken and offline
// pages are left out by every level that looks at pages at all.
func (c Class) Excluded(level int) bool {
	switch c {
	case ClassCache:
		return level&(LevelCache|LevelCachePrivate) != 0
	case ClassCachePrivate:
		return level&LevelCachePrivate != 0
	case ClassUser:
		return level&LevelUser != 0
	case ClassFree:
		return level&LevelFree != 0
	case ClassPoisoned, ClassOffline:
		return level&^LevelZero != 0
	}
	return false
}

// PageRun is a run of physical memory of one class.
type PageRun struct {
	Span  phys.Span
	Class Class
}

// PageRuns classifies the memory of a span: runs in ascending order that join without gaps
// wherever the kernel has struct pages; memory without them is in no run. Struct pages that
// cannot be read come as an error about their span, and the walk goes on: a filter keeps
// such memory.
func (m *Memory) PageRuns(ctx context.Context, within phys.Span) iter.Seq2[PageRun, error] {
	return func(yield func(PageRun, error) bool) {
		shift := m.pageShift()
		last := within.End - min(within.End, 1)
		w := &runJoin{shift: shift, yield: yield}
		for c, err := range m.structPages(ctx, uint64(within.Start)>>shift, uint64(last)>>shift+1) {
			if err != nil {
				if !w.flush() || !yield(PageRun{}, err) {
					return
				}
				continue
			}
			if !w.chunk(m, c) {
				return
			}
		}
		w.flush()
	}
}

// runJoin joins frames of one class to runs.
type runJoin struct {
	shift uint
	yield func(PageRun, error) bool

	first, end uint64 // frames of the run that is being joined; empty at the beginning
	class      Class
}

// chunk classifies the frames of a chunk. Those that a free or compound page before it takes
// have their class already.
func (w *runJoin) chunk(m *Memory, c pageChunk) bool {
	for pfn := max(c.first, w.end); pfn < c.first+c.n; {
		class, frames := c.layout.class(m, c.raw[(pfn-c.first)*c.layout.size:], pfn)
		first := pfn
		pfn = min(c.end, pfn+frames)
		if !w.add(first, pfn, class) {
			return false
		}
	}
	return true
}

// add joins frames of a class to the run before them.
func (w *runJoin) add(first, end uint64, c Class) bool {
	if w.end != first || w.class != c {
		if !w.flush() {
			return false
		}
		w.first, w.class = first, c
	}
	w.end = end
	return true
}

// flush yields the run that is complete.
func (w *runJoin) flush() bool {
	first, end, shift := w.first, w.end, w.shift
	w.first = end
	return first == end || w.yield(PageRun{phys.Span{Start: phys.Addr(first << shift), End: phys.Addr(end << shift)}, w.class}, nil)
}

// class classifies a frame by its struct page at the begin of raw, and tells how many
// frames share its fate.
func (l *pageLayout) class(m *Memory, raw []byte, pfn uint64) (c Class, frames uint64) {
	flags, mapcount := l.flags.of(m, raw), uint32(l.mapcount.of(m, raw))
	if l.linked.of(m, raw)&1 != 0 {
		return ClassKernel, 1 // goes with its head, which was here before
	}
	frames = 1 << l.headOrder(m, raw, pfn, flags)
	kind := l.typeOf(flags, mapcount)
	anon := l.mapping.of(m, raw)&1 != 0 && kind != "slab"
	switch {
	case flags&l.bit["hwpoison"] != 0:
		c = ClassPoisoned
	case kind == "buddy":
		c = ClassFree
		if n := l.private.of(m, raw); n <= maxOrder {
			frames = 1 << n
		}
	case l.cached(flags) && !anon && flags&l.bit["private"] != 0:
		c = ClassCachePrivate
	case l.cached(flags) && !anon:
		c = ClassCache
	case anon, kind == "hugetlb", l.hugetlb(m, raw, flags):
		c = ClassUser
	case kind == "offline", kind == "unaccepted":
		c = ClassOffline
	}
	if c == ClassKernel {
		frames = 1
	}
	return c, frames
}

// cached tells whether the page is in the page cache or the swap cache: PG_swapcache means
// that only beside PG_swapbacked, by itself the bit has another owner.
func (l *pageLayout) cached(flags uint64) bool {
	swap := l.bit["swapcache"] | l.bit["swapbacked"]
	return flags&l.bit["lru"] != 0 || l.bit["swapcache"] != 0 && flags&swap == swap
}
