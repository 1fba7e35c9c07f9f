package mm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

// busy are the caches that the recorder of the truth uses itself, between its look at
// /proc/slabinfo, which is among the first, and the crash: files and directories of /proc,
// the file system it writes to, and what that takes to write.
var busy = []string{
	"buffer_head", "dentry", "proc_inode_cache", "lsm_inode_cache", "ext", "jbd2", "bio", "filp", "kmalloc", "vmap_area",
	"radix_tree_node", "skbuff", "sgpool", "dmaengine", "task_delay", "pid", "cred", "vm_area", "anon_vma", "maple",
	"mm_struct", "sock", "mnt", "names", "files", "signal", "sighand", "task", "fs_cache", "seq_file", "xfs", "scsi",
	"iommu_iova", "fsnotify", "inode_cache", "kernfs", "numa_policy", "shmem", "khugepaged", "posix", "blkdev", "request",
}

// TestCaches compares every cache with /proc/slabinfo: the same names, the same sizes, and
// but for those that the recorder used the same counts.
func TestCaches(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		got := caches(t, g)
		equal, all := 0, 0
		for _, w := range fields(g.Truth(t, "slabinfo"))[1:] {
			c := got[w[0]]
			if c == nil {
				t.Errorf("no cache %s", w[0])
				continue
			}
			delete(got, w[0])
			page := uint64(g.PageSize())
			if c.Size != number(t, w[3]) || c.PerSlab != number(t, w[4]) || c.SlabSize != number(t, w[5])*page {
				t.Errorf("%s: %d, %d, %d; %s", w[0], c.Size, c.PerSlab, c.SlabSize, w)
			}
			active, total, slabs := number(t, w[1]), number(t, w[2]), number(t, w[14])
			if all++; c.Active == active && c.Objects == total && c.Slabs == slabs {
				equal++
			} else if !isBusy(w[0]) {
				t.Errorf("%s: %d of %d objects in %d slabs, were %d of %d in %d", w[0], c.Active, c.Objects, c.Slabs, active, total, slabs)
			}
			if c.Allocated > c.Active || c.Active > c.Objects {
				t.Errorf("%s: %d allocated, %d active, %d objects", w[0], c.Allocated, c.Active, c.Objects)
			}
		}
		for name := range got {
			t.Errorf("cache %s was not in /proc/slabinfo", name)
		}
		if equal*100 < all*80 {
			t.Errorf("only %d of %d caches are as they were", equal, all)
		}
	})
}

func isBusy(name string) bool {
	for _, b := range busy {
		if strings.HasPrefix(name, b) {
			return true
		}
	}
	return false
}

// caches are the caches of a guest by name.
func caches(t *testing.T, g guesttest.Guest) map[string]*mm.Cache {
	t.Helper()
	list, err := mm.New(g.Kernel).Caches(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*mm.Cache)
	for _, c := range list {
		if c.Err != nil && g.Name != "arm64" { // which does not name __per_cpu_offset
			t.Errorf("%s: %v", c.Name, c.Err)
		}
		out[c.Name] = c
	}
	return out
}

// TestObjects: tasks are objects in use; the free objects of a cache are free.
func TestObjects(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		m := mm.New(g.Kernel)
		for pid, task := range guesttest.Tasks(t, g.Kernel) {
			o, err := m.ObjectAt(t.Context(), task.Addr+100)
			if err != nil {
				t.Fatal(err)
			}
			if o.Cache.Name != "task_struct" || o.Addr != task.Addr || o.Offset != 100 || o.Free {
				t.Errorf("task %d: %s at %#x+%d, free %t", pid, o.Cache.Name, o.Addr, o.Offset, o.Free)
			}
		}
		if g.Name == "arm64" {
			return // its CPUs' free objects cannot be found
		}
		got := caches(t, g)
		for _, name := range []string{"task_struct", "dentry", "kmalloc-64"} {
			c := got[name]
			if used := inUse(t, m, c); used != c.Allocated {
				t.Errorf("%s: %d objects in use one by one, %d by the counts", name, used, c.Allocated)
			}
		}
	})
}

// inUse asks every object of a cache whether it is free.
func inUse(t *testing.T, m *mm.Memory, c *mm.Cache) (n uint64) {
	t.Helper()
	for page, err := range m.SlabPages(t.Context(), c) {
		if err != nil {
			t.Fatal(err)
		}
		objects, err := m.ObjectsIn(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.StateErr != nil {
				t.Error(o.StateErr)
			}
			if !o.Free {
				n++
			}
		}
	}
	return n
}

// TestBrokenList: the caches on both sides of a list that is cut in the middle are found.
func TestBrokenList(t *testing.T) {
	all, err := mm.New(guesttest.Tiny(t).Kernel).Caches(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := guesttest.Altered(t, func(_ *kernel.Kernel, mem guesttest.Memory) { mem.Exclude(all[len(all)/2].Addr) })
	left, err := mm.New(k).Caches(t.Context())
	if !errors.Is(err, phys.ErrExcluded) || len(left) < len(all)/3 || len(left) >= len(all) {
		t.Errorf("%d of %d caches, %v", len(left), len(all), err)
	}
}

// TestBrokenFreelist: a free object that was written to is damage, and does not make
// objects free or used.
func TestBrokenFreelist(t *testing.T) {
	g := guesttest.Tiny(t)
	m := mm.New(g.Kernel)
	c := caches(t, g)["kmalloc-64"]
	var free mm.SlabObject
	for page := range m.SlabPages(t.Context(), c) {
		objects, err := m.ObjectsIn(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.Free && o.Where == "freelist of its slab" {
				free = o
			}
		}
	}
	link, err := c.Uint("offset")
	if err != nil || free.Cache == nil {
		t.Fatal(free, err)
	}
	k := guesttest.Altered(t, func(_ *kernel.Kernel, mem guesttest.Memory) { mem.Put(free.Addr+link, []byte("AAAAAAAA")) })
	damaged := 0
	m = mm.New(k)
	page, err := m.HeadOf(t.Context(), free.Page.PFN)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := m.ObjectsIn(t.Context(), page)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if errors.Is(o.StateErr, phys.ErrCorrupt) {
			damaged++
		}
	}
	if damaged == 0 {
		t.Error("nobody sees the damage")
	}
}
