package network

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// table is an array of chains of sockets.
type table struct {
	what   string
	first  uint64 // address of the first chain's head
	stride uint64
	n      uint64
}

// tables finds those of a struct net.
var tables = []struct {
	name string
	find func(k *kernel.Kernel, ns kernel.Object) ([]table, error)
}{
	{"tcp", tcpTables}, {"udp", udpTables}, {"raw", rawTables}, {"unix", unixTables},
}

// Sockets yields the sockets of a network namespace from the tables of TCP, UDP, raw IP and
// AF_UNIX: with those that wait for their end and those that no process has. An error about
// a socket comes with what is known of it; one without says what was not looked at, and
// wraps symbols.ErrNoSymbol when the kernel does not name a table.
func Sockets(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[Socket, error] {
	return func(yield func(Socket, error) bool) {
		seen := map[uint64]bool{}
		for _, kind := range tables {
			found, err := kind.find(k, ns)
			if err != nil && !yield(Socket{}, fmt.Errorf("table of %s sockets: %w", kind.name, err)) {
				return
			}
			for _, t := range found {
				for at, err := range t.chains(ctx, k, seen) {
					var s Socket
					if err == nil {
						s, err = read(k, at)
					}
					if s.Net != 0 && s.Net != ns.Addr {
						continue
					}
					if !yield(s, err) {
						return
					}
				}
			}
		}
	}
}

// tcpTables are those of a struct inet_hashinfo: connections, and what listens. It hangs on
// the namespace since 4.10 (1946e672c1736); the kernel can name it too.
func tcpTables(k *kernel.Kernel, ns kernel.Object) (list []table, err error) {
	info, err := ns.Follow("ipv4.tcp_death_row.hashinfo")
	if errors.Is(err, symbols.ErrNoMember) {
		info, err = k.Variable("tcp_hashinfo", "struct inet_hashinfo")
	}
	if err != nil {
		return nil, err
	}
	e, err := info.Follow("ehash")
	if err != nil {
		return nil, err
	}
	mask, err := info.Uint("ehash_mask")
	if err != nil {
		return nil, err
	}
	list = append(list, table{"tcp connections", e.Addr, e.Type.Size(), mask + 1})
	// The older of the two tables of what listens has it as all others (… 5.18).
	if l, err := info.Member("listening_hash"); err == nil {
		one, err := l.Index(0)
		if err != nil {
			return list, err
		}
		head, err := one.Member("nulls_head", "head")
		return append(list, table{"tcp listeners", head.Addr, one.Type.Size(), l.Type.Underlying().Count}), err
	}
	l, err := info.Follow("lhash2")
	if err != nil {
		return list, err
	}
	head, err := l.Member("nulls_head")
	if err != nil {
		return list, err
	}
	n, err := info.Uint("lhash2_mask")
	return append(list, table{"tcp listeners", head.Addr, l.Type.Size(), n + 1}), err
}

// udpTables are of the namespace since 6.2 (ba6aac15ebb97).
func udpTables(k *kernel.Kernel, ns kernel.Object) ([]table, error) {
	t, err := ns.Follow("ipv4.udp_table")
	if errors.Is(err, symbols.ErrNoMember) {
		t, err = k.Variable("udp_table", "struct udp_table")
	}
	if err != nil {
		return nil, err
	}
	slot, err := t.Follow("hash")
	if err != nil {
		return nil, err
	}
	mask, err := t.Uint("mask")
	return []table{{"udp", slot.Addr, slot.Type.Size(), mask + 1}}, err
}

// rawTables are those of IPv4 and IPv6, for all namespaces.
func rawTables(k *kernel.Kernel, _ kernel.Object) (list []table, err error) {
	for _, name := range []string{"raw_v4_hashinfo", "raw_v6_hashinfo"} {
		o, verr := k.Variable(name, "struct raw_hashinfo")
		if verr != nil {
			err = errors.Join(err, verr)
			continue
		}
		ht, verr := o.Member("ht")
		if verr != nil {
			err = errors.Join(err, verr)
			continue
		}
		list = append(list, table{name, ht.Addr, uint64(k.PtrSize()), ht.Type.Underlying().Count})
	}
	return list, err
}

// unixBuckets is UNIX_HASH_SIZE: of names, and of sockets without one.
const unixBuckets = 512

// unixTables are of the namespace since 6.0 (b6e811383062f), before of all.
func unixTables(k *kernel.Kernel, ns kernel.Object) ([]table, error) {
	word := uint64(k.PtrSize())
	first, err := ns.Pointer("unx.table.buckets")
	if err == nil {
		return []table{{"unix", first, word, unixBuckets}}, nil
	}
	if !errors.Is(err, symbols.ErrNoMember) {
		return nil, err
	}
	heads, err := k.Variable("unix_socket_table", "struct hlist_head")
	return []table{{"unix", heads.Addr, word, unixBuckets}}, err
}

const (
	maxBuckets = 1 << 26
	maxSockets = 1 << 24
)

// chains yields the addresses of the sockets in a table. A chain ends with NULL, or with an
// odd number where a reader may run from one chain into another (hlist_nulls). What is cut
// by absent memory costs its chain.
func (t table) chains(ctx context.Context, k *kernel.Kernel, seen map[uint64]bool) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		if t.n == 0 {
			return // not found, and told
		}
		c, err := common(k, 0)
		if err != nil {
			yield(0, err)
			return
		}
		node, err := c.Type.OneOf("skc_nulls_node", "skc_node")
		if err == nil && t.n > maxBuckets {
			err = fmt.Errorf("%d chains: %w", t.n, phys.ErrCorrupt)
		}
		if err != nil {
			yield(0, fmt.Errorf("%s: %w", t.what, err))
			return
		}
		const window = 1 << 16
		for from, buf := uint64(0), make([]byte, window); from < t.n; from += window / t.stride {
			n := min(window/t.stride, t.n-from)
			part := buf[:(n-1)*t.stride+uint64(k.PtrSize())]
			got, err := k.ReadVirt(part, t.first+from*t.stride)
			if err := errors.Join(err, ctx.Err()); err != nil && !yield(0, fmt.Errorf("%s: %w", t.what, err)) || ctx.Err() != nil {
				return
			}
			for at := uint64(0); at+uint64(k.PtrSize()) <= uint64(got); at += t.stride {
				first := bin.Uint(part[at:][:k.PtrSize()], k.Dump().Header.Order)
				if !t.chain(k, first, node.Offset/8, seen, yield) {
					return
				}
			}
		}
	}
}

// chain follows one chain.
func (t table) chain(k *kernel.Kernel, at, offset uint64, seen map[uint64]bool, yield func(uint64, error) bool) bool {
	word := make([]byte, k.PtrSize())
	for at != 0 && at&1 == 0 {
		sock := at - offset
		if seen[sock] || len(seen) > maxSockets {
			return yield(0, fmt.Errorf("%s: socket %#x is there twice: %w", t.what, sock, phys.ErrCorrupt))
		}
		seen[sock] = true
		if !yield(sock, nil) {
			return false
		}
		if _, err := k.ReadVirt(word, at); err != nil {
			return yield(0, fmt.Errorf("%s: behind socket %#x: %w", t.what, sock, err))
		}
		at = bin.Uint(word, k.Dump().Header.Order)
	}
	return true
}
