package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Node is a node of memory: struct pglist_data.
type Node struct {
	kernel.Object

	ID                       int
	StartPFN, Spanned, Pages uint64 // in pages of the kernel; Pages without the holes
	Zones                    []Zone
}

// Zone is a zone of a node: struct zone. Counts are of pages.
type Zone struct {
	kernel.Object

	Name                      string
	StartPFN                  uint64
	Spanned, Present, Managed uint64
	WatermarkMin, Low, High   uint64
	Boost                     uint64   // watermark_boost, already in the watermarks
	Free                      []uint64 // by order: how many blocks of 2^order pages are free
	Stats                     []Stat   // enum zone_stat_item, without what CPUs hold back
	Err                       error    // what could not be read of it
}

// FreePages is how many pages are in the free blocks.
func (z Zone) FreePages() (n uint64) {
	for order, blocks := range z.Free {
		n += blocks << order
	}
	return n
}

// maxZones is above the 5 or 6 that a node has.
const maxZones = 16

// Nodes are the nodes of memory that are there, with their zones.
func (m *Memory) Nodes(ctx context.Context) ([]Node, error) { return m.nodes.get(ctx, m.readNodes) }

func (m *Memory) readNodes(context.Context) (nodes []Node, err error) {
	ts, err := m.k.Types()
	if err != nil {
		return nil, fmt.Errorf("memory nodes: %w", err)
	}
	var stats []symbols.Enumerator
	if t, err := symbols.Find(ts, "enum zone_stat_item"); err == nil {
		stats = items(t)
	}
	single, err := m.k.Global(ts, "contig_page_data")
	if err == nil {
		n, err := node(0, single, stats)
		return []Node{n}, err
	}
	table, err := m.k.Global(ts, "node_data")
	ids, err2 := m.nodeIDs()
	if err = errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("memory nodes: %w", err)
	}
	for id := range uint64(ids) {
		var o kernel.Object
		at, nerr := table.Index(id)
		if nerr == nil {
			o, nerr = at.Follow()
		}
		if errors.Is(nerr, phys.ErrUnmapped) {
			continue // a number that no node has
		}
		var n Node
		if nerr == nil {
			n, nerr = node(int(id), o, stats)
		}
		if err = errors.Join(err, nerr); n.Zones != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes, err
}

func node(id int, o kernel.Object, stats []symbols.Enumerator) (Node, error) {
	n := Node{Object: o, ID: id}
	f := o.Fields()
	n.StartPFN, n.Spanned, n.Pages = f.Uint("node_start_pfn"), f.Uint("node_spanned_pages"), f.Uint("node_present_pages")
	count := f.Uint("nr_zones")
	zones, err := o.Member("node_zones")
	if err = errors.Join(f.Err(), err); err != nil {
		return n, fmt.Errorf("memory node %d: %w", id, err)
	}
	if count > maxZones {
		return n, fmt.Errorf("memory node %d has %d zones: %w", id, count, phys.ErrCorrupt)
	}
	for i := range count {
		z, err := zones.Index(i)
		if err != nil {
			return n, err
		}
		n.Zones = append(n.Zones, zone(z, stats))
	}
	return n, nil
}

func zone(o kernel.Object, stats []symbols.Enumerator) Zone {
	z := Zone{Object: o}
	f := o.Fields()
	z.Name, z.StartPFN = f.Text("name"), f.Uint("zone_start_pfn")
	z.Spanned, z.Present = f.Uint("spanned_pages"), f.Uint("present_pages")
	if o.Has("managed_pages") { // 3.7 on
		z.Managed = f.Uint("managed_pages.counter", "managed_pages")
	} else {
		z.Managed = z.Present
	}
	if o.Has("watermark_boost") { // 5.0 on, 1c30844d2dfe
		z.Boost = f.Uint("watermark_boost")
	}
	mark := func(i int) uint64 {
		return f.Uint(fmt.Sprintf("_watermark[%d]", i), fmt.Sprintf("watermark[%d]", i)) + z.Boost
	}
	z.WatermarkMin, z.Low, z.High = mark(0), mark(1), mark(2)
	for _, e := range stats {
		z.Stats = append(z.Stats, Stat{e.Name, f.Int(fmt.Sprintf("vm_stat[%d].counter", e.Value)), int(e.Value)})
	}
	z.Err = f.Err()
	areas, err := o.Member("free_area")
	if err != nil {
		z.Err = errors.Join(z.Err, err)
		return z
	}
	for order := range min(areas.Type.Underlying().Count, maxOrder) {
		area, err := areas.Index(order)
		var n uint64
		if err == nil {
			n, err = area.Uint("nr_free")
		}
		if err != nil {
			z.Err = errors.Join(z.Err, err)
			break
		}
		z.Free = append(z.Free, n)
	}
	return z
}
