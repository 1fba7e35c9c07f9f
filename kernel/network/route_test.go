package network_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/network"
)

// hexAddr is an address as /proc/net/route writes it.
func hexAddr(a netip.Addr) string {
	if !a.IsValid() {
		return "00000000"
	}
	b := a.As4()
	return fmt.Sprintf("%02X%02X%02X%02X", b[3], b[2], b[1], b[0])
}

// TestRoutes: the main table is /proc/net/route; the local one has the guest's own addresses.
func TestRoutes(t *testing.T) {
	connected(t, func(t *testing.T, g guesttest.Guest) {
		var got, want, local []string
		for r, err := range network.Routes(t.Context(), g.Kernel, namespace(t, g.Kernel)) {
			if err != nil {
				t.Error(err)
				continue
			}
			if r.Table == network.LocalTable {
				local = append(local, r.TypeName()+" "+r.Destination.String()+" "+r.Interface)
				continue
			}
			flags := 1
			if r.Gateway.IsValid() {
				flags |= 2
			}
			mask := netip.PrefixFrom(netip.MustParseAddr("255.255.255.255"), r.Destination.Bits()).Masked().Addr()
			got = append(got, fmt.Sprintf("%s %s %s %04X %d %s", r.Interface, hexAddr(r.Destination.Addr()), hexAddr(r.Gateway), flags, r.Metric, hexAddr(mask)))
		}
		for _, line := range strings.Split(strings.TrimSpace(g.Truth(t, "net-route")), "\n")[1:] {
			w := strings.Fields(line)
			want = append(want, strings.Join([]string{w[0], w[1], w[2], w[3], w[6], w[7]}, " "))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
		if !slices.Contains(local, "local 10.77.13.1/32 lo") || !slices.Contains(local, "broadcast 127.255.255.255/32 lo") {
			t.Errorf("local: %q", local)
		}
	})
}
