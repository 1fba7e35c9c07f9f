package mm

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// SlabObject is one object of a slab cache.
type SlabObject struct {
	Cache *Cache
	Page  Page   // of the slab: the head
	Addr  uint64 // where the object begins
	Index int    // in the slab
	// Offset is from the object to the address that was asked for: below 0 in the red zone
	// before the object, ObjectSize and more in what the allocator has behind it.
	Offset int64
	// Free tells whether the object was free; Where says by which list. When StateErr is
	// not nil it is not known.
	Free     bool
	Where    string
	StateErr error
	// Alloc and Freed are who allocated it last and who freed it last, where the kernel was
	// told to keep that (slub_debug=U).
	Alloc, Freed *Track
}

// slab is a slab of SLUB, and where its objects lie.
type slab struct {
	cache    *Cache
	obj      kernel.Object // struct slab, or struct page
	page     Page
	start    uint64 // virtual address of the slab
	pad      uint64 // red zone before the first object
	objects  uint64
	freelist uint64
	link     uint64 // offset of the free pointer in a free object
	hardened bool
	random   uint64
}

// maxObjects is what slab.objects, of 15 bits, can hold.
const maxObjects = 1 << 15

// slabAt reads a slab by its struct slab.
func (m *Memory) slabAt(ctx context.Context, c *Cache, obj kernel.Object) (*slab, error) {
	mm, err := m.memoryMap(ctx)
	if mm == nil {
		return nil, err
	}
	pfn, ok := mm.frame(obj.Addr)
	if !ok {
		return nil, fmt.Errorf("slab %#x is no struct page: %w", obj.Addr, phys.ErrCorrupt)
	}
	page, err := m.PageOf(ctx, pfn)
	if err != nil {
		return nil, err
	}
	return m.slab(c, page, obj)
}

func (m *Memory) slab(c *Cache, page Page, obj kernel.Object) (*slab, error) {
	space, err := m.k.Space()
	if err != nil {
		return nil, err
	}
	start, ok := space.Virt(phys.Addr(page.PFN << m.pageShift()))
	if !ok {
		return nil, fmt.Errorf("slab of frame %#x is not in the direct map: %w", page.PFN, phys.ErrUnmapped)
	}
	s := &slab{cache: c, obj: obj, page: page, start: start}
	f := obj.Fields()
	s.objects, s.freelist = f.Uint("objects"), f.Pointer("freelist")
	if err := f.Err(); err != nil {
		return nil, err
	}
	if s.objects > maxObjects || c.Size == 0 {
		return nil, fmt.Errorf("slab of %d objects of %d bytes: %w", s.objects, c.Size, phys.ErrCorrupt)
	}
	g := c.Fields()
	s.link = g.Uint("offset")
	if c.Has("random") {
		s.random, s.hardened = g.Uint("random"), true
	}
	if c.Has("red_left_pad") {
		s.pad = g.Uint("red_left_pad")
	}
	return s, g.Err()
}

// index is the number of the object that begins at va.
func (s *slab) index(va uint64) (int, bool) {
	off := va - s.start - s.pad
	if va < s.start+s.pad || off%s.cache.Size != 0 || off/s.cache.Size >= s.objects {
		return 0, false
	}
	return int(off / s.cache.Size), true
}

// freelist walks the free objects of a slab from first on. One that leads out of the slab
// or back into itself is phys.ErrCorrupt: somebody wrote to a free object.
func (m *Memory) freelist(s *slab, first uint64) (free []uint64, err error) {
	seen := make([]bool, s.objects)
	for at := first; at != 0; {
		i, ok := s.index(at)
		if !ok || seen[i] {
			return free, fmt.Errorf("freelist of slab %#x in %s leads to %#x: %w", s.start, s.cache.Name, at, phys.ErrCorrupt)
		}
		seen[i] = true
		free = append(free, at)
		stored, err := m.word(at + s.link)
		if err != nil {
			return free, fmt.Errorf("freelist of slab %#x in %s: %w", s.start, s.cache.Name, err)
		}
		at = m.freePointer(s, stored, at+s.link)
	}
	return free, nil
}

// freePointer decodes a free pointer that lies at va. With SLAB_FREELIST_HARDENED (4.14 on)
// it is combined with a random number of the cache and with its own address, which has its
// bytes swapped since 5.7 (1ad53d9fa3f6). The form that leads to an object, or to the end,
// is taken.
func (m *Memory) freePointer(s *slab, stored, va uint64) uint64 {
	swapped := bits.ReverseBytes64(va)
	if m.k.PtrSize() == 4 {
		swapped >>= 32
	}
	forms := []uint64{stored}
	if s.hardened {
		forms = []uint64{stored ^ s.random ^ swapped, stored ^ s.random ^ va, stored}
	}
	for _, v := range forms {
		if _, ok := s.index(v); ok || v == 0 {
			return v
		}
	}
	return forms[0]
}

// errNoSlab: an address is in no slab.
var errNoSlab = errors.New("in no slab")

// ObjectAt finds the slab object at an address of the direct map. The error wraps
// phys.ErrHole where no memory is, and symbols.ErrNoType without types; addresses in pages
// that are no slab are phys.ErrUnmapped.
func (m *Memory) ObjectAt(ctx context.Context, va uint64) (SlabObject, error) {
	space, err := m.k.Space()
	if err != nil {
		return SlabObject{}, err
	}
	a, ok := space.Direct(va)
	if !ok {
		return SlabObject{}, fmt.Errorf("%#x is not in the direct map: %w", va, phys.ErrUnmapped)
	}
	page, err := m.HeadOf(ctx, uint64(a)>>m.pageShift())
	if err != nil {
		return SlabObject{}, err
	}
	return m.objectIn(ctx, page, va)
}

