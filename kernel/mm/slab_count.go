package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// count adds up a cache of SLUB.
func (m *Memory) count(ctx context.Context, s *slabs, c *Cache) error {
	var free uint64 // in the partial slabs of the nodes
	err := s.eachNode(c, func(node, _ kernel.Object) error {
		f := node.Fields()
		c.Slabs += f.Uint("nr_slabs.counter")
		c.Objects += f.Uint("total_objects.counter")
		if err := f.Err(); err != nil {
			return err
		}
		list, err := node.Member("partial")
		if err != nil {
			return err
		}
		for slab, err := range m.k.List(ctx, list.Addr, s.slab, s.linkage()) {
			if err != nil {
				return fmt.Errorf("partial slabs: %w", err)
			}
			objects, inuse, err := slabCount(slab)
			if err != nil {
				return err
			}
			c.Partial++
			free += objects - min(inuse, objects)
		}
		return nil
	})
	c.Active = c.Objects - min(free, c.Objects)
	kept, kerr := m.keptForCPUs(ctx, s, c)
	c.Allocated = c.Active - min(kept, c.Active)
	return errors.Join(err, kerr)
}

// linkage is the member by which slabs are in lists.
func (s *slabs) linkage() string {
	if _, err := s.slab.Member("slab_list"); err == nil {
		return "slab_list"
	}
	return "lru"
}

// slabCount is how many objects a slab has room for, and how many of them are not in its
// own freelist.
func slabCount(slab kernel.Object) (objects, inuse uint64, err error) {
	f := slab.Fields()
	objects, inuse = f.Uint("objects"), f.Uint("inuse")
	return objects, inuse, f.Err()
}

// keptForCPUs counts the free objects that are kept for CPUs and count as used elsewhere.
func (m *Memory) keptForCPUs(ctx context.Context, s *slabs, c *Cache) (n uint64, err error) {
	for _, cpu := range s.cpus {
		part, perr := m.keptForCPU(ctx, s, c, cpu)
		n += part
		err = errors.Join(err, perr)
	}
	err = errors.Join(err, s.eachNode(c, func(_, barn kernel.Object) error {
		return m.eachBarnSheaf(ctx, s, barn, func(sheaf kernel.Object) error {
			size, err := sheafSize(sheaf)
			n += size
			return err
		})
	}))
	return n, err
}

func (m *Memory) keptForCPU(ctx context.Context, s *slabs, c *Cache, cpu int) (n uint64, err error) {
	err = eachSheaf(c, cpu, func(sheaf kernel.Object) error {
		size, err := sheafSize(sheaf)
		n += size
		return err
	})
	if !c.Has("cpu_slab") {
		return n, err
	}
	local, cerr := c.cpuSlab(cpu)
	if cerr != nil {
		return n, errors.Join(err, cerr)
	}
	free, serr := m.activeSlab(c, local)
	n += uint64(len(free))
	err = errors.Join(err, serr)
	if !local.Has("partial") {
		return n, err
	}
	slab, perr := local.Follow("partial")
	for seen := map[uint64]bool{}; perr == nil && ctx.Err() == nil; slab, perr = slab.Follow("next") {
		if seen[slab.Addr] {
			perr = fmt.Errorf("partial slabs of CPU %d at %#x lead back: %w", cpu, slab.Addr, phys.ErrCorrupt)
			break
		}
		seen[slab.Addr] = true
		objects, inuse, cerr := slabCount(slab)
		if perr = cerr; perr != nil {
			break
		}
		n += objects - min(inuse, objects)
	}
	if errors.Is(perr, phys.ErrUnmapped) {
		perr = nil // NULL ends it
	}
	return n, errors.Join(err, perr)
}

// cpuSlab is the struct kmem_cache_cpu of a CPU (until 6.19).
func (c *Cache) cpuSlab(cpu int) (kernel.Object, error) {
	at, err := c.Pointer("cpu_slab")
	if err != nil || at == 0 {
		return kernel.Object{}, errors.Join(err, phys.ErrUnmapped)
	}
	return c.PerCPU(cpu, "cpu_slab")
}

// activeSlab are the free objects of the slab that a CPU allocates from: those in the CPU's
// freelist, and those that others gave back to the slab meanwhile.
func (m *Memory) activeSlab(c *Cache, local kernel.Object) (free []uint64, err error) {
	at, err := local.Follow("slab", "page")
	if errors.Is(err, phys.ErrUnmapped) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sl, err := m.slabAt(context.Background(), c, at)
	if err != nil {
		return nil, err
	}
	first, err := local.Pointer("freelist")
	if err != nil {
		return nil, err
	}
	free, err = m.freelist(sl, first)
	if err != nil {
		return free, err
	}
	own, err := m.freelist(sl, sl.freelist)
	return append(free, own...), err
}

// maxSheaf bounds how many objects a sheaf may say that it has.
const maxSheaf = 1 << 12

func sheafSize(sheaf kernel.Object) (uint64, error) {
	n, err := sheaf.Uint("size")
	if err == nil && n > maxSheaf {
		return 0, fmt.Errorf("sheaf %#x of %d objects: %w", sheaf.Addr, n, phys.ErrCorrupt)
	}
	return n, err
}

// eachSheaf calls do with the sheaves of a CPU: arrays of free objects (6.18 on).
func eachSheaf(c *Cache, cpu int, do func(sheaf kernel.Object) error) (err error) {
	if !c.Has("cpu_sheaves") {
		return nil
	}
	sheaves, err := c.PerCPU(cpu, "cpu_sheaves")
	if errors.Is(err, phys.ErrUnmapped) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"main", "spare", "rcu_free"} {
		sheaf, serr := sheaves.Follow(name)
		if errors.Is(serr, phys.ErrUnmapped) {
			continue
		}
		if serr == nil {
			serr = do(sheaf)
		}
		err = errors.Join(err, serr)
	}
	return err
}

// eachBarnSheaf calls do with the full sheaves that wait in a node's barn.
func (m *Memory) eachBarnSheaf(ctx context.Context, s *slabs, barn kernel.Object, do func(sheaf kernel.Object) error) error {
	if barn.Addr == 0 {
		return nil
	}
	t, err := symbols.Find(s.ts, "struct slab_sheaf")
	if err != nil {
		return err
	}
	list, err := barn.Member("sheaves_full")
	if err != nil {
		return err
	}
	for sheaf, err := range m.k.List(ctx, list.Addr, t, "barn_list") {
		if err != nil {
			return fmt.Errorf("barn: %w", err)
		}
		if err := do(sheaf); err != nil {
			return err
		}
	}
	return nil
}

// countSLAB adds up a cache of the allocator SLAB, which went in 6.8 (16a1d968358a). Until
// 4.9 its nodes do not count their slabs, and the lists of them are not walked.
func (m *Memory) countSLAB(s *slabs, c *Cache) error {
	return s.eachNode(c, func(node, _ kernel.Object) error {
		f := node.Fields()
		slabs := f.Uint("total_slabs", "num_slabs")
		free := f.Uint("free_objects")
		if err := f.Err(); err != nil {
			return err
		}
		c.Slabs += slabs
		c.Objects += slabs * c.PerSlab
		c.Active += slabs*c.PerSlab - min(free, slabs*c.PerSlab)
		c.Allocated = c.Active
		return nil
	})
}
