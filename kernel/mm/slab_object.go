package mm

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	st, s, err := m.slabOf(ctx, page)
	if s == nil {
		return SlabObject{}, err
	}
	o := SlabObject{Cache: s.cache, Page: page}
	if err != nil {
		return o, err
	}
	c := s.cache
	i := (va - s.start) / c.Size
	if i >= s.objects {
		o.Index, o.Addr = -1, s.start+s.objects*c.Size
		o.Offset = int64(va - o.Addr)
		return o, nil
	}
	free, err := m.freeObjects(ctx, st, s)
	o = m.object(st, s, free, int(i), err)
	o.Offset = int64(va - o.Addr)
	return o, nil
}

// slabOf reads the slab of a page. With an error there can be a slab of which only the cache
// is known.
func (m *Memory) slabOf(ctx context.Context, page Page) (*slabs, *slab, error) {
	if page.Type != "slab" {
		return nil, nil, fmt.Errorf("page frame %#x: %w: %w", page.PFN, errNoSlab, phys.ErrUnmapped)
	}
	st, err := m.slabState(ctx)
	if st == nil {
		return nil, nil, err
	}
	obj := m.k.Object(st.slab, page.Addr)
	at, err := obj.Follow("slab_cache")
	if err != nil {
		return nil, nil, err
	}
	c := st.byAddr[at.Addr]
	if c == nil { // in no list: read by itself
		c = m.cache(ctx, st, at)
	}
	s, err := m.slab(c, page, obj)
	if s == nil {
		s = &slab{cache: c}
	}
	return st, s, err
}

// object is one object of a slab; free are those that are known to be free, err is what kept
// others from being known.
func (m *Memory) object(st *slabs, s *slab, free map[uint64]string, i int, err error) SlabObject {
	o := SlabObject{Cache: s.cache, Page: s.page, Index: i, Addr: s.start + s.pad + uint64(i)*s.cache.Size}
	if o.Where, o.Free = free[o.Addr]; !o.Free {
		o.StateErr = err
	}
	m.tracks(st, s, &o)
	return o
}

// ObjectsIn gives all objects of a slab by its page. An error of a list of free objects is
// that of the objects whose state it leaves open.
func (m *Memory) ObjectsIn(ctx context.Context, page Page) ([]SlabObject, error) {
	st, s, err := m.slabOf(ctx, page)
	if err != nil {
		return nil, err
	}
	free, err := m.freeObjects(ctx, st, s)
	out := make([]SlabObject, s.objects)
	for i := range out {
		out[i] = m.object(st, s, free, i, err)
	}
	return out, nil
}

// SlabPages yields the pages of all slabs of a cache, or with nil of all caches, by looking
// at every struct page. Those that cannot be read are errors, and the walk goes on.
func (m *Memory) SlabPages(ctx context.Context, c *Cache) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		st, err := m.slabState(ctx)
		if st == nil {
			yield(Page{}, err)
			return
		}
		for page, err := range m.pages(ctx) {
			if err == nil && (page.Type != "slab" || page.Tail) {
				continue
			}
			if err == nil && c != nil {
				at, cerr := m.k.Object(st.slab, page.Addr).Pointer("slab_cache")
				if err = cerr; err == nil && at != c.Addr {
					continue
				}
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// freeObjects are the free objects of a slab: in its own freelist, in that of a CPU which
// allocates from it, in the sheaves of CPUs and nodes. An error is about some of these
// places; the objects of the others are there all the same.
func (m *Memory) freeObjects(ctx context.Context, st *slabs, s *slab) (free map[uint64]string, err error) {
	free = make(map[uint64]string)
	own, err := m.freelist(s, s.freelist)
	for _, at := range own {
		free[at] = "freelist of its slab"
	}
	kept, kerr := s.cache.apart.get(ctx, func(ctx context.Context) (*freeApart, error) { return m.freeApart(ctx, st, s.cache) })
	for i := range s.objects {
		at := s.start + s.pad + i*s.cache.Size
		if where, ok := kept.sheaves[at]; ok {
			free[at] = where
		}
	}
	err = errors.Join(err, kerr)
	if local, ok := kept.cpus[s.obj.Addr]; ok {
		list, lerr := m.freelist(s, local.first)
		for _, at := range list {
			free[at] = fmt.Sprintf("freelist of CPU %d", local.cpu)
		}
		err = errors.Join(err, lerr)
	}
	return free, err
}

// freeApart are the free objects of a cache that its slabs do not know of.
type freeApart struct {
	cpus    map[uint64]cpuFreelist // by the struct slab that a CPU allocates from
	sheaves map[uint64]string      // by the object
}

// cpuFreelist begins at the free object first.
type cpuFreelist struct {
	cpu   int
	first uint64
}

// freeApart looks for free objects at all CPUs and nodes. An error is about some of them.
func (m *Memory) freeApart(ctx context.Context, st *slabs, c *Cache) (free *freeApart, err error) {
	free = &freeApart{cpus: make(map[uint64]cpuFreelist), sheaves: make(map[uint64]string)}
	note := func(sheaf kernel.Object, where string) error {
		list, err := m.sheafObjects(sheaf)
		for _, at := range list {
			free.sheaves[at] = where
		}
		return err
	}
	for _, cpu := range st.cpus {
		err = errors.Join(err, ctx.Err(), eachSheaf(c, cpu, func(sheaf kernel.Object) error {
			return note(sheaf, fmt.Sprintf("sheaf of CPU %d", cpu))
		}))
		if c.Has("cpu_slab") {
			err = errors.Join(err, free.noteCPU(c, cpu))
		}
	}
	return free, errors.Join(err, st.eachNode(c, func(_, barn kernel.Object) error {
		return m.eachBarnSheaf(ctx, st, barn, func(sheaf kernel.Object) error { return note(sheaf, "sheaf of a node") })
	}))
}

// noteCPU takes down the slab that a CPU has for itself, while it allocates from it.
func (free *freeApart) noteCPU(c *Cache, cpu int) error {
	local, err := c.cpuSlab(cpu)
	if err != nil {
		return err
	}
	f := local.Fields()
	at, first := f.Pointer("slab", "page"), f.Pointer("freelist")
	if err := f.Err(); err != nil || at == 0 {
		return err
	}
	free.cpus[at] = cpuFreelist{cpu: cpu, first: first}
	return nil
}

// sheafObjects are the free objects in a sheaf.
func (m *Memory) sheafObjects(sheaf kernel.Object) (out []uint64, err error) {
	n, err := sheafSize(sheaf)
	if err != nil {
		return nil, err
	}
	objects, err := sheaf.Member("objects")
	if err != nil {
		return nil, err
	}
	raw := make([]byte, int(n)*m.k.PtrSize())
	if _, err := m.k.ReadVirt(raw, objects.Addr); err != nil {
		return nil, fmt.Errorf("sheaf %#x: %w", sheaf.Addr, err)
	}
	for p := range slices.Chunk(raw, m.k.PtrSize()) {
		out = append(out, m.uint(p))
	}
	return out, nil
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
	for page, err := range m.pages(ctx) {
		if err == nil && page.Type == "slab" && !page.Tail {
			return m.k.Object(s.slab, page.Addr).Follow("slab_cache")
		}
	}
	return kernel.Object{}, fmt.Errorf("slab_caches: %w, and no slab in memory", symbols.ErrNoSymbol)
}
