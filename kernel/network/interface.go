package network

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Interface is one interface of a network namespace. Object is its struct net_device.
type Interface struct {
	kernel.Object

	Name      string
	Index     int
	MTU       uint64 // bytes
	Flags     uint64 // IFF_… of SIOCGIFFLAGS as the kernel keeps them
	OperState uint64 // enum of include/uapi/linux/if.h, see State
	MAC       net.HardwareAddr
	Addresses []netip.Prefix

	Stats *Stats // nil if only the driver's own code knows them
}

// Stats is what an interface counted, columns of /proc/net/dev.
type Stats struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// State is UP or DOWN, and behind it the state of the link if there is one to speak of, as
// ip(8) has it: "UP", "UP (no carrier)".
func (i Interface) State() string {
	const up = 1
	if i.Flags&up == 0 {
		return "DOWN"
	}
	words := [...]string{"", " (not present)", " (no carrier)", " (lower layer down)", " (testing)", " (dormant)", ""}
	if i.OperState < uint64(len(words)) {
		return "UP" + words[i.OperState]
	}
	return fmt.Sprintf("UP (state %d)", i.OperState)
}

// Interfaces yields the interfaces of a struct net in the order of /proc/net/dev. An error
// about one comes with what is known of it.
func Interfaces(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[Interface, error] {
	return func(yield func(Interface, error) bool) {
		dev, err := k.Cast(0, "struct net_device", "dev_list")
		if err != nil {
			yield(Interface{}, err)
			return
		}
		head, err := ns.Member("dev_base_head")
		if err != nil {
			yield(Interface{}, err)
			return
		}
		for o, err := range k.List(ctx, head.Addr, dev.Type, "dev_list") {
			i := Interface{Object: o}
			if err == nil {
				if err = i.read(ctx, k); err != nil {
					err = fmt.Errorf("interface %s at %#x: %w", i.Name, o.Addr, err)
				}
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

func (i *Interface) read(ctx context.Context, k *kernel.Kernel) error {
	f := i.Fields()
	i.Name, i.Index, i.MTU = f.Text("name"), int(f.Int("ifindex")), f.Uint("mtu")
	i.Flags, i.OperState = f.Uint("flags"), f.Uint("operstate")
	errs := []error{f.Err()}
	for _, read := range []func(context.Context, *kernel.Kernel) error{i.readMAC, i.readIPv4, i.readIPv6, i.readStats} {
		errs = append(errs, read(ctx, k))
	}
	return errors.Join(errs...)
}

// readMAC reads dev_addr, a pointer or (before 2.6.31) an array.
func (i *Interface) readMAC(_ context.Context, k *kernel.Kernel) error {
	n, err := i.Uint("addr_len")
	if err != nil || n == 0 || n > 32 {
		return err
	}
	at, err := i.Member("dev_addr")
	if err != nil {
		return err
	}
	if at.Type.Underlying().Kind == symbols.KindPointer {
		if at, err = at.Follow(); err != nil {
			return err
		}
	}
	mac := make([]byte, n)
	if _, err = k.ReadVirt(mac, at.Addr); err == nil {
		i.MAC = mac
	}
	return err
}

// maxAddresses bounds the addresses of an interface.
const maxAddresses = 1 << 16

// readIPv4 walks ip_ptr->ifa_list.
func (i *Interface) readIPv4(ctx context.Context, _ *kernel.Kernel) error {
	at, err := i.Pointer("ip_ptr")
	if err != nil || at == 0 {
		return err
	}
	o, err := i.Follow("ip_ptr")
	for member := "ifa_list"; err == nil; member = "ifa_next" {
		var next uint64
		if next, err = o.Pointer(member); err != nil || next == 0 {
			break
		}
		if o, err = o.Follow(member); err != nil {
			break
		}
		if len(i.Addresses) > maxAddresses {
			return fmt.Errorf("more than %d addresses: %w", maxAddresses, phys.ErrCorrupt)
		}
		bits, berr := o.Uint("ifa_prefixlen")
		local, aerr := address(o, "ifa_local")
		if err = errors.Join(berr, aerr, ctx.Err()); err == nil {
			i.Addresses = append(i.Addresses, netip.PrefixFrom(local, int(bits)))
		}
	}
	return err
}

// readIPv6 walks ip6_ptr->addr_list, a list since 2.6.35 (502a2ffd7376a).
func (i *Interface) readIPv6(ctx context.Context, k *kernel.Kernel) error {
	at, err := i.Pointer("ip6_ptr")
	if err != nil || at == 0 {
		if errors.Is(err, symbols.ErrNoMember) { // CONFIG_IPV6 is off
			return nil
		}
		return err
	}
	dev, err := i.Follow("ip6_ptr")
	if err != nil {
		return err
	}
	head, err := dev.Member("addr_list")
	if err != nil {
		return err
	}
	entry, err := k.Cast(0, "struct inet6_ifaddr", "if_list")
	if err != nil {
		return err
	}
	for o, err := range k.List(ctx, head.Addr, entry.Type, "if_list") {
		if err != nil {
			return err
		}
		bits, berr := o.Uint("prefix_len")
		addr, aerr := address(o, "addr")
		if err := errors.Join(berr, aerr); err != nil {
			return err
		}
		i.Addresses = append(i.Addresses, netip.PrefixFrom(addr, int(bits)))
	}
	return nil
}
