package mm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// Stat is one counter of /proc/vmstat by the kernel's own name: NR_FREE_PAGES, PGFAULT.
type Stat struct {
	Name  string
	Value int64
	item  int // its number
}

// Vmstat are the counters of memory. Those of Zone and Node have in them what the CPUs have
// not yet added to them, which /proc/vmstat leaves out; a counter can be below 0 for a
// moment all the same.
type Vmstat struct {
	Zone   []Stat // enum zone_stat_item; until 4.7 those of nodes too
	Node   []Stat // enum node_stat_item, 4.8 on
	NUMA   []Stat // enum numa_stat_item, 4.14 on
	Events []Stat // enum vm_event_item
}

// Get is a counter by name.
func (v *Vmstat) Get(name string) (int64, bool) {
	for _, list := range [][]Stat{v.Node, v.Zone, v.NUMA, v.Events} {
		for _, s := range list {
			if s.Name == name {
				return s.Value, true
			}
		}
	}
	return 0, false
}

// Vmstat reads the counters: vm_zone_stat, vm_node_stat, vm_numa_event and the CPUs' parts of
// them, and the events, which only the CPUs count. An error comes with what could be read.
func (m *Memory) Vmstat(ctx context.Context) (*Vmstat, error) { return m.vmstat.get(ctx, m.readVmstat) }

func (m *Memory) readVmstat(ctx context.Context) (*Vmstat, error) {
	ts, err := m.k.Types()
	if err != nil {
		return nil, fmt.Errorf("counters of memory: %w", err)
	}
	v := &Vmstat{}
	var errs [5]error
	v.Zone, errs[0] = m.globalStats(ts, "enum zone_stat_item", "vm_zone_stat", "vm_stat")
	v.Node, errs[1] = m.globalStats(ts, "enum node_stat_item", "vm_node_stat")
	v.NUMA, errs[2] = m.globalStats(ts, "enum numa_stat_item", "vm_numa_event", "vm_numa_stat")
	v.Events, errs[3] = m.events(ts)
	for i := 1; i < 4; i++ { // what not every kernel counts
		if errors.Is(errs[i], symbols.ErrNoType) || i > 1 && errors.Is(errs[i], symbols.ErrNoSymbol) {
			errs[i] = nil
		}
	}
	nodes, err := m.Nodes(ctx)
	errs[4] = err
	for _, n := range nodes {
		errs[4] = errors.Join(errs[4], m.addNode(v, n))
	}
	if err := errors.Join(errs[:]...); err != nil {
		return v, fmt.Errorf("counters of memory: %w", err)
	}
	return v, nil
}

// globalStats reads an array of counters by the enum that numbers it.
func (m *Memory) globalStats(ts symbols.Types, enum string, names ...string) (out []Stat, err error) {
	t, err := symbols.Find(ts, enum)
	if err != nil {
		return nil, err
	}
	var sym symbols.Symbol
	for _, name := range names {
		if sym, err = m.k.Symbol(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	for _, e := range items(t) {
		n, err := m.word(sym.Addr + uint64(e.Value)*uint64(m.k.PtrSize()))
		if err != nil {
			return out, err
		}
		out = append(out, Stat{e.Name, m.signed(n), int(e.Value)})
	}
	return out, nil
}

// signed is a long of the machine.
func (m *Memory) signed(v uint64) int64 {
	if m.k.PtrSize() == 4 {
		return int64(int32(v))
	}
	return int64(v)
}

// maxItems bounds an enum that numbers counters.
const maxItems = 1 << 10

// items are the counters of an enum, without its end, and without the names of ranges, which
// have the number of the first in them.
func items(t *symbols.Type) (out []symbols.Enumerator) {
	for i, e := range t.Values {
		base := i+1 < len(t.Values) && t.Values[i+1].Value == e.Value
		if e.Value >= 0 && e.Value < maxItems && !base && !strings.HasSuffix(e.Name, "_ITEMS") {
			out = append(out, e)
		}
	}
	return out
}

// addNode adds what the CPUs hold back of the counters of a node and its zones.
//
//	zone   pageset.vm_stat_diff                     … 5.13
//	       per_cpu_zonestats.vm_stat_diff           5.14 on, 28f836b6777b
//	node   per_cpu_nodestats.vm_node_stat_diff      4.8 on
func (m *Memory) addNode(v *Vmstat, n Node) (err error) {
	for _, cpu := range m.k.PossibleCPUs() {
		if n.Has("per_cpu_nodestats") {
			err = errors.Join(err, addHeld(v.Node, n.Object, cpu, "per_cpu_nodestats", "vm_node_stat_diff"))
		}
		for _, z := range n.Zones {
			held := "per_cpu_zonestats"
			if !z.Has(held) {
				held = "pageset"
			}
			err = errors.Join(err, addHeld(v.Zone, z.Object, cpu, held, "vm_stat_diff"))
		}
	}
	return err
}

// addHeld adds an array of signed bytes to counters.
func addHeld(stats []Stat, o kernel.Object, cpu int, pointer, member string) error {
	part, err := o.PerCPU(cpu, pointer)
	if err != nil {
		return err
	}
	diff, err := part.Bytes(member)
	if err != nil {
		return err
	}
	for i := range stats {
		if s := &stats[i]; s.item < len(diff) {
			s.Value += int64(int8(diff[s.item]))
		}
	}
	return nil
}

// events adds up vm_event_states of the CPUs.
func (m *Memory) events(ts symbols.Types) (out []Stat, err error) {
	t, err := symbols.Find(ts, "enum vm_event_item")
	if err != nil {
		return nil, err
	}
	for _, e := range items(t) {
		out = append(out, Stat{e.Name, 0, int(e.Value)})
	}
	for _, cpu := range m.k.PossibleCPUs() {
		o, err := m.k.PerCPU(ts, "vm_event_states", cpu)
		if err != nil {
			return nil, err
		}
		raw, err := o.Bytes("event")
		if err != nil {
			return out, err
		}
		ptr := m.k.PtrSize()
		for i := range out {
			if at := out[i].item * ptr; at+ptr <= len(raw) {
				out[i].Value += m.signed(m.uint(raw[at:][:ptr]))
			}
		}
	}
	return out, nil
}
