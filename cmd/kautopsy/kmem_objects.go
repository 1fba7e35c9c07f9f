package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

// slabContents is a slab and its objects.
type slabContents struct {
	page    mm.Page
	memory  uint64 // where it begins
	objects []mm.SlabObject
}

// readSlab reads the objects of a slab by its page. A slab is aligned to its size.
func (p *objectPrinter) readSlab(page mm.Page) (slabContents, error) {
	objects, err := p.m.ObjectsIn(p.env.ctx, page)
	if err != nil || len(objects) == 0 {
		return slabContents{}, err
	}
	size := p.pageSize << page.Order
	return slabContents{page, objects[0].Addr &^ (size - 1), objects}, nil
}

// runObjects prints the objects of the named slab caches, or of the slabs that hold the
// named addresses.
func (f *kmemFlags) runObjects(env *environment, k *kernel.Kernel, m *mm.Memory, words []string) error {
	if len(words) == 0 {
		return usagef("whose objects? Name slab caches (kmem -s lists them), or an address in one")
	}
	caches, err := m.Caches(env.ctx)
	if len(caches) == 0 {
		return err
	}
	p := &objectPrinter{f: f, env: env, m: m, docs: []slabCache{}, lack: []kernel.Missing{}, pageSize: uint64(k.PageSize())}
	p.miss("slab caches", err, "caches that the list of them does not lead to any more")
	for _, word := range words {
		named := slices.DeleteFunc(slices.Clone(caches), func(c *mm.Cache) bool { return !matches(c.Name, []string{word}) })
		if len(named) == 0 {
			if err := p.at(word); err != nil {
				return err
			}
		}
		for _, c := range named {
			p.cache(c, p.all(c))
		}
	}
	lack := told(env, p.lack)
	if f.json {
		return printJSON(env.out, slabDocument(p.docs, lack))
	}
	return nil
}

// objectPrinter prints caches with what is in their slabs.
type objectPrinter struct {
	f    *kmemFlags
	env  *environment
	m    *mm.Memory
	docs []slabCache
	lack []kernel.Missing
	more bool // something was printed

	pageSize uint64
}

func (p *objectPrinter) miss(what string, err error, cost string) {
	if err != nil {
		p.lack = append(p.lack, kernel.NewMissing(what, err, cost))
	}
}

// all are the slabs of a cache, with all of their objects.
func (p *objectPrinter) all(c *mm.Cache) iter.Seq2[slabContents, []mm.SlabObject] {
	return func(yield func(slabContents, []mm.SlabObject) bool) {
		what := "slabs of " + c.Name
		for page, err := range p.m.SlabPages(p.env.ctx, c) {
			if err != nil {
				p.miss(what, err, "slabs")
				continue
			}
			s, err := p.readSlab(page)
			if err != nil {
				p.miss(what, err, "the objects of a slab")
				continue
			}
			if !yield(s, s.objects) {
				return
			}
		}
	}
}

// at prints the cache and the slab that an address is in: with -S all of its objects, with
// -s that of the address.
func (p *objectPrinter) at(word string) error {
	va, _, ok := parseAddress(word)
	if !ok {
		return fmt.Errorf("no slab cache %s (kmem -s lists them)", word)
	}
	o, err := p.m.ObjectAt(p.env.ctx, va)
	if errors.Is(err, phys.ErrUnmapped) {
		return fmt.Errorf("no slab has %x: %s", va, p.m.Describe(p.env.ctx, va).Text)
	}
	if err != nil {
		return err
	}
	s, err := p.readSlab(o.Page)
	if err != nil {
		return err
	}
	show := s.objects
	if p.f.slabs {
		show = []mm.SlabObject{o}
	}
	p.cache(o.Cache, func(yield func(slabContents, []mm.SlabObject) bool) { yield(s, show) })
	return nil
}

// cache prints a cache, and slabs of it with those of their objects that are asked for.
func (p *objectPrinter) cache(c *mm.Cache, slabs iter.Seq2[slabContents, []mm.SlabObject]) {
	p.miss("slab cache "+c.Name, c.Err, "its numbers are too small")
	doc := newSlabCache(c)
	if !p.f.json {
		if p.more {
			fmt.Fprintln(p.env.out)
		}
		p.more = true
		printSlabs(p.env.out, []*mm.Cache{c})
	}
	for s, objects := range slabs {
		if p.f.json {
			doc.Contents = append(doc.Contents, s.document(objects))
		} else {
			s.print(p.env.out, objects)
		}
	}
	p.docs = append(p.docs, doc)
}

// print prints crash's form: the slab, then its objects, those that are allocated in brackets.
func (s slabContents) print(w io.Writer, objects []mm.SlabObject) {
	free := 0
	for _, o := range s.objects {
		if o.Free {
			free++
		}
	}
	fmt.Fprintf(w, "  SLAB              MEMORY            TOTAL  ALLOCATED  FREE\n  %016x  %016x  %5d  %9d  %4d\n  FREE / [ALLOCATED]\n",
		s.page.Addr, s.memory, len(s.objects), len(s.objects)-free, free)
	for _, o := range objects {
		switch {
		case o.Free:
			fmt.Fprintf(w, "   %016x   (%s)\n", o.Addr, o.Where)
		case o.StateErr != nil:
			fmt.Fprintf(w, "  ?%016x?  (not known: %v)\n", o.Addr, o.StateErr)
		default:
			fmt.Fprintf(w, "  [%016x]\n", o.Addr)
		}
	}
}

// slabJSON is a slab with objects of it.
type slabJSON struct {
	Slab    hexAddress       `json:"slab"`
	Memory  hexAddress       `json:"memory"`
	Objects []slabObjectJSON `json:"objects"`
}

type slabObjectJSON struct {
	Address hexAddress `json:"address"`
	State   string     `json:"state"` // allocated, free, unknown
	Where   string     `json:"where,omitempty"`
}

func (s slabContents) document(objects []mm.SlabObject) slabJSON {
	j := slabJSON{hexAddress(s.page.Addr), hexAddress(s.memory), make([]slabObjectJSON, 0, len(objects))}
	for _, o := range objects {
		j.Objects = append(j.Objects, slabObjectJSON{hexAddress(o.Addr), objectState(&o), o.Where})
	}
	return j
}
