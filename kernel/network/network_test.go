package network_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/network"
	"github.com/kautopsy/kautopsy/symbols"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// namespace is that of process 1.
func namespace(t *testing.T, k *kernel.Kernel) kernel.Object {
	t.Helper()
	ns, err := network.Namespace(guesttest.Tasks(t, k)[1])
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// connected are the guests that had a network: all but the small one.
func connected(t *testing.T, test func(t *testing.T, g guesttest.Guest)) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if _, err := network.Namespace(guesttest.Tasks(t, g.Kernel)[1]); g.Name == "tiny" {
			if !errors.Is(err, network.ErrNoNetwork) {
				t.Errorf("CONFIG_NET is off there: %v", err)
			}
			return
		}
		test(t, g)
	})
}

// hexEnd is an end of a socket as /proc/net/tcp writes it: the address as words of the
// machine, which is little-endian.
func hexEnd(a netip.AddrPort) string {
	b := a.Addr().AsSlice()
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	return fmt.Sprintf("%s:%04X", strings.ToUpper(hex.EncodeToString(b)), a.Port())
}

// TestSockets: local and remote address, state, queues, owner and inode of every socket of
// TCP, UDP and raw IP are the lines of /proc/net. Where the kernel does not name its
// variables (arm64's) the table of raw IP is not found, which is told.
func TestSockets(t *testing.T) {
	connected(t, func(t *testing.T, g guesttest.Guest) {
		got := map[string][]string{}
		for s, err := range network.Sockets(t.Context(), g.Kernel, namespace(t, g.Kernel)) {
			if err != nil && !(g.Name == "arm64" && errors.Is(err, symbols.ErrNoSymbol)) {
				t.Error(err)
			}
			if s.Addr != 0 && s.Family != 1 {
				got[s.Proto()] = append(got[s.Proto()], fmt.Sprintf("%s %s %02X %08X:%08X %d %d",
					hexEnd(s.Local), hexEnd(s.Remote), s.State, s.TxQueue, s.RxQueue, s.UID, s.Inode))
			}
		}
		n := 0
		for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "raw"} {
			var want []string
			for _, line := range strings.Split(strings.TrimSpace(g.Truth(t, "net-"+proto)), "\n")[1:] {
				w := strings.Fields(line)
				want = append(want, strings.Join([]string{w[1], w[2], w[3], w[4], w[7], w[9]}, " "))
			}
			slices.Sort(want)
			slices.Sort(got[proto])
			if !slices.Equal(got[proto], want) {
				t.Errorf("%s:\n got %q\nwant %q", proto, got[proto], want)
			}
			n += len(want)
		}
		t.Logf("%d sockets", n)
		if n < 4 {
			t.Error("that is not enough")
		}
	})
}

// TestUnix: the same of /proc/net/unix.
func TestUnix(t *testing.T) {
	connected(t, func(t *testing.T, g guesttest.Guest) {
		var got, want []string
		for s, err := range network.Sockets(t.Context(), g.Kernel, namespace(t, g.Kernel)) {
			if err == nil && s.Family == 1 {
				got = append(got, fmt.Sprintf("%04X %t %d %s", s.Type, s.StateName() == "LISTEN", s.Inode, s.Path))
			}
		}
		for _, line := range strings.Split(strings.TrimSpace(g.Truth(t, "net-unix")), "\n")[1:] {
			w := append(strings.Fields(line), "")
			want = append(want, fmt.Sprintf("%s %t %s %s", w[4], w[3] == "00010000", w[6], w[7]))
		}
		slices.Sort(got)
		slices.Sort(want)
		if g.Name == "5.10" && len(got) == 0 {
			t.Error("no sockets")
		}
		if !slices.Equal(got, want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	})
}

// TestInterfaces: names, IPv6 addresses and counters are those of /proc/net; what a
// driver's own code counts is not known.
func TestInterfaces(t *testing.T) {
	connected(t, func(t *testing.T, g guesttest.Guest) {
		byName := map[string]network.Interface{}
		var order []string
		for i, err := range network.Interfaces(t.Context(), g.Kernel, namespace(t, g.Kernel)) {
			if err != nil {
				t.Error(err)
			}
			byName[i.Name] = i
			order = append(order, i.Name)
		}
		var want []string
		for _, line := range strings.Split(strings.TrimSpace(g.Truth(t, "net-dev")), "\n")[2:] {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
			want = append(want, name)
			var n [16]uint64
			for i, w := range strings.Fields(rest) {
				fmt.Sscan(w, &n[i])
			}
			s := byName[name].Stats
			if name == "lo" && s == nil {
				t.Error("no counters of lo")
			}
			if s == nil {
				continue
			}
			got := [8]uint64{s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped, s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped}
			was := [8]uint64{n[0], n[1], n[2], n[3], n[8], n[9], n[10], n[11]}
			if name == "dummy0" && got[4] > was[4] { // it asks for routers now and then
				was[4], was[5] = got[4], was[5]+(got[4]-was[4])/70
			}
			if got != was {
				t.Errorf("%s: %d, was %d", name, got, was)
			}
		}
		if !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		compareIPv6(t, g, byName)
		if lo := byName["lo"]; lo.MTU != 65536 || lo.State() != "UP" || !slices.Contains(lo.Addresses, netip.MustParsePrefix("127.0.0.1/8")) {
			t.Errorf("lo: %+v, %s", lo, lo.State())
		}
		if eth, ok := byName["eth0"]; ok && !bytes.Equal(eth.MAC, []byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}) || ok && eth.MTU != 1500 {
			t.Errorf("eth0: %+v", eth)
		}
	})
}

func compareIPv6(t *testing.T, g guesttest.Guest, byName map[string]network.Interface) {
	t.Helper()
	var got, want []string
	for line := range strings.Lines(g.Truth(t, "net-if_inet6")) {
		w := strings.Fields(line)
		want = append(want, w[0]+" "+w[2]+" "+w[5])
	}
	for _, i := range byName {
		for _, a := range i.Addresses {
			if a.Addr().Is6() {
				got = append(got, fmt.Sprintf("%x %02x %s", a.Addr().AsSlice(), a.Bits(), i.Name))
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// TestNeighbours: what the guests knew of their links is not in /proc/net/arp, where it was
// nothing; multicast addresses need no answer and have entries all the same.
func TestNeighbours(t *testing.T) {
	connected(t, func(t *testing.T, g guesttest.Guest) {
		list, err := network.Neighbours(t.Context(), g.Kernel, namespace(t, g.Kernel))
		if err != nil {
			t.Error(err)
		}
		for _, n := range list {
			t.Logf("%v %v %s %s", n.Address, n.MAC, n.Interface, n.StateName())
			if n.StateName() != "NOARP" && n.Address.Is4() || n.Interface == "" || !n.Address.IsValid() {
				t.Errorf("%+v", n)
			}
		}
	})
}
