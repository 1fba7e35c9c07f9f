package crashshell

import (
	"context"
	"regexp"
	"strings"
)

// Net is the answer to net.
type Net struct {
	List []NetDevice `json:"list"`
	Rest []string    `json:"rest,omitempty"` // lines not understood
}

// NetDevice is a network interface.
type NetDevice struct {
	Device    Address  `json:"net_device"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses,omitempty"` // crash before 8.0.3 tells those of IPv4 only
}

var (
	netHeading = regexp.MustCompile(`^\s*NET_DEVICE\s+NAME\s+IP ADDRESS(?:\(ES\))?\s*$`)
	netRow     = regexp.MustCompile(`^\s*([0-9a-f]{5,16})\s+(\S+)\s*(.*?)\s*$`)
)

// ParseNet reads the answer to net and net -n. The error is ErrForm.
func ParseNet(out []byte) (v Net, err error) {
	v.Rest, err = rows(out, netHeading, func(line string) bool {
		m := netRow.FindStringSubmatch(line)
		if m == nil {
			return false
		}
		d := NetDevice{Device: parseAddress(m[1]), Name: m[2]}
		if m[3] != "" {
			d.Addresses = strings.Split(m[3], ", ")
		}
		v.List = append(v.List, d)
		return true
	})
	return v, err
}

// Net asks for the network interfaces: net.
func (s *Session) Net(ctx context.Context) (Net, error) { return ask(ctx, s, ParseNet, "net", nil) }
