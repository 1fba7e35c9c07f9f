package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Cache is a slab cache (struct kmem_cache) and how much of it was used.
type Cache struct {
	kernel.Object // the struct kmem_cache

	Name       string
	ObjectSize uint64 // of an object, as its users see it
	Size       uint64 // from object to object: with alignment, free pointer, red zones, tracks
	SlabSize   uint64 // bytes of a slab
	PerSlab    uint64 // objects in a slab of the usual order
	Users      int    // caches that were merged into this one, it included
	Flags      uint64 // SLAB_…, see FlagNames

	Slabs   uint64 // slabs of all nodes
	Partial uint64 // those in the nodes' lists of slabs with free objects
	Objects uint64 // places for objects in all slabs
	// Active is what /proc/slabinfo and slabtop call active: Objects without the free
	// ones in the nodes' partial slabs.
	Active uint64
	// Allocated is Active without the free objects that are kept for CPUs: in their
	// freelists, their partial slabs (until 6.19), their sheaves and the nodes' barns
	// (6.18 on).
	Allocated uint64

	// Err is what could not be read of it; the numbers are then too small.
	Err error

	apart kept[*freeApart]
}

// Bytes is the memory that the cache takes.
func (c *Cache) Bytes() uint64 { return c.Slabs * c.SlabSize }

// Flags of kmem_cache.flags that change where things lie in an object, as they are since
// 2.6.32; those of 6.9 and later are numbered by enum _slab_flag_bits.
const (
	slabRedZone   = 0x400
	slabPoison    = 0x800
	slabStoreUser = 0x10000
)

// slabFlagNames are the old numbers (include/linux/slab.h until 6.8).
var slabFlagNames = map[string]uint64{
	"CONSISTENCY_CHECKS": 0x100, "RED_ZONE": slabRedZone, "POISON": slabPoison, "HWCACHE_ALIGN": 0x2000,
	"CACHE_DMA": 0x4000, "CACHE_DMA32": 0x8000, "STORE_USER": slabStoreUser, "RECLAIM_ACCOUNT": 0x20000,
	"PANIC": 0x40000, "TYPESAFE_BY_RCU": 0x80000, "TRACE": 0x200000, "ACCOUNT": 0x4000000, "KASAN": 0x8000000,
}

// slabs is what is known of the slab allocator: its caches, and where its structures have
// what is asked of them.
type slabs struct {
	ts     symbols.Types
	slab   *symbols.Type // struct slab (5.17 on, bb192ed9aa71), struct page before
	flags  map[string]uint64
	nodes  int
	cpus   []int
	list   []*Cache
	byAddr map[uint64]*Cache
}

// Caches are the slab caches in the kernel's order. When the list of them is broken, the
// caches that can be reached from both of its ends come with an error. Caches of which a
// part could not be read say so themselves.
func (m *Memory) Caches(ctx context.Context) ([]*Cache, error) {
	s, err := m.slabState(ctx)
	if s == nil {
		return nil, err
	}
	return s.list, err
}

func (m *Memory) slabState(ctx context.Context) (*slabs, error) {
	return m.slabs.get(ctx, m.readSlabs)
}

func (m *Memory) readSlabs(ctx context.Context) (*slabs, error) {
	ts, err := m.k.Types()
	if err != nil {
		return nil, fmt.Errorf("slab caches: %w", err)
	}
	cache, err := symbols.Find(ts, "struct kmem_cache")
	if err != nil {
		return nil, fmt.Errorf("slab caches: %w", err)
	}
	s := &slabs{ts: ts, cpus: m.k.PossibleCPUs(), byAddr: make(map[uint64]*Cache), flags: slabFlagBits(ts)}
	if s.slab, err = symbols.Find(ts, "struct slab", "slab_cache"); err != nil {
		if s.slab, err = symbols.Find(ts, "struct page"); err != nil {
			return nil, err
		}
	}
	if s.nodes, err = m.nodeIDs(); err != nil {
		return nil, fmt.Errorf("slab caches: %w", err)
	}
	head, err := m.slabList(ctx, s, cache)
	if err != nil {
		return s, fmt.Errorf("slab caches: %w", err)
	}
	objects, err := m.listFromBothEnds(ctx, head, cache, "list")
	for _, o := range objects {
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		c := m.cache(ctx, s, o)
		s.list = append(s.list, c)
		s.byAddr[o.Addr] = c
	}
	if err != nil {
		err = fmt.Errorf("slab caches: %w", err)
	}
	return s, err
}

