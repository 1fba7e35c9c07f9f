package main

import (
	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// crashFault is something that releases of crash before one get wrong, with a look at the dump
// whether its kernel has what they stumble over.
type crashFault struct {
	subject string // what it spoils, see comparison.known
	fixed   crashshell.Version
	text    string // "reads …", behind "crash before 8.0.4"
	applies func(*kernel.Kernel) bool
}

// crashFaults are from crash's change log and from runs of 7.2.9, 8.0.2, 8.0.6 and 9.0.2 beside
// what the guests themselves recorded. Kernels are not asked for their version: distributions
// carry changes back (struct pid's of 6.5 to 6.1.y).
var crashFaults = []crashFault{
	{
		"tasks",
		crashshell.Version{8, 0, 4},
		"reads sizeof(struct pid) bytes of one, in which a kernel with a flexible numbers[] (6.5, and 6.1.y) has none: it finds only the tasks that ran",
		func(k *kernel.Kernel) bool { return flexible(k, "struct pid", "numbers") },
	},
	{
		"panic task",
		crashshell.Version{8, 0, 4},
		"does not find most tasks of a kernel with a flexible numbers[] in struct pid",
		func(k *kernel.Kernel) bool { return flexible(k, "struct pid", "numbers") },
	},
	{
		"stacks",
		crashshell.Version{8, 0, 3},
		"does not know that system calls begin at a random depth of the stack (randomize_kstack_offset), and takes what lies in the gap for frames",
		func(k *kernel.Kernel) bool { return hasSymbol(k, "randomize_kstack_offset") },
	},
	{
		"left out",
		crashshell.Version{9, 0, 3},
		"leaves out callers of functions that do not return, as those of idle tasks",
		func(*kernel.Kernel) bool { return true },
	},
	{
		"sizes",
		crashshell.Version{8, 0, 4},
		"adds up the resident pages of a process wrongly",
		func(*kernel.Kernel) bool { return true },
	},
	{
		"modules",
		crashshell.Version{8, 0, 4},
		"does not know struct module_memory (6.4)",
		func(k *kernel.Kernel) bool { return hasMember(k, "struct module", "mem") },
	},
	{
		"empty lines",
		crashshell.Version{9, 0, 1},
		"puts empty lines into the log",
		func(*kernel.Kernel) bool { return true },
	},
}

// flexible tells whether a member is an array without a length.
func flexible(k *kernel.Kernel, spelled, member string) bool {
	ts, err := k.BTF()
	if err != nil {
		return false
	}
	t, err := symbols.Find(ts, spelled, member)
	if err != nil {
		return false
	}
	m, err := t.Member(member)
	return err == nil && m.Type().Underlying().Count == 0 && m.Type().Size() == 0
}

func hasMember(k *kernel.Kernel, spelled, member string) bool {
	ts, err := k.BTF()
	if err != nil {
		return false
	}
	_, err = symbols.Find(ts, spelled, member)
	return err == nil
}

func hasSymbol(k *kernel.Kernel, name string) bool {
	_, err := k.Symbol(name)
	return err == nil
}
