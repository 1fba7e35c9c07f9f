package device_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/device"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// named are the guests whose kernel names its variables; nothing of this is found in the
// other.
func named(t *testing.T, test func(t *testing.T, g guesttest.Guest)) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if _, err := g.Symbol("chrdevs"); errors.Is(err, symbols.ErrNoSymbol) {
			if _, err := device.CharMajors(t.Context(), g.Kernel); !errors.Is(err, symbols.ErrNoSymbol) {
				t.Error(err)
			}
			return
		}
		test(t, g)
	})
}

// TestMajors: /proc/devices to the letter.
func TestMajors(t *testing.T) {
	named(t, func(t *testing.T, g guesttest.Guest) {
		char, err1 := device.CharMajors(t.Context(), g.Kernel)
		block, err2 := device.BlockMajors(t.Context(), g.Kernel)
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
		}
		var got strings.Builder
		for i, list := range [][]device.Major{char, block} {
			fmt.Fprint(&got, [...]string{"Character devices:\n", "\nBlock devices:\n"}[i])
			for _, m := range list {
				fmt.Fprintf(&got, "%3d %s\n", m.Major, m.Name)
			}
		}
		if want := g.Truth(t, "devices"); got.String() != want {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want)
		}
		if i := slices.IndexFunc(char, func(m device.Major) bool { return m.Name == "mem" }); i < 0 || char[i].Operations != "memory_fops" {
			t.Errorf("mem: %+v", char)
		}
	})
}

// TestPCIDevices: /proc/bus/pci/devices, which has them in the order in which they were found.
func TestPCIDevices(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		var got []string
		for d, err := range device.PCIDevices(t.Context(), g.Kernel) {
			if err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprintf("%02x%02x\t%04x%04x\t%x", d.Bus, d.DevFn, d.Vendor, d.Device, d.IRQ)
			for _, r := range d.Regions {
				line += fmt.Sprintf("\t%16x", r.Start|r.Flags&0xf)
			}
			for _, r := range d.Regions {
				line += fmt.Sprintf("\t%16x", r.Size())
			}
			got = append(got, line+"\t"+d.Driver)
			if want := fmt.Sprintf(":%02x:%02x.%d", d.Bus, d.DevFn>>3, d.DevFn&7); !strings.HasSuffix(d.Name, want) {
				t.Errorf("%s is not %s", d.Name, want)
			}
			if d.DevFn == 0 && d.ClassName() != "bridge" {
				t.Errorf("%s: class %06x, %q", d.Name, d.Class, d.ClassName())
			}
		}
		want := strings.Split(strings.TrimSuffix(g.Truth(t, "pci-devices"), "\n"), "\n")
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// disks are the disks and partitions by name.
func disks(t *testing.T, k *kernel.Kernel) map[string]device.Disk {
	t.Helper()
	out := map[string]device.Disk{}
	for d, err := range device.Disks(t.Context(), k) {
		if err != nil {
			t.Error(err)
		}
		out[d.Name] = d
	}
	return out
}

// TestPartitions: number, size and name of every disk and partition with a size are those
// of /proc/partitions.
func TestPartitions(t *testing.T) {
	named(t, func(t *testing.T, g guesttest.Guest) {
		var got []string
		for _, d := range disks(t, g.Kernel) {
			if d.Sectors > 0 {
				got = append(got, fmt.Sprintf("%4d  %7d %10d %s", d.Major, d.Minor, d.Sectors/2, d.Name))
			}
		}
		want := strings.Split(strings.TrimSpace(g.Truth(t, "partitions")), "\n")[2:]
		slices.Sort(got)
		slices.Sort(want)
		if strings.TrimSpace(strings.Join(got, "\n")) != strings.TrimSpace(strings.Join(want, "\n")) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestDiskStats: what the disks did is what /proc/diskstats said; the recorder wrote to vda
// and then unmounted it, and vdb's file system was synced with it.
func TestDiskStats(t *testing.T) {
	named(t, func(t *testing.T, g guesttest.Guest) {
		have, equal := disks(t, g.Kernel), 0
		for line := range strings.Lines(g.Truth(t, "diskstats")) {
			var major, minor int
			var name string
			var n [11]uint64
			if _, err := fmt.Sscan(line, &major, &minor, &name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7]); err != nil {
				t.Fatal(err)
			}
			d, ok := have[name]
			if !ok || d.Stats == nil {
				t.Errorf("no statistics of %s", name)
				continue
			}
			s := d.Stats
			got := [8]uint64{s.IOs[0], s.Merges[0], s.Sectors[0], s.MS[0], s.IOs[1], s.Merges[1], s.Sectors[1], s.MS[1]}
			if got == [8]uint64(n[:8]) {
				equal++
			} else if name != "vda" && !strings.HasPrefix(name, "vdb") {
				t.Errorf("%s: %d, was %d", name, got, n[:8])
			} else if got[4] < n[4] || got[6] < n[6] {
				t.Errorf("%s: %d is less than before: %d", name, got, n[:8])
			}
			if d.Stats.Bios != [2]int{} {
				t.Errorf("%s: %d bios in flight", name, d.Stats.Bios)
			}
			if d.Partition == 0 {
				if _, err := device.InFlight(t.Context(), g.Kernel, d.Queue); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if equal < 2 {
			t.Errorf("%d disks are as recorded", equal)
		}
	})
}

// TestResources: I/O ports and memory are those of /proc, to the letter.
func TestResources(t *testing.T) {
	named(t, func(t *testing.T, g guesttest.Guest) {
		for file, walk := range map[string]func() (lines []string){
			"ioports": func() (lines []string) {
				for r, err := range device.Ports(t.Context(), g.Kernel) {
					if err != nil {
						t.Error(err)
					}
					lines = append(lines, r.String())
				}
				return lines
			},
			"iomem": func() (lines []string) {
				for r, err := range device.Memory(t.Context(), g.Kernel) {
					if err != nil {
						t.Error(err)
					}
					lines = append(lines, r.String())
				}
				return lines
			},
		} {
			want := strings.TrimSuffix(g.Truth(t, file), "\n")
			if got := strings.Join(walk(), "\n"); got != want {
				t.Errorf("%s\n got\n%s\nwant\n%s", file, got, want)
			}
		}
	})
}

// TestInFlight: a request that the driver has is found; one of another queue is not.
func TestInFlight(t *testing.T) {
	queue := disks(t, guesttest.Tiny(t).Kernel)["vdb"].Queue
	var want uint64
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		all, err := device.Requests(t.Context(), k, queue)
		if err != nil || len(all) < 2 {
			t.Fatalf("%d requests, %v", len(all), err)
		}
		want = all[0].Addr
		m.PutUint(all[0].Object, "state", 1)
		m.PutUint(all[0].Object, "cmd_flags", 1)
		m.PutUint(all[0].Object, "__data_len", 4096)
		m.PutUint(all[1].Object, "state", 1)
		m.PutUint(all[1].Object, "q", queue+8)
	})
	list, err := device.InFlight(t.Context(), k, queue)
	if err != nil || len(list) != 1 || list[0].Addr != want || !list[0].Write || list[0].Bytes != 4096 {
		t.Errorf("%+v, %v; want %#x", list, err, want)
	}
}

// TestResourcesDamaged: a tree that leads back into itself ends.
func TestResourcesDamaged(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		for r, err := range device.Ports(t.Context(), k) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Depth == 1 {
				m.PutUint(r.Object, "sibling", r.Addr)
			}
		}
	})
	n := 0
	var last error
	for _, last = range device.Ports(t.Context(), k) {
		n++
	}
	if n < 10 || !errors.Is(last, phys.ErrCorrupt) {
		t.Errorf("%d ranges, %v", n, last)
	}
}

