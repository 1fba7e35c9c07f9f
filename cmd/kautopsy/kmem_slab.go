package main

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

// runSlabs prints the slab caches; of an address its cache and its object, as crash does.
func (f *kmemFlags) runSlabs(env *environment, k *kernel.Kernel, m *mm.Memory, names []string) error {
	caches, err := m.Caches(env.ctx)
	if len(caches) == 0 {
		return err
	}
	lack := []kernel.Missing{}
	if err != nil {
		lack = append(lack, kernel.NewMissing("slab caches", err, "caches that the list of them does not lead to any more"))
	}
	caches = slices.DeleteFunc(slices.Clone(caches), func(c *mm.Cache) bool { return !matches(c.Name, names) })
	if len(caches) == 0 {
		return f.runObjects(env, k, m, names)
	}
	for _, c := range caches {
		if c.Err != nil {
			lack = append(lack, kernel.NewMissing("slab cache "+c.Name, c.Err, "its numbers are too small"))
		}
	}
	slices.SortStableFunc(caches, func(a, b *mm.Cache) int { return cmp.Compare(b.Bytes(), a.Bytes()) })
	lack = told(env, lack)
	if f.json {
		list := make([]slabCache, 0, len(caches))
		for _, c := range caches {
			list = append(list, newSlabCache(c))
		}
		return printJSON(env.out, slabDocument(list, lack))
	}
	printSlabs(env.out, caches)
	return nil
}

// matches tells whether a name is asked for, by itself or by a pattern; no pattern asks for
// all.
func matches(name string, patterns []string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok || p == name
	})
}

// printSlabs prints crash's table.
func printSlabs(w io.Writer, caches []*mm.Cache) {
	fmt.Fprintln(w, "CACHE             OBJSIZE  ALLOCATED     TOTAL  SLABS  SSIZE  NAME")
	for _, c := range caches {
		fmt.Fprintf(w, "%016x %8d %10d %9d %6d %5dk  %s\n",
			c.Addr, c.ObjectSize, c.Allocated, c.Objects, c.Slabs, c.SlabSize/1024, printable(c.Name))
	}
}

type slabCache struct {
	Name       string     `json:"name"`
	Address    hexAddress `json:"address"`
	ObjectSize uint64     `json:"object_size"`
	Size       uint64     `json:"size"`
	SlabSize   uint64     `json:"slab_size"`
	PerSlab    uint64     `json:"objects_per_slab"`
	Slabs      uint64     `json:"slabs"`
	Partial    uint64     `json:"partial_slabs"`
	Objects    uint64     `json:"objects"`
	Active     uint64     `json:"active"`
	Allocated  uint64     `json:"allocated"`
	Bytes      uint64     `json:"bytes"`
	Users      int        `json:"users"`
	Contents   []slabJSON `json:"contents,omitempty"` // with -S
}

func newSlabCache(c *mm.Cache) slabCache {
	return slabCache{
		c.Name, hexAddress(c.Addr), c.ObjectSize, c.Size, c.SlabSize, c.PerSlab, c.Slabs, c.Partial,
		c.Objects, c.Active, c.Allocated, c.Bytes(), c.Users, nil,
	}
}

func slabDocument(list []slabCache, lack []kernel.Missing) any {
	return struct {
		Schema  int              `json:"schema"`
		Slabs   []slabCache      `json:"slabs"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, lack}
}
