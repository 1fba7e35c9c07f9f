package symbols

import (
	"hash/maphash"
	"iter"
)

// nameIndex finds symbols by name: an open hash table of symbol numbers. It takes 4 to 8
// bytes per symbol, against some 60 of a Go map of strings, and is made by the first
// question for a name.
type nameIndex struct {
	seed  maphash.Seed
	slots []uint32 // symbol number + 1, 0 is free; the length is a power of two
}

// prepare makes what questions need and opening does not.
func (t *Table) prepare() {
	t.once.Do(func() {
		t.find = nameIndex{maphash.MakeSeed(), make([]uint32, slotsFor(t.Len()))}
		for i := range t.addr {
			t.find.put(t.name(i), uint32(i)+1)
		}
		t.lim = t.limits()
	})
}

// slotsFor keeps at least a third of the slots free.
func slotsFor(n int) int {
	slots := 8
	for slots < n+n/2 {
		slots *= 2
	}
	return slots
}

// put takes the first free slot. Equal names so stand in the order in which they came.
func (x nameIndex) put(name string, v uint32) {
	mask := uint64(len(x.slots) - 1)
	h := maphash.String(x.seed, name) & mask
	for x.slots[h] != 0 {
		h = (h + 1) & mask
	}
	x.slots[h] = v
}

// named gives the numbers of all symbols of that name in kallsyms order.
func (t *Table) named(name string) iter.Seq[int] {
	t.prepare()
	return t.find.numbers(t, name)
}

func (x nameIndex) numbers(t *Table, name string) iter.Seq[int] {
	return func(yield func(int) bool) {
		mask := uint64(len(x.slots) - 1)
		for h := maphash.String(x.seed, name) & mask; x.slots[h] != 0; h = (h + 1) & mask {
			if i := int(x.slots[h]) - 1; t.name(i) == name && !yield(i) {
				return
			}
		}
	}
}
