package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/device"
)

// pciDevices gathers the PCI devices. A kernel without PCI has none.
func pciDevices(env *environment, k *kernel.Kernel, lack *lacking) (list []device.PCIDevice) {
	for d, err := range device.PCIDevices(env.ctx, k) {
		lack.add("PCI devices", err)
		if d.Addr != 0 {
			list = append(list, d)
		}
	}
	return list
}

func (d devices) printPCI(w io.Writer) {
	fmt.Fprintln(w, "    PCI_DEV      ADDRESS       CLASS                 PCI_ID     IRQ  DRIVER")
	for _, p := range d.pci {
		irq := "-"
		if p.IRQ != 0 {
			irq = fmt.Sprint(p.IRQ)
		}
		line := fmt.Sprintf("%016x %-13s %04x %-16s %04x:%04x  %4s  %s", p.Addr, printable(p.Name), p.Class>>8, p.ClassName(), p.Vendor, p.Device, irq,
			printable(p.Driver))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

type devPCI struct {
	PCIDev    hexAddress  `json:"pci_dev"`
	Name      string      `json:"name"`
	Class     hexAddress  `json:"class"`
	Vendor    hexAddress  `json:"vendor"`
	Device    hexAddress  `json:"device"`
	SubVendor hexAddress  `json:"subsystem_vendor"`
	SubDevice hexAddress  `json:"subsystem_device"`
	IRQ       int         `json:"irq,omitempty"`
	Driver    string      `json:"driver,omitempty"`
	Regions   []pciRegion `json:"regions"`
}

type pciRegion struct {
	Number int        `json:"number"` // of the base address register, 6 is the ROM
	Start  hexAddress `json:"start"`
	Size   uint64     `json:"size"`
	Ports  bool       `json:"ports"` // I/O ports, not memory
}

func (d devices) pciEntries() []devPCI {
	list := make([]devPCI, 0, len(d.pci))
	for _, p := range d.pci {
		j := devPCI{
			hexAddress(p.Addr), p.Name, hexAddress(p.Class), hexAddress(p.Vendor), hexAddress(p.Device), hexAddress(p.SubVendor), hexAddress(p.SubDevice),
			p.IRQ, p.Driver,
			[]pciRegion{},
		}
		for i, r := range p.Regions {
			if r.Size() > 0 {
				j.Regions = append(j.Regions, pciRegion{i, hexAddress(r.Start), r.Size(), r.Flags&1 != 0})
			}
		}
		list = append(list, j)
	}
	return list
}
