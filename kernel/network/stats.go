package network

import (
	"context"
	"errors"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// readStats reads what the kernel itself counts. An interface whose driver has a function of
// its own for it (ndo_get_stats64) keeps the counters where only that function looks: then
// nothing is known, but for drivers that count in the common forms.
func (i *Interface) readStats(ctx context.Context, k *kernel.Kernel) error {
	ops, err := i.Follow("netdev_ops")
	if err != nil {
		return err
	}
	f := ops.Fields()
	own, before := f.Pointer("ndo_get_stats64"), f.Pointer("ndo_get_stats")
	if err := f.Err(); err != nil || before != 0 {
		return err
	}
	perCPU := ""
	switch name := function(ctx, k, own); {
	case own == 0:
		if perCPU, err = i.kindOfStats(); err != nil {
			return err
		}
	case name == "loopback_get_stats64", name == "dummy_get_stats64":
		perCPU = "lstats"
	case name == "dev_get_tstats64", name == "ip_tunnel_get_stats64":
		perCPU = "tstats"
	default:
		return nil
	}
	s := &Stats{}
	err = s.addShared(k, i.Object)
	if perCPU != "" && err == nil {
		err = s.addPerCPU(k, i.Object, perCPU, function(ctx, k, own) == "loopback_get_stats64")
	}
	if noNames(err) { // where the CPUs have their variables is one
		return nil
	}
	if err == nil {
		i.Stats = s
	}
	return err
}

// kindOfStats is the per-CPU form that a driver asked the kernel for (6.7 on,
// 34d21de99cea9), "" for none.
func (i *Interface) kindOfStats() (string, error) {
	kind, err := i.Uint("pcpu_stat_type")
	if errors.Is(err, symbols.ErrNoMember) {
		return "", nil
	}
	names := [...]string{"", "lstats", "tstats", "dstats"}
	if err != nil || kind >= uint64(len(names)) {
		return "", err
	}
	return names[kind], nil
}

func function(ctx context.Context, k *kernel.Kernel, va uint64) string {
	table, _ := k.AllSymbols(ctx) // what is not there names nothing
	if table == nil || va == 0 {
		return ""
	}
	if s, off, err := table.At(va); err == nil && off == 0 {
		return s.Name
	}
	return ""
}

// addShared adds the counters in struct net_device.
func (s *Stats) addShared(k *kernel.Kernel, dev kernel.Object) error {
	st, err := dev.Member("stats")
	if err != nil {
		return err
	}
	f := st.Fields()
	for _, c := range []struct {
		to   *uint64
		name string
	}{
		{&s.RxBytes, "rx_bytes"},
		{&s.RxPackets, "rx_packets"},
		{&s.RxErrors, "rx_errors"},
		{&s.RxDropped, "rx_dropped"},
		{&s.TxBytes, "tx_bytes"},
		{&s.TxPackets, "tx_packets"},
		{&s.TxErrors, "tx_errors"},
		{&s.TxDropped, "tx_dropped"},
	} {
		*c.to += f.Uint(c.name)
	}
	if err := f.Err(); err != nil || !dev.Has("core_stats") {
		return err
	}
	// What the stack itself dropped: by CPU from 5.18 on (625788b584455).
	return eachCPU(k, dev, "core_stats", func(o kernel.Object) error {
		f := o.Fields()
		s.RxDropped += f.Uint("rx_dropped")
		s.TxDropped += f.Uint("tx_dropped")
		return f.Err()
	})
}

// addPerCPU adds the counters of struct pcpu_lstats (sent packets; the loopback receives
// them too), pcpu_sw_netstats or pcpu_dstats.
func (s *Stats) addPerCPU(k *kernel.Kernel, dev kernel.Object, member string, loopback bool) error {
	return eachCPU(k, dev, member, func(o kernel.Object) error {
		f := o.Fields()
		count := func(name string) uint64 { return f.Uint(name+".v.a.a.counter", name+".v.a.counter", name+".v", name) }
		if o.Has("packets") {
			bytes, packets := count("bytes"), count("packets")
			s.TxBytes, s.TxPackets = s.TxBytes+bytes, s.TxPackets+packets
			if loopback {
				s.RxBytes, s.RxPackets = s.RxBytes+bytes, s.RxPackets+packets
			}
			return f.Err()
		}
		s.RxBytes, s.RxPackets = s.RxBytes+count("rx_bytes"), s.RxPackets+count("rx_packets")
		s.TxBytes, s.TxPackets = s.TxBytes+count("tx_bytes"), s.TxPackets+count("tx_packets")
		return f.Err()
	})
}

// eachCPU reads what a per-CPU pointer leads to; a NULL pointer is nothing.
func eachCPU(k *kernel.Kernel, o kernel.Object, member string, read func(kernel.Object) error) error {
	at, err := o.Member(member)
	if err != nil {
		return err
	}
	va, err := at.Pointer()
	if err != nil || va == 0 {
		return err
	}
	for _, cpu := range k.PossibleCPUs() {
		own, err := k.PerCPUAddr(va, cpu)
		if err != nil {
			return err
		}
		if err := read(k.Object(at.Type.Underlying().Elem(), own)); err != nil {
			return err
		}
	}
	return nil
}
