package triage

import (
	"context"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel/lock"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/symbols"
)

// lockTypes are the structures of the kinds of locks.
var lockTypes = map[lock.Kind]string{
	lock.Mutex: "mutex", lock.RWSem: "rw_semaphore", lock.PercpuRWSem: "percpu_rw_semaphore", lock.Semaphore: "semaphore",
	lock.RTMutex: "rt_mutex_base",
}

// nameLocks names the locks that were allocated, by the slab objects that they lie in:
// "ext4_inode_info.vfs_inode.i_rwsem" where the type of the objects is known, else
// "kmalloc-512+0x40".
func (s *scene) nameLocks(ctx context.Context) {
	for i := range s.waits {
		w := &s.waits[i]
		spelled, ok := lockTypes[w.Kind]
		if !ok || w.Lock == 0 || w.Name != "" {
			continue
		}
		if p := s.describe(w.Lock); p.Slab != nil && p.Slab.Offset >= 0 {
			w.Name = s.objectMember(ctx, p.Slab, spelled)
		}
	}
}

// objectMember is the member of a slab object at its offset.
func (s *scene) objectMember(ctx context.Context, o *mm.SlabObject, spelled string) string {
	if t := s.objectType(ctx, o.Cache); t != nil {
		if path := memberAt(t, uint64(o.Offset), spelled, 0); path != "" {
			return t.Name + "." + path
		}
	}
	return fmt.Sprintf("%s+%#x", o.Cache.Name, o.Offset)
}

// objectType finds the structure of a cache's objects: one with the cache's name, or close
// to it, and exactly its size. File systems call theirs ext4_inode_cache and
// ext4_inode_info; such types are in the BTF of their modules.
func (s *scene) objectType(ctx context.Context, c *mm.Cache) *symbols.Type {
	base, err := s.k.Types()
	if base == nil || err != nil {
		return nil
	}
	stem := strings.TrimSuffix(c.Name, "_cache")
	for _, ts := range s.typeSources(ctx, base) {
		for _, name := range []string{c.Name, stem, stem + "_info", stem + "_struct", strings.TrimSuffix(stem, "_inode") + "_inode_info"} {
			t, err := symbols.Find(ts, "struct "+name)
			if err == nil && t.Size() == c.ObjectSize {
				return t
			}
		}
	}
	return nil
}

// typeSources are the kernel's types and those of its modules.
func (s *scene) typeSources(ctx context.Context, base symbols.Types) []symbols.Types {
	out := []symbols.Types{base}
	for m, err := range s.k.ModuleTypes(ctx) {
		if err == nil {
			out = append(out, m.Types)
		}
	}
	return out
}

// maxNesting bounds how deep structures lie in each other.
const maxNesting = 8

// memberAt is the path to the member of a struct type at an offset.
func memberAt(t *symbols.Type, off uint64, spelled string, depth int) string {
	for _, m := range t.Members {
		from, size := m.Bytes()
		mt := m.Type().Underlying()
		if off < from || off >= from+size || m.Bits != 0 || depth > maxNesting {
			continue
		}
		if mt.Name == spelled && off == from {
			return m.Name
		}
		if mt.Kind != symbols.KindStruct && mt.Kind != symbols.KindUnion {
			continue
		}
		if path := memberAt(mt, off-from, spelled, depth+1); path != "" {
			return strings.TrimPrefix(m.Name+"."+path, ".")
		}
	}
	return ""
}
