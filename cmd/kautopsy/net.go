package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/network"
)

type netFlags struct {
	dump       *dumpFlags
	pid        int
	sockets    bool
	all        bool
	neighbours bool
	routes     bool
	json       bool
}

func netCommand() command {
	return command{
		name: "net", group: "The system", args: "DUMP [PID|TASK|COMM…]",
		short: "interfaces, sockets, neighbours, routes",
		long: `Shows the interfaces of the network that process 1 sees, or with -n another
task. Counters that only a driver's own code could tell are not shown. -s takes
tasks, without one the task that crashed. -S shows what the tables of TCP, UDP,
raw IP and AF_UNIX hold, and what else processes have open. RECV-Q and SEND-Q
are bytes that were not read and not acknowledged; of a listening socket RECV-Q
is connections that wait.`,
		example: "kautopsy net -S /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &netFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.sockets, "sockets", "s", false, "the sockets that tasks have open")
			fs.BoolVarP(&f.all, "all-sockets", "S", false, "all sockets")
			fs.BoolVarP(&f.neighbours, "arp", "a", false, "neighbours: the ARP cache and that of IPv6")
			fs.BoolVarP(&f.routes, "routes", "r", false, "IPv4 routes of all tables but the local one")
			fs.IntVarP(&f.pid, "namespace", "n", 1, "the network that the task `PID` sees")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// netAnswer is what net tells; what was not asked for is nil.
type netAnswer struct {
	interfaces []netDevice
	sockets    []socket
	neighbours []network.Neighbour
	routes     []network.Route
}

// netDevice is an interface that could perhaps not be read in full.
type netDevice struct {
	network.Interface
	broken bool
}

func (f *netFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	lack := &lacking{env: env}
	a := &netAnswer{}
	if f.sockets {
		if a.sockets, err = taskSockets(env, k, rest, lack); err != nil {
			return err
		}
	} else if err := noMore(rest); err != nil {
		return err
	}
	if f.all || f.neighbours || f.routes || !f.sockets {
		if err := f.namespace(env, k, a, lack); err != nil {
			return err
		}
	}
	if f.json {
		return printJSON(env.out, a.document(lack.document()))
	}
	f.print(env.out, a)
	lack.tell()
	return nil
}

// namespace reads what is asked of a network namespace.
func (f *netFlags) namespace(env *environment, k *kernel.Kernel, a *netAnswer, lack *lacking) error {
	all, missing, err := allTasks(env, k)
	if err != nil {
		return err
	}
	for _, m := range missing {
		lack.add(m.What, m.Err)
	}
	task, err := taskOfPID(all, f.pid)
	if err != nil {
		return err
	}
	ns, err := network.Namespace(task)
	if err != nil {
		return err
	}
	switch {
	case f.all:
		a.sockets = allSockets(env, k, ns, all, lack)
	case f.neighbours:
		a.neighbours, err = network.Neighbours(env.ctx, k, ns)
		lack.add("neighbours", err)
	case f.routes:
		for r, err := range network.Routes(env.ctx, k, ns) {
			lack.add("routes", err)
			if err == nil && r.Table != network.LocalTable {
				a.routes = append(a.routes, r)
			}
		}
	default:
		for i, err := range network.Interfaces(env.ctx, k, ns) {
			lack.add("interfaces", err)
			if i.Addr != 0 {
				a.interfaces = append(a.interfaces, netDevice{i, err != nil})
			}
		}
		if len(a.interfaces) == 0 && len(lack.list) > 0 {
			return lack.list[0].Err
		}
	}
	return nil
}

func (f *netFlags) print(w io.Writer, a *netAnswer) {
	switch {
	case f.sockets || f.all:
		printSockets(w, a.sockets, f.sockets)
	case f.neighbours:
		fmt.Fprintln(w, "   NEIGHBOUR     STATE      INTERFACE       MAC               ADDRESS")
		for _, n := range a.neighbours {
			fmt.Fprintf(w, "%016x %-10s %-15s %-17s %s\n", n.Addr, n.StateName(), printable(n.Interface), n.MAC, n.Address)
		}
	case f.routes:
		for _, r := range a.routes {
			fmt.Fprintln(w, routeLine(r))
		}
	default:
		printInterfaces(w, a.interfaces)
	}
}

// routeLine is a route as ip route prints it.
func routeLine(r network.Route) string {
	var b strings.Builder
	if t := r.TypeName(); t != "unicast" {
		b.WriteString(t + " ")
	}
	switch {
	case r.Destination.Bits() == 0:
		b.WriteString("default")
	case r.Destination.IsSingleIP():
		b.WriteString(r.Destination.Addr().String())
	default:
		b.WriteString(r.Destination.String())
	}
	if r.Gateway.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Gateway)
	}
	if r.Interface != "" {
		fmt.Fprintf(&b, " dev %s", printable(r.Interface))
	}
	if r.Table != network.MainTable {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	if r.Source.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Source)
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	return b.String()
}

