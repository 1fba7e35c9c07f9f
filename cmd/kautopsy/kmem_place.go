package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// runPlaces tells what each address is.
func (f *kmemFlags) runPlaces(env *environment, k *kernel.Kernel, m *mm.Memory, args []string) error {
	var places []mm.Place
	lack := []kernel.Missing{}
	for _, arg := range args {
		va, err := resolve(env, k, arg)
		if err != nil {
			return err
		}
		p := m.Describe(env.ctx, va)
		if f.physical && va>>52 != 0 {
			return &hintError{fmt.Sprintf("kmem: %s is no physical address: leave -p out", arg)}
		}
		if f.physical {
			p = m.DescribePhys(env.ctx, phys.Addr(va))
		}
		if p.Why != nil {
			lack = append(lack, kernel.NewMissing(arg, p.Why, ""))
		}
		places = append(places, p)
	}
	table, _ := k.AllSymbols(env.ctx)
	if f.json {
		return printJSON(env.out, placeDocument(places, table, told(env, lack)))
	}
	for i, p := range places {
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		printPlace(env.out, p, table)
	}
	told(env, lack)
	return nil
}

// printPlace prints the answer in a sentence, and what stands behind it.
func printPlace(w io.Writer, p mm.Place, table *symbols.Table) {
	fmt.Fprintf(w, "%016x  %s\n", p.Addr, printable(p.Text))
	if t := p.Task; t != nil {
		fmt.Fprintf(w, "  task      %016x  PID %d  CPU %d  %s\n", t.Addr, t.PID, t.CPU, printable(t.Comm))
	}
	if o := p.Slab; o != nil {
		printObject(w, o, table)
	}
	if a := p.Area; a != nil {
		fmt.Fprintf(w, "  area      %016x - %016x  %d pages\n", a.Start, a.End, a.Pages)
	}
	if g := p.Page; g != nil {
		fmt.Fprintf(w, "  page      %016x  frame %x  count %d", g.Addr, g.PFN, g.RefCount)
		if g.Type == "" {
			fmt.Fprintf(w, "  mapped %d", g.MapCount+1)
			if g.Mapping != 0 {
				fmt.Fprintf(w, "  mapping %x  index %x", g.Mapping, g.Index)
			}
		}
		if g.Order > 0 {
			fmt.Fprintf(w, "  order %d", g.Order)
		}
		fmt.Fprintf(w, "\n%s\n", strings.TrimRight(fmt.Sprintf("  flags     %x  %s", g.Flags, strings.Join(g.FlagNames(), ",")), " "))
	}
	if p.Phys != nil {
		fmt.Fprintf(w, "  physical  %x\n", uint64(*p.Phys))
	}
}

// printObject prints the cache of a slab object, and who had it.
func printObject(w io.Writer, o *mm.SlabObject, table *symbols.Table) {
	c := o.Cache
	fmt.Fprintf(w, "  cache     %016x  %s, objects of %d bytes, %d to the next\n", c.Addr, printable(c.Name), c.ObjectSize, c.Size)
	if o.Index >= 0 {
		fmt.Fprintf(w, "  object    %016x  number %d of its slab\n", o.Addr, o.Index)
	}
	printTrack(w, "allocated", o.Alloc, table)
	printTrack(w, "freed", o.Freed, table)
}

// printTrack prints who allocated or freed an object.
func printTrack(w io.Writer, what string, t *mm.Track, table *symbols.Table) {
	if t == nil {
		return
	}
	fmt.Fprintf(w, "  %-9s by %s, PID %d on CPU %d, at jiffies %d\n", what, codeName(table, t.Addr), t.PID, t.CPU, t.When)
	for _, a := range t.Stack {
		fmt.Fprintf(w, "              %s\n", codeName(table, a))
	}
}

// codeName names a return address.
func codeName(table *symbols.Table, va uint64) string {
	if table != nil {
		if s, off, err := table.At(va); err == nil {
			name := fmt.Sprintf("%s+%#x", s.Name, off)
			if s.Module != "" {
				name += " [" + s.Module + "]"
			}
			return printable(name)
		}
	}
	return fmt.Sprintf("%#x", va)
}

type placeJSON struct {
	Address  hexAddress  `json:"address"`
	Kind     string      `json:"kind"`
	Text     string      `json:"text"`
	Symbol   string      `json:"symbol,omitempty"`
	Offset   int64       `json:"offset"`
	Module   string      `json:"module,omitempty"`
	CPU      *int        `json:"cpu,omitempty"`
	PID      *int        `json:"pid,omitempty"`
	Task     *hexAddress `json:"task,omitempty"`
	Free     bool        `json:"free"`
	Object   *objectJSON `json:"object,omitempty"`
	Area     *areaJSON   `json:"area,omitempty"`
	Page     *pageJSON   `json:"page,omitempty"`
	Physical *hexAddress `json:"physical,omitempty"`
}