// TestMajorsDamaged: so does a chain.
func TestMajorsDamaged(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		list, err := device.CharMajors(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		m.PutUint(list[0].Object, "next", list[0].Addr)
		cdevs, err := k.Variable("cdev_map", "struct kobj_map *")
		if err != nil {
			t.Fatal(err)
		}
		table, err := cdevs.Follow()
		if err != nil {
			t.Fatal(err)
		}
		first, err := table.Follow("probes[1]")
		if err != nil {
			t.Fatal(err)
		}
		m.PutUint(first, "next", first.Addr)
	})
	if err := device.CDevs(t.Context(), k); !errors.Is(err, phys.ErrCorrupt) {
		t.Error(err)
	}
	if list, err := device.CharMajors(t.Context(), k); !errors.Is(err, phys.ErrCorrupt) || len(list) > 1<<13 {
		t.Errorf("%d majors, %v", len(list), err)
	}
}

// TestBios: what a driver without requests counts is added over the CPUs.
func TestBios(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		at, err := disks(t, k)["vdb"].Pointer("bd_stats")
		if err != nil {
			t.Fatal(err)
		}
		for cpu, n := range []uint64{3, 1<<64 - 1} {
			va, err := k.PerCPUAddr(at, cpu)
			if err != nil {
				t.Fatal(err)
			}
			o, err := k.Cast(va, "struct disk_stats")
			if err != nil {
				t.Fatal(err)
			}
			m.PutUint(o, "in_flight[1].a.counter", n)
		}
	})
	if got := disks(t, k)["vdb"].Stats.Bios; got != [2]int{0, 2} {
		t.Errorf("%d bios", got)
	}
}
