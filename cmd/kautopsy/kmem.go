package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

type kmemFlags struct {
	dump     *dumpFlags
	slabs    bool
	objects  bool
	info     bool
	vmalloc  bool
	zones    bool
	nodes    bool
	free     bool
	counters bool
	physical bool
	json     bool
}

func kmemCommand() command {
	return command{
		name: "kmem", group: "Memory and types", args: "DUMP [ADDRESS|SYMBOL…|CACHE…]",
		short: "the kernel's memory: what an address is; usage, slabs, zones",
		long: `kmem ADDRESS says what is there: a symbol, a slab object and whether it is
free, a stack, a module, a per-CPU variable, a vmalloc area, a struct page or
the page behind an address; and what a value is that is no address: poison, an
errno. -i tells how memory was used; its JSON has the names of /proc/meminfo.
What the CPUs have not yet added to the kernel's counters is in the numbers
here and not in those of /proc. With -s come the slab caches, those that take
the most memory first, or only the named ones. ALLOCATED does not count free
objects that are kept ready for CPUs, which /proc/slabinfo counts as active.
-S lists the objects of the named caches slab by slab, those in use in brackets,
or of the slab that an ADDRESS is in; -s ADDRESS shows that object alone.
The types are those in the dump itself, or in a vmlinux (--vmlinux).`,
		example: "kautopsy kmem /var/crash/vmcore ffff88810a3c4e00",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &kmemFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.info, "info", "i", false, "how much memory is used for what")
			fs.BoolVarP(&f.slabs, "slabs", "s", false, "slab caches, all or those named")
			fs.BoolVarP(&f.objects, "objects", "S", false, "slab caches that are named, with their objects")
			fs.BoolVarP(&f.vmalloc, "vmalloc", "v", false, "areas of the vmalloc range")
			fs.BoolVarP(&f.zones, "zones", "z", false, "zones of memory, with their counters")
			fs.BoolVarP(&f.nodes, "nodes", "n", false, "nodes of memory and their zones")
			fs.BoolVarP(&f.free, "free", "f", false, "free blocks of each zone by size")
			fs.BoolVarP(&f.counters, "counters", "V", false, "counters of memory and events")
			fs.BoolVarP(&f.physical, "physical", "p", false, "the addresses are physical")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *kmemFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	m := mm.New(k)
	switch {
	case f.objects:
		return f.runObjects(env, k, m, rest)
	case f.slabs:
		return f.runSlabs(env, k, m, rest)
	case f.info:
		return f.runInfo(env, m)
	case f.vmalloc:
		return f.runVmalloc(env, k, m)
	case f.zones, f.nodes, f.free:
		return f.runZones(env, k, m)
	case f.counters:
		return f.runCounters(env, m)
	case len(rest) > 0:
		return f.runPlaces(env, k, m, rest)
	}
	return usagef("which address? Or -i for how memory is used, -s for the slab caches")
}

// told says once what an answer lacks, and makes it partial.
func told(env *environment, lack []kernel.Missing) []kernel.Missing {
	if len(lack) > 0 {
		env.partial = true
		more := ""
		if n := len(lack) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		why, _, _ := strings.Cut(lack[0].Why, "\n") // one page that is gone costs many things
		env.warn("%s: %s%s", lack[0].What, why, more)
	}
	return append([]kernel.Missing{}, lack...)
}
