package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// Disk is a disk or a partition: a line of /proc/partitions and /proc/diskstats. Object is
// its struct block_device (5.11 on) or hd_struct.
type Disk struct {
	kernel.Object

	Name         string
	Major, Minor int
	Partition    int    // 0 for the whole disk
	Sectors      uint64 // of 512 bytes
	GenDisk      uint64 // address of the struct gendisk
	Queue        uint64 // address of the struct request_queue
	Operations   string // symbol of its struct block_device_operations

	Stats *Stats // nil if they could not be read
}

// Stats is what a disk did since boot: columns of /proc/diskstats, for reads, writes,
// discards (4.18 on) and flushes (5.5 on).
type Stats struct {
	IOs, Merges, Sectors, MS [4]uint64

	Bios [2]int // reads and writes that a driver without requests has not ended (5.0 on)
}

// Disks yields disks and partitions in the order in which they appeared. An error about one
// comes with what is known of it.
func Disks(ctx context.Context, k *kernel.Kernel) iter.Seq2[Disk, error] {
	return func(yield func(Disk, error) bool) {
		class, err := subsystem(ctx, k, "block_class")
		if err != nil {
			yield(Disk{}, fmt.Errorf("disks: %w", err))
			return
		}
		for dev, err := range devices(ctx, k, class) {
			var d Disk
			if err == nil {
				if d, err = disk(dev); err == nil {
					err = d.read(ctx, k)
				}
			}
			if err != nil {
				err = fmt.Errorf("disk %s at %#x: %w", d.Name, d.Addr, err)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// subsystem is the struct subsys_private of a class: it held it until 6.3, since then
// (7b884b7f24b42) the sets of class_kset do.
func subsystem(ctx context.Context, k *kernel.Kernel, class string) (kernel.Object, error) {
	c, err := k.Variable(class, "struct class")
	if err != nil {
		return c, err
	}
	if c.Has("p") {
		return c.Follow("p")
	}
	set, err := k.Variable("class_kset", "struct kset *")
	if err != nil {
		return c, err
	}
	if set, err = set.Follow(); err != nil {
		return c, err
	}
	head, err := set.Member("list")
	if err != nil {
		return c, err
	}
	kobj, err := set.Member("kobj")
	if err != nil {
		return c, err
	}
	for o, err := range k.List(ctx, head.Addr, kobj.Type, "entry") {
		if err != nil {
			return c, err
		}
		private, err := o.Around("struct subsys_private", "subsys.kobj")
		if err != nil {
			return c, err
		}
		if at, err := private.Pointer("class"); err == nil && at == c.Addr {
			return private, nil
		}
	}
	return c, fmt.Errorf("%s is not among the classes: %w", class, symbols.ErrNoSymbol)
}

// devices yields the struct device of a class.
func devices(ctx context.Context, k *kernel.Kernel, class kernel.Object) iter.Seq2[kernel.Object, error] {
	return func(yield func(kernel.Object, error) bool) {
		head, err := class.Member("klist_devices.k_list")
		if err != nil {
			yield(class, err)
			return
		}
		private, err := k.Cast(0, "struct device_private", "knode_class")
		if errors.Is(err, symbols.ErrNoMember) || errors.Is(err, symbols.ErrNoType) { // before 5.1
			private, err = k.Cast(0, "struct device", "knode_class")
		}
		if err != nil {
			yield(class, err)
			return
		}
		for o, err := range k.List(ctx, head.Addr, private.Type, "knode_class.n_node") {
			if err == nil && o.Has("device") {
				o, err = o.Follow("device")
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// disk is the disk round a struct device.
func disk(dev kernel.Object) (d Disk, err error) {
	f := dev.Fields()
	d.Name = f.Text("kobj.name")
	number := f.Uint("devt")
	d.Major, d.Minor = int(number>>20), int(number&(1<<20-1))
	if err := f.Err(); err != nil {
		return d, err
	}
	if d.Object, err = dev.Around("struct block_device", "bd_device"); absent(err) {
		d.Object, err = dev.Around("struct hd_struct", "__dev")
	}
	return d, err
}

// read asks a disk what Disk has.
func (d *Disk) read(ctx context.Context, k *kernel.Kernel) error {
	partition, err := d.Uint("bd_partno", "__bd_flags.counter", "partno")
	if err != nil {
		return err
	}
	d.Partition = int(partition & 0xff) // the low byte of __bd_flags (6.10 on)
	var errs []error
	d.Sectors, err = d.Uint("bd_nr_sectors", "nr_sects")
	if errors.Is(err, symbols.ErrNoMember) { // 5.11 to 5.15
		if inode, ierr := d.Follow("bd_inode"); ierr == nil {
			d.Sectors, err = inode.Uint("i_size")
			d.Sectors /= 512
		} else {
			err = ierr
		}
	}
	errs = append(errs, err, d.readGenDisk(ctx, k))
	d.Stats, err = d.stats(k)
	return errors.Join(append(errs, err)...)
}

// readGenDisk reads what all of a disk share. Of an hd_struct only the whole disk's leads
// there: it is a part of the gendisk.
func (d *Disk) readGenDisk(ctx context.Context, k *kernel.Kernel) error {
	gendisk, err := d.Follow("bd_disk")
	if errors.Is(err, symbols.ErrNoMember) {
		if d.Partition != 0 {
			return nil
		}
		gendisk, err = d.Around("struct gendisk", "part0")
	}
	if err != nil {
		return err
	}
	f := gendisk.Fields()
	d.GenDisk, d.Queue = gendisk.Addr, f.Pointer("queue")
	d.Operations = symbol(ctx, k, f.Pointer("fops"))
	return f.Err()
}

// stats adds what the CPUs counted.
func (d *Disk) stats(k *kernel.Kernel) (*Stats, error) {
	at, err := d.Pointer("bd_stats", "dkstats")
	if err != nil {
		return nil, err
	}
	s := &Stats{}
	for _, cpu := range k.PossibleCPUs() {
		va, err := k.PerCPUAddr(at, cpu)
		if err != nil {
			return nil, err
		}
		o, err := k.Cast(va, "struct disk_stats")
		if err != nil {
			return nil, err
		}
		if err := s.add(o); err != nil {
			return nil, err
		}
	}
	for i := range s.MS {
		s.MS[i] /= 1e6
	}
	return s, nil
}

// add adds one CPU's struct disk_stats. Its io_ticks, in jiffies, needs CONFIG_HZ and is
// not read.
func (s *Stats) add(o kernel.Object) error {
	var err error
	for name, to := range map[string]*[4]uint64{"ios": &s.IOs, "merges": &s.Merges, "sectors": &s.Sectors, "nsecs": &s.MS} {
		a, merr := o.Member(name)
		if merr != nil {
			return merr
		}
		for i := range min(a.Type.Underlying().Count, uint64(len(to))) {
			e, ierr := a.Index(i)
			if ierr != nil {
				return ierr
			}
			n, uerr := e.Uint()
			to[i], err = to[i]+n, cmp.Or(err, uerr)
		}
	}
	return cmp.Or(err, s.addBios(o))
}

// addBios adds what one CPU counted of bios in flight.
func (s *Stats) addBios(o kernel.Object) error {
	for i := range s.Bios {
		n, err := o.Int(fmt.Sprintf("in_flight[%d].a.counter", i), fmt.Sprintf("in_flight[%d].counter", i))
		if err != nil && !errors.Is(err, symbols.ErrNoMember) {
			return err
		}
		s.Bios[i] += int(n)
	}
	return nil
}
