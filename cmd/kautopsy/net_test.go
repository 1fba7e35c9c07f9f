package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/network"
)

// TestPrintNet: the tables of net, which the small guest has no network for.
func TestPrintNet(t *testing.T) {
	var b strings.Builder
	at := func(va uint64) kernel.Object { return kernel.Object{Addr: va} }
	printInterfaces(&b, []netDevice{
		{Interface: network.Interface{
			Object: at(0xffff888004b10000), Name: "lo", MTU: 65536, Flags: 1, MAC: make(net.HardwareAddr, 6),
			Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")},
			Stats:     &network.Stats{RxBytes: 172, RxPackets: 3, TxBytes: 172, TxPackets: 3},
		}},
		{Interface: network.Interface{Object: at(0xffff888004b20000), Name: "eth\x1b0", MTU: 1500, Flags: 1, OperState: 2}},
		{network.Interface{Object: at(0xffff888004b30000), Name: "wan"}, true},
	})
	b.WriteByte('\n')
	printSockets(&b, []socket{
		{Socket: network.Socket{
			Object: at(0xffff888004c10000), Family: 2, Type: 1, Protocol: 6, State: 10, Inode: 282, RxQueue: 2,
			Local: netip.MustParseAddrPort("0.0.0.0:22"), Remote: netip.MustParseAddrPort("0.0.0.0:0"),
		}, owners: []socketOwner{{812, "sshd", 3}}},
		{Socket: network.Socket{Object: at(0xffff888004c20000), Family: 1, Type: 1, State: 1, Inode: 17, Path: "@x", Peer: 0xffff888004c30000}},
		{network.Socket{Object: at(0xffff888004c40000), Family: 17}, nil, true},
	}, false)
	b.WriteByte('\n')
	printSockets(&b, nil, false)
	b.WriteByte('\n')
	for _, r := range []network.Route{
		{
			Table: 254, Type: 1, Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.2.2"),
			Interface: "eth0", Metric: 100,
		},
		{
			Table: 7, Type: 1, Destination: netip.MustParsePrefix("10.0.2.0/24"), Interface: "eth0",
			Source: netip.MustParseAddr("10.0.2.15"),
		},
		{Table: 254, Type: 6, Destination: netip.MustParsePrefix("192.0.2.1/32")},
	} {
		b.WriteString(routeLine(r) + "\n")
	}
	const want = `   NET_DEVICE    NAME              MTU MAC               STATE      ADDRESSES
ffff888004b10000 lo              65536 00:00:00:00:00:00 UP         127.0.0.1/8 ::1/128
ffff888004b20000 eth\x1b0         1500                   UP (no carrier)
ffff888004b30000 wan             (not all in the dump)

NAME              RX BYTES   PACKETS ERRS DROP   TX BYTES   PACKETS ERRS DROP
lo                     172         3    0    0        172         3    0    0
eth\x1b0         not known
wan              not known

      SOCK       PROTO   STATE       RECV-Q SEND-Q   INODE LOCAL REMOTE           PROCESS
ffff888004c10000 tcp     LISTEN           2      0     282 *:22  *:*              sshd(812) fd 3
ffff888004c20000 unix    ESTABLISHED      0      0      17 @x    ffff888004c30000
ffff888004c40000 packet  (not all in the dump)

No sockets

default via 10.0.2.2 dev eth0 metric 100
10.0.2.0/24 dev eth0 table 7 src 10.0.2.15
blackhole 192.0.2.1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