// printInterfaces prints what ip addr has, and the counters of /proc/net/dev.
func printInterfaces(w io.Writer, list []netDevice) {
	fmt.Fprintln(w, "   NET_DEVICE    NAME              MTU MAC               STATE      ADDRESSES")
	for _, i := range list {
		if i.broken {
			fmt.Fprintf(w, "%016x %-15s %s\n", i.Addr, printable(i.Name), notAll)
			continue
		}
		var addresses []string
		for _, a := range i.Addresses {
			addresses = append(addresses, a.String())
		}
		line := fmt.Sprintf("%016x %-15s %5d %-17s %-10s %s",
			i.Addr, printable(i.Name), i.MTU, i.MAC, i.State(), strings.Join(addresses, " "))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	fmt.Fprintln(w, "\nNAME              RX BYTES   PACKETS ERRS DROP   TX BYTES   PACKETS ERRS DROP")
	for _, i := range list {
		s := i.Stats
		if s == nil {
			fmt.Fprintf(w, "%-15s %10s\n", printable(i.Name), "not known")
			continue
		}
		fmt.Fprintf(w, "%-15s %10d %9d %4d %4d %10d %9d %4d %4d\n", printable(i.Name),
			s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped, s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped)
	}
}

// notAll stands where a part of something could not be read.
const notAll = "(not all in the dump)"

type netInterface struct {
	Device    hexAddress `json:"net_device"`
	Name      string     `json:"name"`
	Index     int        `json:"index"`
	MTU       uint64     `json:"mtu"`
	MAC       string     `json:"mac,omitempty"`
	State     string     `json:"state"`
	Addresses []string   `json:"addresses"`
	Stats     *netStats  `json:"stats,omitempty"`
}

type netStats struct {
	RxBytes   uint64 `json:"rx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxErrors  uint64 `json:"rx_errors"`
	RxDropped uint64 `json:"rx_dropped"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxErrors  uint64 `json:"tx_errors"`
	TxDropped uint64 `json:"tx_dropped"`
}

type netNeighbour struct {
	Neighbour hexAddress `json:"neighbour"`
	Address   string     `json:"address"`
	MAC       string     `json:"mac,omitempty"`
	Interface string     `json:"interface"`
	State     string     `json:"state"`
}

type netRoute struct {
	Alias       hexAddress `json:"fib_alias"`
	Table       int        `json:"table"`
	Type        string     `json:"type"`
	Destination string     `json:"destination"`
	Gateway     string     `json:"gateway,omitempty"`
	Interface   string     `json:"interface,omitempty"`
	Source      string     `json:"source,omitempty"`
	Metric      uint64     `json:"metric"`
}

// routeEntries are the routes as JSON has them.
func routeEntries(list []network.Route) []netRoute {
	out := make([]netRoute, 0, len(list))
	for _, r := range list {
		e := netRoute{
			Alias: hexAddress(r.Addr), Table: r.Table, Type: r.TypeName(), Destination: r.Destination.String(),
			Interface: r.Interface, Metric: r.Metric,
		}
		if r.Gateway.IsValid() {
			e.Gateway = r.Gateway.String()
		}
		if r.Source.IsValid() {
			e.Source = r.Source.String()
		}
		out = append(out, e)
	}
	return out
}

func (a *netAnswer) document(missing []kernel.Missing) any {
	interfaces, neighbours := []netInterface{}, []netNeighbour{}
	for _, i := range a.interfaces {
		if i.broken {
			continue // it is among what is missing
		}
		e := netInterface{hexAddress(i.Addr), i.Name, i.Index, i.MTU, i.MAC.String(), i.State(), []string{}, nil}
		for _, p := range i.Addresses {
			e.Addresses = append(e.Addresses, p.String())
		}
		if i.Stats != nil {
			s := netStats(*i.Stats)
			e.Stats = &s
		}
		interfaces = append(interfaces, e)
	}
	for _, n := range a.neighbours {
		neighbours = append(neighbours, netNeighbour{hexAddress(n.Addr), n.Address.String(), n.MAC.String(), n.Interface, n.StateName()})
	}
	return struct {
		Schema     int              `json:"schema"`
		Interfaces []netInterface   `json:"interfaces"`
		Sockets    []netSocket      `json:"sockets"`
		Neighbours []netNeighbour   `json:"neighbours"`
		Routes     []netRoute       `json:"routes"`
		Missing    []kernel.Missing `json:"missing"`
	}{schema, interfaces, socketEntries(a.sockets), neighbours, routeEntries(a.routes), missing}
}
