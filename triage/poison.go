package triage

import (
	"sort"

	"github.com/kautopsy/kautopsy/oops"
)

// poison is a value that the kernel fills memory with so that its use shows (include/linux/poison.h).
type poison struct {
	name  string
	says  string
	kind  oops.Kind // what a fault at such an address is; "" when it stays what it is
	match func(v uint64) bool
}

var poisons = []poison{
	{
		"POISON_FREE", "memory that was already freed (slab poison 0x6b, end mark 0xa5) was used as a pointer",
		oops.UseAfterFree, func(v uint64) bool { return filled(v, 0x6b, 0xa5) },
	},
	{
		"POISON_INUSE", "memory that was never initialised (slab poison 0x5a) was used as a pointer",
		"", func(v uint64) bool { return filled(v, 0x5a, 0xa5) },
	},
	{
		"LIST_POISON1", "the next pointer of an entry that was already deleted from its list was used",
		oops.ListCorruption, near(0xdead000000000100, 0x20),
	},
	{
		"LIST_POISON2", "the prev pointer of an entry that was already deleted from its list was used",
		oops.ListCorruption, near(0xdead000000000122, 0x20),
	},
	{
		"SPINLOCK_MAGIC", "the magic number of a spinlock (0xdead4ead) was used as a pointer",
		"", func(v uint64) bool { return v>>32 == 0xdead4ead || v>>16 == 0xffffdead4ead },
	},
	{
		"PAGE_POISON", "a page that was already freed (page poison 0xaa) was used",
		oops.UseAfterFree, func(v uint64) bool { return filled(v, 0xaa, 0xaa) },
	},
	{
		"POISON_FREE_INITMEM", "init memory that was already freed (0xcc) was used",
		oops.UseAfterFree, func(v uint64) bool { return filled(v, 0xcc, 0xcc) },
	},
	{
		"SLUB_RED_INACTIVE", "the red zone of a slab object (0xbb) was used as a pointer",
		"", func(v uint64) bool { return filled(v, 0xbb, 0xbb) },
	},
}

// filled reports whether v is made of fill, but for its low 12 bits, to which the offset of a member was added,
// and one byte that may be end.
func filled(v uint64, fill, end byte) bool {
	odd := 0
	for shift := 16; shift < 64; shift += 8 {
		switch b := byte(v >> shift); {
		case b == fill:
		case b == end:
			odd++
		default:
			return false
		}
	}
	return odd <= 1
}

// near matches v and what lies up to size bytes above it.
func near(v, size uint64) func(uint64) bool {
	return func(a uint64) bool { return a-v <= size }
}

// poisoned is a poison that a report shows.
type poisoned struct {
	*poison
	value    oops.Address
	register string // "" for the faulting address
}

// poisonOf finds the poison that explains a memory fault: in the faulting address or, where the processor does
// not tell it (a non-canonical address before 5.5), in the registers.
func poisonOf(o *oops.Oops) *poisoned {
	if o.Fault != nil && o.Fault.Address != nil {
		if p := poisonAt(uint64(*o.Fault.Address)); p != nil {
			return &poisoned{p, *o.Fault.Address, ""}
		}
	}
	if o.Kind != oops.GeneralProtection || o.Fault != nil && o.Fault.Address != nil {
		return nil
	}
	names := make([]string, 0, len(o.Registers))
	for n := range o.Registers {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if p := poisonAt(uint64(o.Registers[n])); p != nil {
			return &poisoned{p, o.Registers[n], n}
		}
	}
	return nil
}

func poisonAt(v uint64) *poison {
	for i := range poisons {
		if poisons[i].match(v) {
			return &poisons[i]
		}
	}
	return nil
}

// printable reports whether all eight bytes of v are ASCII text: a pointer that a string was written over.
func printable(v uint64) bool {
	for shift := 0; shift < 64; shift += 8 {
		if b := byte(v >> shift); b < 0x20 || b > 0x7e {
			return false
		}
	}
	return true
}
