package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/device"
	"github.com/kautopsy/kautopsy/phys"
)

type devFlags struct {
	dump   *dumpFlags
	disks  bool
	ports  bool
	memory bool
	pci    bool
	json   bool
}

func devCommand() command {
	return command{
		name: "dev", group: "The system", args: "DUMP",
		short: "character and block devices, disk I/O, I/O ports",
		long: `Lists the majors as /proc/devices does, with the addresses of their struct cdev
or gendisk and the names of their operations. With -d what the disks did, and
the requests that their drivers had not ended: a disk that hangs has some. With
-p the PCI devices: the address of each struct pci_dev, class, vendor and device
as lspci -n has them, interrupt, driver. --json has their memory and ports.`,
		example: "kautopsy dev -d /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &devFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.disks, "disks", "d", false, "disks: requests in flight, statistics")
			fs.BoolVarP(&f.ports, "ioports", "i", false, "I/O ports, as /proc/ioports")
			fs.BoolVarP(&f.memory, "iomem", "m", false, "physical addresses, as /proc/iomem")
			fs.BoolVarP(&f.pci, "pci", "p", false, "PCI devices and their drivers")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// devices is what dev tells.
type devices struct {
	chars, blocks []device.Major
	disks         []disk
	ports, memory []device.Resource
	pci           []device.PCIDevice
}

// disk is a disk with what its driver had to do.
type disk struct {
	device.Disk
	requests []device.Request

	known         bool // how many are in flight is
	reads, writes int
}

func (f *devFlags) run(env *environment, args []string) error {
	k, done, err := f.dump.openAlone(env, args)
	if err != nil {
		return err
	}
	defer done()
	lack := &lacking{env: env}
	var d devices
	if f.json || f.ports {
		d.ports = ranges(device.Ports(env.ctx, k), lack)
	}
	if f.json || f.memory {
		d.memory = ranges(device.Memory(env.ctx, k), lack)
	}
	if f.json || f.pci {
		d.pci = pciDevices(env, k, lack)
	}
	majors := !f.disks && !f.ports && !f.memory && !f.pci
	if f.json || majors {
		d.chars, err = device.CharMajors(env.ctx, k)
		lack.add("character devices", err)
		d.blocks, err = device.BlockMajors(env.ctx, k)
		lack.add("block devices", err)
	}
	if f.json || f.disks || majors {
		d.readDisks(env, k, lack)
	}
	if n := len(d.chars) + len(d.blocks) + len(d.disks) + len(d.ports) + len(d.memory) + len(d.pci); n == 0 && len(lack.list) > 0 {
		return lack.list[0].Err
	}
	switch {
	case f.json:
		return printJSON(env.out, d.document(lack.document()))
	case majors:
		d.printMajors(env.out)
	case f.disks:
		d.printDisks(env.out)
	}
	if f.pci {
		d.printPCI(env.out)
	}
	for _, r := range append(d.ports, d.memory...) {
		fmt.Fprintln(env.out, printable(r.String()))
	}
	lack.tell()
	return nil
}

// ranges gathers resources.
func ranges(walk iter.Seq2[device.Resource, error], lack *lacking) (list []device.Resource) {
	for r, err := range walk {
		if err != nil {
			lack.add("resources", err)
			continue
		}
		list = append(list, r)
	}
	return list
}

// readDisks reads the disks, and what their drivers had to do.
func (d *devices) readDisks(env *environment, k *kernel.Kernel, lack *lacking) {
	for found, err := range device.Disks(env.ctx, k) {
		lack.add("disks", err)
		if found.Addr == 0 {
			continue
		}
		one := disk{Disk: found}
		if found.Partition == 0 && found.Queue != 0 {
			err = one.readRequests(env, k)
			lack.add("requests", err)
		}
		d.disks = append(d.disks, one)
	}
}

// readRequests finds what the driver had to do. One that works on bios, as the device
// mapper's, has no requests: it counts.
func (d *disk) readRequests(env *environment, k *kernel.Kernel) (err error) {
	d.requests, err = device.InFlight(env.ctx, k, d.Queue)
	switch {
	case err == nil:
		d.known = true
		for _, r := range d.requests {
			if r.Write {
				d.writes++
			} else {
				d.reads++
			}
		}
	case errors.Is(err, phys.ErrUnsupported) && d.Stats != nil:
		d.known, d.reads, d.writes = true, d.Stats.Bios[0], d.Stats.Bios[1]
		err = nil
	}
	return err
}

// printMajors prints crash's two tables.
func (d devices) printMajors(w io.Writer) {
	fmt.Fprintln(w, "CHRDEV    NAME                 CDEV        OPERATIONS")
	for _, m := range d.chars {
		printMajor(w, m.Major, m.Name, m.CDev, m.Operations)
	}
	fmt.Fprintln(w, "\nBLKDEV    NAME                GENDISK      OPERATIONS")
	for _, m := range d.blocks {
		n := 0
		for _, one := range d.disks {
			if one.Major == m.Major && one.Partition == 0 {
				printMajor(w, m.Major, one.Name, one.GenDisk, one.Operations)
				n++
			}
		}
		if n == 0 {
			printMajor(w, m.Major, m.Name, 0, "")
		}
	}
}

func printMajor(w io.Writer, major int, name string, at uint64, operations string) {
	address := "     (none)"
	if at != 0 {
		address = fmt.Sprintf("%016x", at)
	}
	line := fmt.Sprintf("%4d      %-15s %-16s  %s", major, printable(name), address, printable(operations))
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// printDisks prints crash's table of requests, and what /proc/diskstats has.
func (d devices) printDisks(w io.Writer) {
	fmt.Fprintln(w, "MAJOR     GENDISK      NAME          REQUEST_QUEUE   IN FLIGHT  READ WRITE")
	for _, one := range d.disks {
		if one.Partition != 0 {
			continue
		}
		total, read, write := "?", "?", "?"
		if one.known {
			total, read, write = fmt.Sprint(one.reads+one.writes), fmt.Sprint(one.reads), fmt.Sprint(one.writes)
		}
		fmt.Fprintf(w, "%5d %016x %-12s %016x %9s %5s %5s\n", one.Major, one.GenDisk, printable(one.Name), one.Queue, total, read, write)
	}
	fmt.Fprintln(w, "\nNAME              SIZE    READS    SECTORS       MS   WRITES    SECTORS       MS")
	for _, one := range d.disks {
		fmt.Fprintf(w, "%-12s %9s", printable(one.Name), bytesOf(one.Sectors*512))
		if s := one.Stats; s != nil {
			fmt.Fprintf(w, " %8d %10d %8d %8d %10d %8d", s.IOs[0], s.Sectors[0], s.MS[0], s.IOs[1], s.Sectors[1], s.MS[1])
		}
		fmt.Fprintln(w)
	}
}

type devMajor struct {
	Major      int        `json:"major"`
	Minor      int        `json:"minor"`
	Minors     int        `json:"minors,omitempty"`
	Name       string     `json:"name"`
	CDev       hexAddress `json:"cdev,omitempty"`
	Operations string     `json:"operations,omitempty"`
}

type devDisk struct {
	Name       string       `json:"name"`
	Major      int          `json:"major"`
	Minor      int          `json:"minor"`
	Partition  int          `json:"partition"`
	Size       uint64       `json:"size"`
	GenDisk    hexAddress   `json:"gendisk,omitempty"`
	Queue      hexAddress   `json:"request_queue,omitempty"`
	Operations string       `json:"operations,omitempty"`
	Stats      *devStats    `json:"stats,omitempty"`
	InFlight   []devRequest `json:"in_flight,omitempty"` // of whole disks
}

type devStats struct {
	Reads        uint64 `json:"reads"`
	ReadSectors  uint64 `json:"read_sectors"`
	ReadMS       uint64 `json:"read_ms"`
	Writes       uint64 `json:"writes"`
	WriteSectors uint64 `json:"write_sectors"`
	WriteMS      uint64 `json:"write_ms"`
}

type devRequest struct {
	Request hexAddress `json:"request"`
	Tag     int        `json:"tag"`
	Write   bool       `json:"write"`
	Sector  uint64     `json:"sector"`
	Bytes   uint64     `json:"bytes"`
}

type devRange struct {
	Start hexAddress `json:"start"`
	End   hexAddress `json:"end"`
	Depth int        `json:"depth"`
	Name  string     `json:"name"`
}

func (d devices) document(missing []kernel.Missing) any {
	return struct {
		Schema  int              `json:"schema"`
		Char    []devMajor       `json:"char"`
		Block   []devMajor       `json:"block"`
		Disks   []devDisk        `json:"disks"`
		Ports   []devRange       `json:"ioports"`
		Memory  []devRange       `json:"iomem"`
		PCI     []devPCI         `json:"pci"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, majorEntries(d.chars), majorEntries(d.blocks), d.diskEntries(), rangeEntries(d.ports), rangeEntries(d.memory), d.pciEntries(), missing}
}

func majorEntries(list []device.Major) []devMajor {
	out := make([]devMajor, 0, len(list))
	for _, m := range list {
		out = append(out, devMajor{m.Major, m.Minor, m.Minors, m.Name, hexAddress(m.CDev), m.Operations})
	}
	return out
}

func rangeEntries(list []device.Resource) []devRange {
	out := make([]devRange, 0, len(list))
	for _, r := range list {
		out = append(out, devRange{hexAddress(r.Start), hexAddress(r.End), r.Depth, r.Name})
	}
	return out
}

func (d devices) diskEntries() []devDisk {
	out := make([]devDisk, 0, len(d.disks))
	for _, one := range d.disks {
		e := devDisk{
			Name: one.Name, Major: one.Major, Minor: one.Minor, Partition: one.Partition, Size: one.Sectors * 512,
			GenDisk: hexAddress(one.GenDisk), Queue: hexAddress(one.Queue), Operations: one.Operations,
		}
		if s := one.Stats; s != nil {
			e.Stats = &devStats{s.IOs[0], s.Sectors[0], s.MS[0], s.IOs[1], s.Sectors[1], s.MS[1]}
		}
		for _, r := range one.requests {
			e.InFlight = append(e.InFlight, devRequest{hexAddress(r.Addr), r.Tag, r.Write, r.Sector, r.Bytes})
		}
		out = append(out, e)
	}
	return out
}
