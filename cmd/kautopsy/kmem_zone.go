package main

import (
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/symbols"
)

// runZones prints the nodes, the zones, or their free blocks.
func (f *kmemFlags) runZones(env *environment, k *kernel.Kernel, m *mm.Memory) error {
	nodes, err := m.Nodes(env.ctx)
	if len(nodes) == 0 && err != nil {
		return err
	}
	lack := missing("memory nodes", err)
	for _, n := range nodes {
		for _, z := range n.Zones {
			if z.Err != nil {
				lack = append(lack, kernel.NewMissing("zone "+z.Name, z.Err, "its numbers are not all there"))
			}
		}
	}
	lack = told(env, lack)
	if f.json {
		return printJSON(env.out, nodeDocument(nodes, lack))
	}
	for _, n := range nodes {
		switch {
		case f.free:
			printFree(env.out, n, k.PageSize())
		case f.zones:
			printZones(env.out, n)
		default:
			printNode(env.out, n)
		}
	}
	return nil
}

func printNode(w io.Writer, n mm.Node) {
	fmt.Fprintf(w, "NODE: %d  ADDR: %016x  SIZE: %d  PRESENT: %d  START_PFN: %x\n", n.ID, n.Addr, n.Spanned, n.Pages, n.StartPFN)
	fmt.Fprintln(w, "ZONE  NAME           SIZE   PRESENT   MANAGED  START_PFN  ADDR")
	for i, z := range n.Zones {
		fmt.Fprintf(w, "%3d   %-10s %8d  %8d  %8d  %9x  %016x\n", i, printable(z.Name), z.Spanned, z.Present, z.Managed, z.StartPFN, z.Addr)
	}
	fmt.Fprintln(w)
}

func printZones(w io.Writer, n mm.Node) {
	for i, z := range n.Zones {
		fmt.Fprintf(w, "NODE: %d  ZONE: %d  ADDR: %016x  NAME: %q\n", n.ID, i, z.Addr, printable(z.Name))
		if z.Present == 0 {
			fmt.Fprint(w, "  [unpopulated]\n\n")
			continue
		}
		fmt.Fprintf(w, "  SIZE: %d  PRESENT: %d  MANAGED: %d  MIN/LOW/HIGH: %d/%d/%d\n", z.Spanned, z.Present, z.Managed, z.WatermarkMin, z.Low, z.High)
		fmt.Fprintln(w, "  VM_STAT:")
		for _, s := range z.Stats {
			fmt.Fprintf(w, "%24s: %d\n", s.Name, s.Value)
		}
		fmt.Fprintln(w)
	}
}

func printFree(w io.Writer, n mm.Node, page int) {
	for _, z := range n.Zones {
		if z.Present == 0 {
			continue
		}
		fmt.Fprintf(w, "NODE: %d  ZONE: %q  FREE: %d pages\n", n.ID, printable(z.Name), z.FreePages())
		fmt.Fprintln(w, "AREA    SIZE    BLOCKS     PAGES")
		for order, blocks := range z.Free {
			fmt.Fprintf(w, "%3d  %6dk  %8d  %8d\n", order, page<<order/1024, blocks, blocks<<order)
		}
		fmt.Fprintln(w)
	}
}

type zoneJSON struct {
	Name     string           `json:"name"`
	Address  hexAddress       `json:"address"`
	StartPFN uint64           `json:"start_pfn"`
	Spanned  uint64           `json:"spanned"`
	Present  uint64           `json:"present"`
	Managed  uint64           `json:"managed"`
	Min      uint64           `json:"min"`
	Low      uint64           `json:"low"`
	High     uint64           `json:"high"`
	Free     []uint64         `json:"free_blocks"`
	Stats    map[string]int64 `json:"stats"`
}

type nodeJSON struct {
	Node     int        `json:"node"`
	Address  hexAddress `json:"address"`
	StartPFN uint64     `json:"start_pfn"`
	Spanned  uint64     `json:"spanned"`
	Present  uint64     `json:"present"`
	Zones    []zoneJSON `json:"zones"`
}

func nodeDocument(nodes []mm.Node, lack []kernel.Missing) any {
	list := make([]nodeJSON, 0, len(nodes))
	for _, n := range nodes {
		j := nodeJSON{n.ID, hexAddress(n.Addr), n.StartPFN, n.Spanned, n.Pages, []zoneJSON{}}
		for _, z := range n.Zones {
			j.Zones = append(j.Zones, zoneJSON{
				z.Name, hexAddress(z.Addr), z.StartPFN, z.Spanned, z.Present, z.Managed, z.WatermarkMin, z.Low, z.High,
				append([]uint64{}, z.Free...), statMap(z.Stats),
			})
		}
		list = append(list, j)
	}
	return struct {
		Schema  int              `json:"schema"`
		Nodes   []nodeJSON       `json:"nodes"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, lack}
}

func statMap(list []mm.Stat) map[string]int64 {
	out := make(map[string]int64, len(list))
	for _, s := range list {
		out[s.Name] = s.Value
	}
	return out
}

// runCounters prints the counters of memory.
func (f *kmemFlags) runCounters(env *environment, m *mm.Memory) error {
	v, err := m.Vmstat(env.ctx)
	if v == nil {
		return err
	}
	lack := told(env, missing("counters", err))
	if f.json {
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Zone    map[string]int64 `json:"zone"`
			Node    map[string]int64 `json:"node"`
			NUMA    map[string]int64 `json:"numa"`
			Events  map[string]int64 `json:"events"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, statMap(v.Zone), statMap(v.Node), statMap(v.NUMA), statMap(v.Events), lack})
	}
	for _, part := range []struct {
		title string
		stats []mm.Stat
	}{{"VM_ZONE_STAT", v.Zone}, {"VM_NODE_STAT", v.Node}, {"VM_NUMA_STAT", v.NUMA}, {"VM_EVENT_STATES", v.Events}} {
		if len(part.stats) == 0 {
			continue
		}
		fmt.Fprintf(env.out, "  %s:\n", part.title)
		for _, s := range part.stats {
			fmt.Fprintf(env.out, "%30s: %d\n", s.Name, s.Value)
		}
		fmt.Fprintln(env.out)
	}
	return nil
}

// runVmalloc prints the areas of the vmalloc range.
func (f *kmemFlags) runVmalloc(env *environment, k *kernel.Kernel, m *mm.Memory) error {
	areas, err := m.Areas(env.ctx)
	if len(areas) == 0 && err != nil {
		return err
	}
	table, _ := k.AllSymbols(env.ctx)
	lack := told(env, missing("vmalloc areas", err))
	if f.json {
		list := make([]areaJSON, 0, len(areas))
		for _, a := range areas {
			list = append(list, *newAreaJSON(a, table))
		}
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Areas   []areaJSON       `json:"areas"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, list, lack})
	}
	printAreas(env.out, areas, table)
	return nil
}

// printAreas prints crash's table, with who asked for each area.
func printAreas(w io.Writer, areas []mm.Area, table *symbols.Table) {
	fmt.Fprintln(w, "   VMAP_AREA         VM_STRUCT                 ADDRESS RANGE                SIZE  CALLER")
	for _, a := range areas {
		caller := "vm_map_ram"
		if a.VM != 0 {
			caller = codeName(table, a.Caller)
		}
		fmt.Fprintf(w, "%016x  %016x  %016x - %016x %8d  %s\n", a.Addr, a.VM, a.Start, a.End, a.End-a.Start, caller)
	}
}
