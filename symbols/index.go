package symbols

import (
	"hash/maphash"
	"iter"
)

// nameIndex finds symbols by name: an open hash table of symbol numbers, one for each name.
// It takes 4 to 8 bytes per symbol, against some 60 of a Go map of strings, and is made by
// the first question for a name.
type nameIndex struct {
	seed  maphash.Seed
	slots []uint32 // symbol number + 1, 0 is free; the length is a power of two
	// The others of the name of a symbol, by its number, in the order of kallsyms. A riscv64
	// kernel has 200,000 labels called .L0: each in a slot of its own would be sought
	// behind all those before it.
	more map[uint32][]uint32
}

// prepare makes what questions need and opening does not.
func (t *Table) prepare() {
	t.once.Do(func() {
		t.find = nameIndex{maphash.MakeSeed(), make([]uint32, slotsFor(t.Len())), map[uint32][]uint32{}}
		for i := range t.addr {
			t.find.put(t, i)
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

// put takes the first free slot, unless the name is there already.
func (x nameIndex) put(t *Table, i int) {
	h, first := x.slot(t, t.name(i))
	if first < 0 {
		x.slots[h] = uint32(i) + 1
		return
	}
	x.more[uint32(first)] = append(x.more[uint32(first)], uint32(i))
}

// slot is where the name stands, with the first symbol of that name, or the free slot in
// which it would, with -1.
func (x nameIndex) slot(t *Table, name string) (h uint64, first int) {
	mask := uint64(len(x.slots) - 1)
	for h = maphash.String(x.seed, name) & mask; x.slots[h] != 0; h = (h + 1) & mask {
		if i := int(x.slots[h]) - 1; t.name(i) == name {
			return h, i
		}
	}
	return h, -1
}

// named gives the numbers of all symbols of that name in kallsyms order.
func (t *Table) named(name string) iter.Seq[int] {
	t.prepare()
	return t.find.numbers(t, name)
}

func (x nameIndex) numbers(t *Table, name string) iter.Seq[int] {
	return func(yield func(int) bool) {
		_, first := x.slot(t, name)
		if first < 0 || !yield(first) {
			return
		}
		for _, i := range x.more[uint32(first)] {
			if !yield(int(i)) {
				return
			}
		}
	}
}
