package device

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// PCIDevice is a function of a device on a PCI bus: struct pci_dev.
type PCIDevice struct {
	kernel.Object

	Name                 string // "0000:00:03.0": domain, bus, slot, function
	Bus, DevFn           int    // DevFn: slot << 3 | function
	Vendor, Device       int
	SubVendor, SubDevice int
	Class                int // base class << 16 | sub-class << 8 | programming interface
	IRQ                  int // 0: none
	Driver               string
	// Regions are its base addresses and the ROM, in the order of /proc/bus/pci/devices;
	// one without an address is zero.
	Regions [7]PCIRegion
}

// PCIRegion is a range of memory or I/O ports that a device answers to. Bits 0 to 3 of Flags
// are those of its base address register.
type PCIRegion struct{ Start, End, Flags uint64 }

// Size is how long a region is, in bytes.
func (r PCIRegion) Size() uint64 {
	if r.End <= r.Start {
		return 0
	}
	return r.End - r.Start + 1
}

// pciClasses are the base classes (include/linux/pci_ids.h).
var pciClasses = map[int]string{
	0x01: "storage", 0x02: "network", 0x03: "display", 0x04: "multimedia", 0x05: "memory", 0x06: "bridge", 0x07: "communication",
	0x08: "system", 0x09: "input", 0x0a: "docking station", 0x0b: "processor", 0x0c: "serial bus", 0x0d: "wireless",
	0x0e: "intelligent I/O", 0x0f: "satellite", 0x10: "encryption", 0x11: "signal processing", 0x12: "accelerator",
}

// ClassName is its base class in a word, "" for one that has none.
func (d PCIDevice) ClassName() string { return pciClasses[d.Class>>16] }

// maxBuses bounds the buses: 256 in each of some domains.
const maxBuses = 1 << 16

// PCIDevices yields the PCI devices bus by bus (drivers/pci/probe.c): those of each root bus,
// and below it. What cannot be read comes as an error, and the walk goes on where it can.
func PCIDevices(ctx context.Context, k *kernel.Kernel) iter.Seq2[PCIDevice, error] {
	return func(yield func(PCIDevice, error) bool) {
		w := pciWalk{ctx: ctx, k: k, seen: map[uint64]bool{}, yield: yield}
		roots, err := k.Variable("pci_root_buses", "struct list_head")
		if err == nil {
			w.bus, err = k.Cast(0, "struct pci_bus")
		}
		if err == nil {
			w.dev, err = k.Cast(0, "struct pci_dev")
		}
		if err != nil {
			yield(PCIDevice{}, err)
			return
		}
		w.buses(roots.Addr)
	}
}

type pciWalk struct {
	ctx      context.Context
	k        *kernel.Kernel
	bus, dev kernel.Object // of these types
	seen     map[uint64]bool
	yield    func(PCIDevice, error) bool
}

// buses walks the buses of a list, and those below each.
func (w *pciWalk) buses(head uint64) bool {
	for bus, err := range w.k.List(w.ctx, head, w.bus.Type, "node") {
		if err == nil && (w.seen[bus.Addr] || len(w.seen) > maxBuses) {
			err = fmt.Errorf("PCI buses lead back to %#x: %w", bus.Addr, phys.ErrCorrupt)
		}
		if err != nil {
			return w.yield(PCIDevice{}, err)
		}
		w.seen[bus.Addr] = true
		devices, err1 := bus.Member("devices")
		children, err2 := bus.Member("children")
		if err := errors.Join(err1, err2); err != nil {
			return w.yield(PCIDevice{}, err)
		}
		if !w.devices(bus, devices.Addr) || !w.buses(children.Addr) {
			return false
		}
	}
	return true
}

func (w *pciWalk) devices(bus kernel.Object, head uint64) bool {
	number, err := bus.Uint("number")
	if err != nil && !w.yield(PCIDevice{}, err) {
		return false
	}
	for o, err := range w.k.List(w.ctx, head, w.dev.Type, "bus_list") {
		var d PCIDevice
		if err == nil {
			d, err = pciDevice(o)
			d.Bus = int(number)
		}
		if !w.yield(d, err) {
			return false
		}
	}
	return true
}

func pciDevice(o kernel.Object) (PCIDevice, error) {
	f := o.Fields()
	d := PCIDevice{
		Object: o, Name: f.Text("dev.kobj.name"), DevFn: int(f.Uint("devfn")), Class: int(f.Uint("class")), IRQ: int(f.Uint("irq")),
		Vendor: int(f.Uint("vendor")), Device: int(f.Uint("device")),
		SubVendor: int(f.Uint("subsystem_vendor")), SubDevice: int(f.Uint("subsystem_device")),
	}
	driver := f.Pointer("dev.driver")
	err := f.Err()
	if driver != 0 && err == nil {
		var drv kernel.Object
		if drv, err = o.Follow("dev.driver"); err == nil {
			d.Driver, err = drv.Text("name")
		}
	}
	resources, rerr := o.Member("resource")
	for i := range d.Regions {
		var r kernel.Object
		if rerr == nil {
			r, rerr = resources.Index(uint64(i))
		}
		if rerr == nil {
			g := r.Fields()
			d.Regions[i] = PCIRegion{g.Uint("start"), g.Uint("end"), g.Uint("flags")}
			rerr = g.Err()
		}
	}
	if err = errors.Join(err, rerr); err != nil {
		err = fmt.Errorf("PCI device %#x: %w", o.Addr, err)
	}
	return d, err
}
