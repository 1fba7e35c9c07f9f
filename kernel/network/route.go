package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Route is one way of an IPv4 route. Object is its struct fib_alias.
type Route struct {
	kernel.Object

	Table       int // 254 is main, 255 local
	Destination netip.Prefix
	Gateway     netip.Addr // not valid: the destination is on the link
	Interface   string     // "" where nothing is sent
	Source      netip.Addr // preferred; not valid: none
	Metric      uint64
	Type        uint64 // RTN_…, see TypeName
}

// The tables that everybody has (include/uapi/linux/rtnetlink.h).
const (
	MainTable  = 254
	LocalTable = 255
)

// TypeName is the type as ip(8) has it: "unicast", "local", "blackhole".
func (r Route) TypeName() string {
	names := [...]string{
		"none", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "nat",
	}
	if r.Type < uint64(len(names)) {
		return names[r.Type]
	}
	return fmt.Sprintf("type %d", r.Type)
}

// Routes yields the IPv4 routes of a struct net, table by table, in the order of addresses
// (net/ipv4/fib_trie.c as it is since 4.1). A route with several ways is several; the ways
// of a group of nexthop objects are not followed.
func Routes(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[Route, error] {
	return func(yield func(Route, error) bool) {
		tables, err := fibTables(ctx, k, ns)
		if err != nil && !yield(Route{}, fmt.Errorf("routes: %w", err)) {
			return
		}
		for _, t := range tables {
			w := trie{k: k, ctx: ctx, seen: map[uint64]bool{}, yield: yield}
			if err := w.table(t); err != nil && !w.stop && !yield(Route{}, fmt.Errorf("routes: %w", err)) {
				return
			}
			if w.stop {
				return
			}
		}
	}
}

// fibTables are the struct fib_table of a namespace.
func fibTables(ctx context.Context, k *kernel.Kernel, ns kernel.Object) (list []kernel.Object, err error) {
	n := uint64(2)
	if ns.Has("ipv4.fib_main") { // CONFIG_IP_MULTIPLE_TABLES
		n = 256
	}
	heads, err := ns.Member("ipv4.fib_table_hash")
	if err != nil {
		return nil, err
	}
	t, err := k.Cast(0, "struct fib_table", "tb_hlist")
	if err != nil {
		return nil, err
	}
	for i := range n {
		head, err := heads.Index(i)
		if err != nil {
			return list, err
		}
		for o, err := range k.HList(ctx, head.Addr, t.Type, "tb_hlist") {
			if err != nil {
				return list, err
			}
			list = append(list, o)
		}
	}
	return list, nil
}

// trie walks one table.
type trie struct {
	k     *kernel.Kernel
	ctx   context.Context
	id    int
	seen  map[uint64]bool
	slots int // that were looked at
	yield func(Route, error) bool
	stop  bool
}

// A trie is bounded: the Internet's table has a million routes, and half of a node's slots
// are in use.
const (
	maxNodes = 1 << 24
	maxSlots = 1 << 26
)

func (w *trie) table(t kernel.Object) error {
	id, err := t.Uint("tb_id")
	if err != nil {
		return err
	}
	w.id = int(id)
	data, err := t.Pointer("tb_data")
	if err != nil {
		return err
	}
	root, err := w.k.Cast(data, "struct key_vector", "tnode")
	if err != nil {
		return err
	}
	return w.child(root, 0)
}

// child goes to a child of a node, which need not be there.
func (w *trie) child(node kernel.Object, i uint64) error {
	slots, err := node.Member("tnode")
	if err != nil {
		return err
	}
	slot, err := slots.Index(i)
	if err != nil {
		return err
	}
	if w.slots++; w.slots > maxSlots {
		return fmt.Errorf("table %d has more than %d slots: %w", w.id, maxSlots, phys.ErrCorrupt)
	}
	at, err := slot.Pointer()
	if err != nil || at == 0 || w.stop {
		return err
	}
	if w.seen[at] || len(w.seen) > maxNodes {
		return fmt.Errorf("node %#x of table %d is there twice: %w", at, w.id, phys.ErrCorrupt)
	}
	w.seen[at] = true
	o, err := slot.Follow()
	if err != nil {
		return err
	}
	bits, err := o.Uint("bits")
	switch {
	case err != nil:
		return err
	case bits == 0:
		return w.leaf(o)
	case bits > 24:
		return fmt.Errorf("node %#x of table %d has 2^%d children: %w", at, w.id, bits, phys.ErrCorrupt)
	}
	for i := range uint64(1) << bits {
		if err := errors.Join(w.child(o, i), w.ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// leaf yields the routes to one address.
func (w *trie) leaf(o kernel.Object) error {
	key, err := o.Uint("key")
	if err != nil {
		return err
	}
	head, err := o.Member("leaf")
	if err != nil {
		return err
	}
	alias, err := w.k.Cast(0, "struct fib_alias", "fa_list")
	if err != nil {
		return err
	}
	for a, err := range w.k.HList(w.ctx, head.Addr, alias.Type, "fa_list") {
		if err != nil {
			return err
		}
		if err := w.alias(a, uint32(key)); err != nil || w.stop {
			return err
		}
	}
	return nil
}

// alias yields the ways of one route. Tables can share a trie: a route says whose it is.
func (w *trie) alias(a kernel.Object, key uint32) error {
	f := a.Fields()
	if owner := int(f.Uint("tb_id")); owner != w.id {
		return f.Err()
	}
	length := 32 - int(f.Uint("fa_slen"))
	r := Route{Object: a, Table: w.id, Type: f.Uint("fa_type")}
	if err := f.Err(); err != nil {
		return err
	}
	r.Destination = netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, key))), length)
	info, err := a.Follow("fa_info")
	if err != nil {
		return err
	}
	i := info.Fields()
	r.Metric = i.Uint("fib_priority")
	ways := i.Uint("fib_nhs")
	source, err := address(info, "fib_prefsrc")
	if err := errors.Join(i.Err(), err); err != nil {
		return err
	}
	if !source.IsUnspecified() {
		r.Source = source
	}
	if ways > 1<<10 {
		return fmt.Errorf("route %#x has %d ways: %w", a.Addr, ways, phys.ErrCorrupt)
	}
	return w.ways(r, info, ways)
}

