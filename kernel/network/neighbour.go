package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Neighbour is what a kernel knew of an address on its own links: an entry of the ARP or
// neighbour discovery cache. Object is its struct neighbour.
type Neighbour struct {
	kernel.Object

	Address   netip.Addr
	MAC       net.HardwareAddr // nil while it is not known
	Interface string
	State     uint64 // NUD_… of include/uapi/linux/neighbour.h
}

// StateName is the state as ip(8) has it.
func (n Neighbour) StateName() string {
	names := [...]string{"INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "NOARP", "PERMANENT"}
	for i, name := range names {
		if n.State == 1<<i {
			return name
		}
	}
	if n.State == 0 {
		return "NONE"
	}
	return fmt.Sprintf("state %#x", n.State)
}

// maxNeighbours bounds a table; the kernel's own limits are some thousand.
const maxNeighbours = 1 << 22

// Neighbours are those of a struct net, IPv4 before IPv6: the tables hang on its interfaces'
// parameters too, so that no variable has to be named.
func Neighbours(ctx context.Context, k *kernel.Kernel, ns kernel.Object) (list []Neighbour, err error) {
	for _, path := range [][]string{{"ip_ptr", "arp_parms"}, {"ip6_ptr", "nd_parms"}} {
		for i, ierr := range Interfaces(ctx, k, ns) {
			if i.Addr == 0 {
				err = errors.Join(err, ierr)
				continue
			}
			if at, err := i.Pointer(path[0]); err != nil || at == 0 {
				continue // no such addresses there, or told by the interface
			}
			parms, perr := i.Through(path...)
			if perr == nil {
				var found []Neighbour
				found, perr = table6or4(ctx, k, parms, ns.Addr)
				list = append(list, found...)
			}
			err = errors.Join(err, perr)
			break // the table is one for all interfaces
		}
	}
	return list, err
}

// table6or4 reads the struct neigh_table that a struct neigh_parms is of.
func table6or4(ctx context.Context, k *kernel.Kernel, parms kernel.Object, ns uint64) (list []Neighbour, err error) {
	t, err := parms.Follow("tbl")
	if err != nil {
		return nil, err
	}
	size, err := t.Uint("key_len")
	if err != nil || size > 16 {
		return nil, errors.Join(err, phys.ErrCorrupt)
	}
	hash, err := t.Follow("nht")
	if err != nil {
		return nil, err
	}
	shift, err := hash.Uint("hash_shift")
	if err != nil || shift > 24 {
		return nil, errors.Join(err, phys.ErrCorrupt)
	}
	// 6.13 (a01a67ab2fffa) made hlists of the chains.
	heads, err := hash.Member("hash_heads", "hash_buckets")
	if err != nil {
		return nil, err
	}
	entry, err := k.Cast(0, "struct neighbour", "primary_key")
	if err != nil {
		return nil, err
	}
	for i := uint64(0); i < 1<<shift && err == nil && ctx.Err() == nil; i++ {
		var head kernel.Object
		if head, err = heads.Index(i); err == nil {
			err = chain(head, entry, func(o kernel.Object) error {
				if len(list) > maxNeighbours {
					return fmt.Errorf("more than %d neighbours: %w", maxNeighbours, phys.ErrCorrupt)
				}
				n, mine, err := readNeighbour(k, o, int(size), ns)
				if mine {
					list = append(list, n)
				}
				return err
			})
		}
	}
	return list, errors.Join(err, ctx.Err())
}

// chain walks one chain of struct neighbour: pointers to the next, or hlist nodes.
func chain(head, entry kernel.Object, each func(kernel.Object) error) error {
	member, first := "next", head
	var offset uint64
	if m, err := entry.Type.Member("hash.next"); err == nil {
		member, offset = "hash.next", m.Offset/8
		if first, err = head.Member("first"); err != nil {
			return err
		}
	}
	at, err := first.Pointer()
	for seen := map[uint64]bool{}; err == nil && at != 0; {
		if seen[at] {
			return fmt.Errorf("neighbour %#x is there twice: %w", at, phys.ErrCorrupt)
		}
		seen[at] = true
		o := entry
		o.Addr = at - offset
		if err = each(o); err == nil {
			at, err = o.Pointer(member)
		}
	}
	return err
}

// readNeighbour reads an entry, and tells whether it is one of that struct net.
func readNeighbour(k *kernel.Kernel, o kernel.Object, size int, ns uint64) (n Neighbour, mine bool, err error) {
	n.Object = o
	dev, err := o.Follow("dev")
	if err != nil {
		return n, false, err
	}
	f := dev.Fields()
	if at := f.Pointer("nd_net.net", "nd_net"); at != ns && f.Err() == nil {
		return n, false, nil
	}
	n.Interface = f.Text("name")
	length := f.Uint("addr_len")
	n.State, err = o.Uint("nud_state")
	if err := errors.Join(f.Err(), err); err != nil {
		return n, true, err
	}
	key, err := o.Member("primary_key")
	if err != nil {
		return n, true, err
	}
	b := make([]byte, size)
	if _, err := k.ReadVirt(b, key.Addr); err != nil {
		return n, true, err
	}
	n.Address, _ = netip.AddrFromSlice(b)
	const known = 0x02 | 0x04 | 0x08 | 0x10 | 0x80 // NUD_VALID without NOARP
	if n.State&known != 0 && length > 0 && length <= 32 {
		ha, err := o.Bytes("ha")
		if err != nil {
			return n, true, err
		}
		n.MAC = ha[:min(int(length), len(ha))]
	}
	return n, true, nil
}

// noNames tells that something was not found because the kernel does not name it.
func noNames(err error) bool { return errors.Is(err, symbols.ErrNoSymbol) }
