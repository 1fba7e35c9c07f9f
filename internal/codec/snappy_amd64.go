//go:build !purego && !noasm

package codec

// element is what a tag byte says, see snappyTags, as the assembly wants it. A literal has a
// distance too, 16, with which nothing is repeated.
type element struct {
	length uint8  // seldom for what is seldom
	bits   uint8  // of the distance in the bytes behind the tag
	far    uint32 // what the tag has of it
}

// seldom sends long literals and matches with a distance of four bytes another way.
const seldom = 255

// repetition is how a match of a distance below 16, its index, is copied: the first 16 bytes and
// the second ones by shuffling those at the distance, and what follows from back bytes before it.
type repetition struct {
	first, second [16]uint8
	back          uint64
	_             [3]uint64
}

var (
	elements    = newElements()
	repetitions = newRepetitions()
)

func newElements() (all [256]element) {
	for i := range all {
		tag := uint(i)
		n := uint8(tag>>2 + 1)
		switch tag & 3 {
		case 0:
			all[i] = element{length: n, far: 16}
			if n > 60 {
				all[i].length = seldom
			}
		case 1:
			all[i] = element{length: uint8(tag>>2&7 + 4), bits: 8, far: uint32(tag >> 5 << 8)}
		case 2:
			all[i] = element{length: n, bits: 16}
		case 3:
			all[i] = element{length: seldom, bits: 32}
		}
	}
	return all
}

func newRepetitions() (all [16]repetition) {
	for distance := uint8(1); distance < 16; distance++ {
		r := &all[distance]
		for i := range r.first {
			r.first[i] = uint8(i) % distance
			r.second[i] = uint8(i+16) % distance
		}
		r.back = uint64((15 + distance) / distance * distance)
	}
	return all
}

// page is pageGo, or does the same.
func (t *snappyTags) page(in, out *window, at, end, size uint) error {
	if !hasAssembly {
		return t.pageGo(in, out, at, end, size)
	}
	return [...]error{nil, errLong, errDistance, errCut, errShort}[decodeTags(in, out, &elements, &repetitions, at, end, size)]
}

// decodeTags decodes the elements between at and end in in into size bytes of out, see pageGo.
//
//go:noescape
func decodeTags(in, out *window, tags *[256]element, copies *[16]repetition, at, end, size uint) (status uint)
