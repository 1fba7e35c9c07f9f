// Package network answers what a kernel's network was when it died: interfaces with their
// addresses and counters, sockets of all tables and of a task, neighbours. It needs the
// kernel's types. All of it begins at a struct net, the network namespace that a task
// leads to, so that it is found in kernels that do not name their variables too.
//
//	task -> nsproxy -> net_ns -> dev_base_head -> net_device -> ip_ptr, ip6_ptr
//	                          -> ipv4.tcp_death_row.hashinfo -> ehash, lhash2
//	                          -> unx.table.buckets
//	file -> dentry -> inode <- socket_alloc -> socket -> sk
package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/kautopsy/kautopsy/kernel"
)

// ErrNoNetwork: a task has no network namespace: it has ended, or the kernel was built
// without a network (CONFIG_NET).
var ErrNoNetwork = errors.New("no network: the task has ended, or the kernel has none (CONFIG_NET)")

// Namespace is the struct net of a task.
func Namespace(task kernel.Task) (kernel.Object, error) {
	proxy, err := task.Pointer("nsproxy")
	if err == nil && proxy == 0 {
		return kernel.Object{}, ErrNoNetwork
	}
	o, err := task.Follow("nsproxy")
	if err != nil {
		return o, fmt.Errorf("network of task %d: %w", task.PID, err)
	}
	if at, err := o.Pointer("net_ns"); err == nil && at == 0 {
		return o, ErrNoNetwork
	}
	if o, err = o.Follow("net_ns"); err != nil {
		return o, fmt.Errorf("network of task %d: %w", task.PID, err)
	}
	return o, nil
}

// address reads an IPv4 or IPv6 address, which lie in memory as they are sent.
func address(o kernel.Object, paths ...string) (netip.Addr, error) {
	b, err := o.Bytes(paths...)
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.AddrFromSlice(b)
	return a, nil
}