type objectJSON struct {
	Cache   string     `json:"cache"`
	Start   hexAddress `json:"start"`
	Size    uint64     `json:"size"`
	Index   int        `json:"index"`
	State   string     `json:"state"` // allocated, free, unknown
	Where   string     `json:"where,omitempty"`
	Alloc   *trackJSON `json:"allocated_by,omitempty"`
	Freed   *trackJSON `json:"freed_by,omitempty"`
	CacheAt hexAddress `json:"cache_address"`
}

type trackJSON struct {
	Caller  string   `json:"caller"`
	PID     int      `json:"pid"`
	CPU     int      `json:"cpu"`
	Jiffies uint64   `json:"jiffies"`
	Stack   []string `json:"stack"`
}

type areaJSON struct {
	Start  hexAddress `json:"start"`
	End    hexAddress `json:"end"`
	Flags  []string   `json:"flags"`
	Caller string     `json:"caller,omitempty"`
	Pages  uint64     `json:"pages"`
}

type pageJSON struct {
	PFN      uint64     `json:"pfn"`
	Address  hexAddress `json:"address"`
	Flags    hexAddress `json:"flags"`
	Names    []string   `json:"flag_names"`
	Type     string     `json:"type,omitempty"`
	Count    int32      `json:"count"`
	MapCount *int32     `json:"mapcount,omitempty"` // of a page that can be mapped
	Mapping  hexAddress `json:"mapping"`
	Index    hexAddress `json:"index"`
	Order    int        `json:"order"`
}

// placeDocument is the JSON of the answers.
func placeDocument(places []mm.Place, table *symbols.Table, lack []kernel.Missing) any {
	list := make([]placeJSON, 0, len(places))
	for _, p := range places {
		list = append(list, newPlaceJSON(p, table))
	}
	return struct {
		Schema  int              `json:"schema"`
		Places  []placeJSON      `json:"places"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, lack}
}

func newPlaceJSON(p mm.Place, table *symbols.Table) placeJSON {
	j := placeJSON{Address: hexAddress(p.Addr), Kind: string(p.Kind), Text: p.Text, Offset: p.Offset, Module: p.Module, Free: p.Free}
	if p.Symbol != nil {
		j.Symbol = p.Symbol.Name
	}
	if p.CPU >= 0 {
		j.CPU = &p.CPU
	}
	if p.Task != nil {
		at := hexAddress(p.Task.Addr)
		j.PID, j.Task = &p.Task.PID, &at
	}
	if p.Phys != nil {
		at := hexAddress(*p.Phys)
		j.Physical = &at
	}
	if o := p.Slab; o != nil {
		j.Object = &objectJSON{
			Cache: o.Cache.Name, Start: hexAddress(o.Addr), Size: o.Cache.ObjectSize, Index: o.Index, State: objectState(o), Where: o.Where,
			Alloc: newTrackJSON(o.Alloc, table), Freed: newTrackJSON(o.Freed, table), CacheAt: hexAddress(o.Cache.Addr),
		}
	}
	if a := p.Area; a != nil {
		j.Area = newAreaJSON(*a, table)
	}
	if g := p.Page; g != nil {
		j.Page = &pageJSON{
			g.PFN, hexAddress(g.Addr), hexAddress(g.Flags), g.FlagNames(), g.Type, g.RefCount, nil,
			hexAddress(g.Mapping), hexAddress(g.Index), g.Order,
		}
		if g.Type == "" {
			n := g.MapCount + 1
			j.Page.MapCount = &n
		}
	}
	return j
}

// objectState says in a word whether an object was in use.
func objectState(o *mm.SlabObject) string {
	switch {
	case o.Free:
		return "free"
	case o.StateErr != nil, o.Index < 0:
		return "unknown"
	}
	return "allocated"
}

func newAreaJSON(a mm.Area, table *symbols.Table) *areaJSON {
	j := &areaJSON{hexAddress(a.Start), hexAddress(a.End), a.FlagNames(), "", a.Pages}
	if a.Caller != 0 {
		j.Caller = codeName(table, a.Caller)
	}
	return j
}

func newTrackJSON(t *mm.Track, table *symbols.Table) *trackJSON {
	if t == nil {
		return nil
	}
	j := &trackJSON{codeName(table, t.Addr), t.PID, t.CPU, t.When, []string{}}
	for _, a := range t.Stack {
		j.Stack = append(j.Stack, codeName(table, a))
	}
	return j
}
