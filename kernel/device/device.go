// Package device answers which devices a kernel knew when it died: the majors of character
// and block devices with their drivers, the disks and partitions with what they did and
// what they still had to do, the trees of I/O ports and memory, the PCI devices. It needs the kernel's
// types and the names of its variables.
//
//	chrdevs[major%255] -> char_device_struct -> …       cdev_map -> cdev -> ops
//	major_names[major%255] -> blk_major_name -> …
//	block_class -> klist of devices -> block_device (5.11 on) or hd_struct -> gendisk
//	iomem_resource, ioport_resource -> child, sibling
//	pci_root_buses -> pci_bus -> devices, children
package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Major is a range of device numbers and who has it: a line of /proc/devices.
type Major struct {
	kernel.Object // struct char_device_struct or blk_major_name

	Major      int
	Minor      int    // the first
	Minors     int    // how many; 0 of block devices
	Name       string // of the driver
	CDev       uint64 // address of the struct cdev; 0: not known, or none
	Operations string // symbol of its struct file_operations
}

// maxChain bounds the entries of one bucket.
const maxChain = 1 << 12

// CharMajors are the ranges of character devices, by major (fs/char_dev.c).
func CharMajors(ctx context.Context, k *kernel.Kernel) ([]Major, error) {
	m, err := majors(ctx, k, "chrdevs", "struct char_device_struct")
	if err != nil {
		return m, err
	}
	cdevs, err := charDevices(ctx, k)
	for i := range m {
		if m[i].CDev == 0 {
			m[i].CDev = cdevs[m[i].Major<<20|m[i].Minor]
		}
		if m[i].CDev != 0 {
			var oerr error
			m[i].Operations, oerr = operations(ctx, k, m[i].CDev)
			err = errors.Join(err, oerr)
		}
	}
	return m, err
}

// BlockMajors are the majors of block devices (block/genhd.c).
func BlockMajors(ctx context.Context, k *kernel.Kernel) ([]Major, error) {
	return majors(ctx, k, "major_names", "struct blk_major_name")
}

// buckets of chrdevs, major_names and kobj_map: CHRDEV_MAJOR_HASH_SIZE and its like.
const buckets = 255

// majors walks a table of 255 chains.
func majors(ctx context.Context, k *kernel.Kernel, table, entry string) (found []Major, err error) {
	first, err := k.Variable(table, entry+" *")
	if err != nil {
		return nil, err
	}
	for i := range uint64(buckets) {
		slot := k.Object(first.Type, first.Addr+i*uint64(k.PtrSize()))
		for n := 0; ; n++ {
			at, err := slot.Pointer()
			if err == nil && n > maxChain {
				err = phys.ErrCorrupt
			}
			if err = cmp.Or(err, ctx.Err()); err != nil {
				return found, fmt.Errorf("%s[%d]: %w", table, i, err)
			}
			if at == 0 {
				break
			}
			o, err := slot.Follow()
			if err != nil {
				return found, err
			}
			m := Major{Object: o}
			if err := m.read(); err != nil {
				return found, fmt.Errorf("%s[%d]: %w", table, i, err)
			}
			found = append(found, m)
			if slot, err = o.Member("next"); err != nil {
				return found, err
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Major) int { return cmp.Compare(a.Major, b.Major) })
	return found, nil
}

func (m *Major) read() error {
	f := m.Fields()
	m.Major, m.Name = int(f.Uint("major")), f.Text("name")
	if m.Has("baseminor") {
		m.Minor, m.Minors, m.CDev = int(f.Uint("baseminor")), int(f.Int("minorct")), f.Pointer("cdev")
	}
	return f.Err()
}

// charDevices are the addresses of struct cdev by device number: cdev_map (drivers/base/map.c)
// holds those that cdev_add was told of, which need not be those of chrdevs.
func charDevices(ctx context.Context, k *kernel.Kernel) (map[int]uint64, error) {
	out := map[int]uint64{}
	table, err := k.Variable("cdev_map", "struct kobj_map *")
	if err != nil {
		return out, err
	}
	if table, err = table.Follow(); err != nil {
		return out, err
	}
	probes, err := table.Member("probes")
	if err != nil {
		return out, err
	}
	for i := range uint64(buckets) {
		slot, err := probes.Index(i)
		for n := 0; err == nil; n++ {
			slot, err = probe(slot, out)
			if slot.Addr == 0 {
				break
			}
			if n > maxChain {
				err = phys.ErrCorrupt
			}
			err = cmp.Or(err, ctx.Err())
		}
		if err != nil {
			return out, fmt.Errorf("cdev_map: %w", err)
		}
	}
	return out, nil
}

// probe takes the struct probe that a pointer leads to, and gives the pointer to the next;
// no object when there is none.
func probe(slot kernel.Object, out map[int]uint64) (next kernel.Object, err error) {
	if at, err := slot.Pointer(); err != nil || at == 0 {
		return next, err
	}
	p, err := slot.Follow()
	if err != nil {
		return next, err
	}
	f := p.Fields()
	out[int(f.Uint("dev"))] = f.Pointer("data")
	if err := f.Err(); err != nil {
		return next, err
	}
	return p.Member("next")
}

// operations is the symbol of what a struct cdev does, "" if nothing has that address.
func operations(ctx context.Context, k *kernel.Kernel, cdev uint64) (string, error) {
	o, err := k.Cast(cdev, "struct cdev")
	if err != nil {
		return "", err
	}
	ops, err := o.Pointer("ops")
	if err != nil || ops == 0 {
		return "", err
	}
	return symbol(ctx, k, ops), nil
}

// symbol is the name of the kernel's or a module's data at an address, "" if it has none.
func symbol(ctx context.Context, k *kernel.Kernel, va uint64) string {
	table, _ := k.AllSymbols(ctx) // what is not there names nothing
	if table == nil {
		return ""
	}
	if s, off, err := table.At(va); err == nil && off == 0 {
		return s.Name
	}
	return ""
}

// absent tells that a kernel does not have something, by type or by name.
func absent(err error) bool {
	return errors.Is(err, symbols.ErrNoType) || errors.Is(err, symbols.ErrNoMember) || errors.Is(err, symbols.ErrNoSymbol)
}