// slabList is the head of the list of caches. A kernel that does not name its data is asked
// through a slab: any one leads to its cache, and round the list.
func (m *Memory) slabList(ctx context.Context, s *slabs, cache *symbols.Type) (uint64, error) {
	sym, err := m.k.Symbol("slab_caches")
	if err == nil {
		return sym.Addr, nil
	}
	if sym, cerr := m.k.Symbol("cache_chain"); cerr == nil { // SLAB until 3.6
		return sym.Addr, nil
	}
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return 0, err
	}
	return m.slabListByPages(ctx, s, cache)
}

// slabFlagBits are the flags of a cache by their names without SLAB_.
func slabFlagBits(ts symbols.Types) map[string]uint64 {
	t, err := symbols.Find(ts, "enum _slab_flag_bits")
	if err != nil {
		return slabFlagNames
	}
	out := make(map[string]uint64)
	for _, e := range t.Values {
		if name := e.Name; len(name) > 6 && name[:6] == "_SLAB_" && e.Value >= 0 && e.Value < 64 {
			out[name[6:]] = 1 << uint(e.Value)
		}
	}
	return out
}

// has tells whether the cache has a flag: "POISON".
func (s *slabs) has(c *Cache, flag string) bool { return c.Flags&s.flags[flag] != 0 }

// listFromBothEnds walks a list, and where that breaks walks it again from the other end:
// one page that is absent costs the elements in it and those between two such.
func (m *Memory) listFromBothEnds(ctx context.Context, head uint64, t *symbols.Type, member string) (out []kernel.Object, err error) {
	seen := map[uint64]bool{}
	for o, lerr := range m.k.List(ctx, head, t, member) {
		if lerr != nil {
			err = lerr
			break
		}
		out = append(out, o)
		seen[o.Addr] = true
	}
	if err == nil || ctx.Err() != nil {
		return out, err
	}
	at, merr := t.Member(member)
	if merr != nil {
		return out, err
	}
	ptr := uint64(m.k.PtrSize())
	var back []kernel.Object
	for prev, perr := m.word(head + ptr); perr == nil && prev != head && len(back) < 1<<20; prev, perr = m.word(prev + ptr) {
		o := m.k.Object(t, prev-at.Offset/8)
		if _, perr := m.word(prev); perr != nil || seen[o.Addr] {
			break
		}
		seen[o.Addr] = true
		back = append(back, o)
	}
	for i := len(back) - 1; i >= 0; i-- {
		out = append(out, back[i])
	}
	return out, err
}

// cache reads what a cache says of itself and counts its objects.
func (m *Memory) cache(ctx context.Context, s *slabs, o kernel.Object) *Cache {
	c := &Cache{Object: o}
	f := o.Fields()
	c.Name, c.Flags = f.Text("name"), f.Uint("flags")
	c.ObjectSize, c.Size = f.Uint("object_size", "objsize"), f.Uint("size", "buffer_size")
	c.Users = int(f.Int("refcount"))
	if !o.Has("oo") { // SLAB
		c.PerSlab = f.Uint("num")
		c.SlabSize = uint64(m.k.PageSize()) << min(f.Uint("gfporder"), maxOrder)
		c.Err = errors.Join(f.Err(), m.countSLAB(s, c))
		return c
	}
	oo := f.Uint("oo.x", "oo") // the order, and below it the number of objects
	c.PerSlab = oo & 0xffff
	c.SlabSize = uint64(m.k.PageSize()) << min(oo>>16, maxOrder)
	if err := f.Err(); err != nil {
		c.Err = err
		return c
	}
	c.Err = m.count(ctx, s, c)
	return c
}

// node is what a cache has for one memory node: kmem_cache_node, and since 6.18 the barn of
// sheaves. per_node came in 7.1 (5ba6bc27b1f9).
func (c *Cache) node(i int) (node kernel.Object, barn kernel.Object, err error) {
	path := fmt.Sprintf("per_node[%d].node", i)
	if !c.Has("per_node") {
		path = fmt.Sprintf("node[%d]", i)
		if !c.Has("node") {
			path = fmt.Sprintf("nodelists[%d]", i) // SLAB until 3.10
		}
	}
	if node, err = c.Follow(path); err != nil {
		return node, barn, err
	}
	if c.Has("per_node") {
		barn, _ = c.Follow(fmt.Sprintf("per_node[%d].barn", i))
	} else if node.Has("barn") {
		barn, _ = node.Follow("barn")
	}
	return node, barn, nil
}

// eachNode calls do with what a cache has for each node. A node without memory has nothing.
func (s *slabs) eachNode(c *Cache, do func(node, barn kernel.Object) error) (err error) {
	for i := range s.nodes {
		node, barn, nerr := c.node(i)
		if errors.Is(nerr, phys.ErrUnmapped) {
			continue
		}
		if nerr == nil {
			nerr = do(node, barn)
		}
		err = errors.Join(err, nerr)
	}
	return err
}