// ways yields the ways of a route: those that it has itself, or that of a nexthop object
// (5.3 on, 4c7e8084fd467). Of a group of these the route alone is told.
func (w *trie) ways(r Route, info kernel.Object, n uint64) error {
	if at, err := info.Pointer("nh"); err == nil && at != 0 {
		object, err := info.Follow("nh")
		if err == nil {
			err = r.object(object)
		}
		w.stop = !w.yield(r, err)
		return nil
	} else if err != nil && !errors.Is(err, symbols.ErrNoMember) {
		return err
	}
	list, err := info.Member("fib_nh")
	if err != nil {
		return err
	}
	for i := uint64(0); i < n && !w.stop; i++ {
		way, err := list.Index(i)
		if err == nil && way.Has("nh_common") { // 5.2 on (f1741730dd18a)
			way, err = way.Member("nh_common")
		}
		if err == nil {
			err = r.way(way)
		}
		w.stop = !w.yield(r, err)
	}
	return nil
}

// object takes the way of a struct nexthop.
func (r *Route) object(nh kernel.Object) error {
	if group, err := nh.Uint("is_group"); err != nil || group != 0 {
		return err
	}
	info, err := nh.Follow("nh_info")
	if err != nil {
		return err
	}
	way, err := info.Member("fib_nhc")
	if err != nil {
		return err
	}
	return r.way(way)
}

// way reads a struct fib_nh_common, or fib_nh before 5.2.
func (r *Route) way(o kernel.Object) error {
	at, err := o.Pointer("nhc_dev", "nh_dev")
	if err != nil {
		return err
	}
	r.Interface, r.Gateway = "", netip.Addr{}
	if at != 0 {
		dev, err := o.Follow("nhc_dev", "nh_dev")
		if err != nil {
			return err
		}
		if r.Interface, err = dev.Text("name"); err != nil {
			return err
		}
	}
	member := "nhc_gw.ipv4"
	family, err := o.Uint("nhc_gw_family")
	switch {
	case errors.Is(err, symbols.ErrNoMember):
		member = "nh_gw"
	case err != nil:
		return err
	case family == afInet6:
		member = "nhc_gw.ipv6"
	}
	gateway, err := address(o, member)
	if err == nil && !gateway.IsUnspecified() {
		r.Gateway = gateway
	}
	return err
}
