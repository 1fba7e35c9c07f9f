package vmcore

import "github.com/kautopsy/kautopsy/phys"

// index tells where the pages of a shard are: a table with open addressing, of which a look-up
// touches one line of memory.
//
//	63           24 23     0
//	| page / shards | at+3 |    0 where there is none
type index struct {
	cells []uint64 // a power of two, at most half of them in use
	n     int
}

// What an index says of pages that are not here.
const (
	ghost  = -1 // fell out of small
	asked  = -2 // was read into its reader's memory
	absent = -3 // not known
)

const (
	atBits = 24
	atMask = 1<<atBits - 1
	// maxSlots of a shard, and lastPage, are what a cell has room for. No machine has pages
	// behind the last one: addresses have 52 bits.
	maxSlots = atMask + absent
	lastPage = phys.PFN(1)<<(64-atBits)*shards - 1
)

// home is where the page of a cell would stand, were it alone.
func (x *index) home(cell uint64) int {
	return int((cell >> atBits * 0x9e3779b97f4a7c15) >> 32 & uint64(len(x.cells)-1))
}

// find is where page p stands, or the empty cell where it should.
func (x *index) find(p phys.PFN) int {
	page := uint64(p/shards) << atBits
	i := x.home(page)
	for x.cells[i] != 0 && x.cells[i]&^atMask != page {
		i = (i + 1) & (len(x.cells) - 1)
	}
	return i
}

// at is a slot, or what there is to say of a page that is in none.
func (x *index) at(p phys.PFN) int32 {
	if x.n == 0 {
		return absent
	}
	return int32(x.cells[x.find(p)]&atMask) + absent
}

// set says where a page is; not absent.
func (x *index) set(p phys.PFN, at int32) {
	if 2*x.n >= len(x.cells) {
		x.grow()
	}
	i := x.find(p)
	if x.cells[i] == 0 {
		x.n++
	}
	x.cells[i] = uint64(p/shards)<<atBits | uint64(at-absent)
}

func (x *index) grow() {
	old := x.cells
	x.cells = make([]uint64, max(16, 2*len(old)))
	for _, cell := range old {
		if cell == 0 {
			continue
		}
		i := x.home(cell)
		for x.cells[i] != 0 {
			i = (i + 1) & (len(x.cells) - 1)
		}
		x.cells[i] = cell
	}
}

// remove forgets a page that is in the index. Those behind it move up if they do not stand
// where they should.
func (x *index) remove(p phys.PFN) {
	mask := len(x.cells) - 1
	gap := x.find(p)
	for i := (gap + 1) & mask; x.cells[i] != 0; i = (i + 1) & mask {
		if (i-x.home(x.cells[i]))&mask >= (i-gap)&mask {
			x.cells[gap] = x.cells[i]
			gap = i
		}
	}
	x.cells[gap] = 0
	x.n--
}