// objectIn finds the object at va in the page of a slab.
func (m *Memory) objectIn(ctx context.Context, page Page, va uint64) (SlabObject, error) {
	if page.Type != "slab" {
		return SlabObject{}, fmt.Errorf("%#x: %w: %w", va, errNoSlab, phys.ErrUnmapped)
	}
	st, err := m.slabState(ctx)
	if st == nil || st.slab == nil {
		return SlabObject{}, err
	}
	obj := m.k.Object(st.slab, page.Addr)
	at, err := obj.Follow("slab_cache")
	if err != nil {
		return SlabObject{}, err
	}
	c := st.byAddr[at.Addr]
	if c == nil { // in no list: read by itself
		c = m.cache(ctx, st, at)
	}
	o := SlabObject{Cache: c, Page: page}
	s, err := m.slab(c, page, obj)
	if err != nil {
		return o, err
	}
	i := (va - s.start) / c.Size
	if i >= s.objects {
		o.Index, o.Addr = -1, s.start+s.objects*c.Size
		o.Offset = int64(va - o.Addr)
		o.Where = "behind the last object"
		return o, nil
	}
	o.Index = int(i)
	o.Addr = s.start + s.pad + i*c.Size
	o.Offset = int64(va - o.Addr)
	o.Free, o.Where, o.StateErr = m.isFree(ctx, st, s, o.Addr)
	m.tracks(st, s, &o)
	return o, nil
}

// isFree looks for an object in every list of free ones.
func (m *Memory) isFree(ctx context.Context, st *slabs, s *slab, va uint64) (bool, string, error) {
	free, err := m.freelist(s, s.freelist)
	if slices.Contains(free, va) {
		return true, "freelist of its slab", nil
	}
	c := s.cache
	for _, cpu := range st.cpus {
		where := ""
		serr := eachSheaf(c, cpu, func(sheaf kernel.Object) error {
			found, err := m.inSheaf(sheaf, va)
			if found {
				where = fmt.Sprintf("sheaf of CPU %d", cpu)
			}
			return err
		})
		if where == "" && c.Has("cpu_slab") {
			var found bool
			if found, serr = m.inCPUFreelist(c, s, cpu, va); found {
				where = fmt.Sprintf("freelist of CPU %d", cpu)
			}
		}
		if where != "" {
			return true, where, nil
		}
		err = errors.Join(err, serr)
	}
	found := false
	berr := st.eachNode(c, func(_, barn kernel.Object) error {
		return m.eachBarnSheaf(ctx, st, barn, func(sheaf kernel.Object) error {
			in, err := m.inSheaf(sheaf, va)
			found = found || in
			return err
		})
	})
	if found {
		return true, "sheaf of a node", nil
	}
	return false, "", errors.Join(err, berr)
}

// inCPUFreelist tells whether an object is in the freelist of a CPU that allocates from its
// slab.
func (m *Memory) inCPUFreelist(c *Cache, s *slab, cpu int, va uint64) (bool, error) {
	local, err := c.cpuSlab(cpu)
	if err != nil {
		return false, err
	}
	f := local.Fields()
	at, first := f.Pointer("slab", "page"), f.Pointer("freelist")
	if err := f.Err(); err != nil || at != s.obj.Addr {
		return false, err
	}
	free, err := m.freelist(s, first)
	return slices.Contains(free, va), err
}

// inSheaf tells whether an object is in a sheaf.
func (m *Memory) inSheaf(sheaf kernel.Object, va uint64) (bool, error) {
	n, err := sheafSize(sheaf)
	if err != nil {
		return false, err
	}
	objects, err := sheaf.Member("objects")
	if err != nil {
		return false, err
	}
	raw := make([]byte, int(n)*m.k.PtrSize())
	if _, err := m.k.ReadVirt(raw, objects.Addr); err != nil {
		return false, fmt.Errorf("sheaf %#x: %w", sheaf.Addr, err)
	}
	for p := range slices.Chunk(raw, m.k.PtrSize()) {
		if m.uint(p) == va {
			return true, nil
		}
	}
	return false, nil
}

// slabListByPages finds the list of caches through the struct pages: the first slab leads
// to its cache, whose list goes by a head that is no cache but a variable in the image.
func (m *Memory) slabListByPages(ctx context.Context, s *slabs, cache *symbols.Type) (uint64, error) {
	list, err := cache.Member("list")
	if err != nil {
		return 0, err
	}
	space, err := m.k.Space()
	if err != nil {
		return 0, err
	}
	first, err := m.anySlab(ctx, s)
	if err != nil {
		return 0, err
	}
	const most = 1 << 16
	at := first.Addr + list.Offset/8
	for range most {
		if _, ok := space.Image(at); ok {
			return at, nil
		}
		if at, err = m.word(at); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("list of slab caches without a head: %w", phys.ErrCorrupt)
}

// anySlab is the cache of the first slab in memory.
func (m *Memory) anySlab(ctx context.Context, s *slabs) (kernel.Object, error) {
	mm, err := m.memoryMap(ctx)
	if mm == nil {
		return kernel.Object{}, err
	}
	for _, r := range mm.runs {
		for pfn := r.first; pfn < r.end; pfn++ {
			if ctx.Err() != nil {
				return kernel.Object{}, ctx.Err()
			}
			if page, err := m.PageOf(ctx, pfn); err == nil && page.Type == "slab" && !page.Tail {
				return m.k.Object(s.slab, page.Addr).Follow("slab_cache")
			}
		}
	}
	return kernel.Object{}, fmt.Errorf("slab_caches: %w, and no slab in memory", symbols.ErrNoSymbol)
}
