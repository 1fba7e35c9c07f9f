package symbols

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Memory reads virtual memory of the crashed kernel.
type Memory interface {
	// ReadVirt fills p with the memory at va. n is the number of bytes before
	// the first absence; n < len(p) exactly when err is not nil, and err then
	// wraps one of the reasons of package phys.
	ReadVirt(p []byte, va uint64) (n int, err error)
}

// ABI is how the crashed machine writes numbers. The zero value is a little-endian
// machine of 64 bits.
type ABI struct {
	Order   binary.ByteOrder // nil means little endian
	PtrSize int              // 4 or 8; 0 means 8
}

func (a ABI) order() binary.ByteOrder {
	if a.Order == nil {
		return binary.LittleEndian
	}
	return a.Order
}

func (a ABI) ptr() int {
	if a.PtrSize == 4 {
		return 4
	}
	return 8
}

// clip cuts an address to the width of the machine's pointers.
func (a ABI) clip(va uint64) uint64 {
	if a.ptr() == 4 {
		return uint64(uint32(va))
	}
	return va
}

// minPage is the smallest page of any port: an absence ends at a multiple of it.
const minPage = 4096

// block is a piece of virtual memory with its absences.
type block struct {
	va   uint64
	b    []byte
	gaps []gap // in address order
	abi  ABI
}

// gap is a run of absent bytes.
type gap struct {
	from, to uint64
	err      error
	reason   error // of package phys, that err wraps
}

// readBlock reads what there is of n bytes at va.
func readBlock(mem Memory, abi ABI, va uint64, n int) *block {
	n = int(min(uint64(n), -va-1)) // nothing wraps around the end of the address space
	bl := &block{va: va, b: make([]byte, n), abi: abi}
	bl.read(mem)
	return bl
}

func (bl *block) read(mem Memory) {
	for at := 0; at < len(bl.b); {
		got, err := mem.ReadVirt(bl.b[at:], bl.va+uint64(at))
		if at += got; at >= len(bl.b) {
			break
		}
		va := bl.va + uint64(at)
		if err == nil {
			err = fmt.Errorf("short read at %#x: %w", va, phys.ErrCorrupt)
		}
		next := min(va|(minPage-1), bl.end()-1) + 1
		bl.miss(gap{va, next, err, phys.Reason(err)})
		at = int(next - bl.va)
	}
}

// miss notes an absence; neighbours become one, with the first reason.
func (bl *block) miss(g gap) {
	if n := len(bl.gaps); n > 0 && bl.gaps[n-1].to == g.from && bl.gaps[n-1].reason == g.reason {
		bl.gaps[n-1].to = g.to
		return
	}
	bl.gaps = append(bl.gaps, g)
}

// end is the address behind the block.
func (bl *block) end() uint64 { return bl.va + uint64(len(bl.b)) }

// lost gives the first absence in [from, to), nil when all is there.
func (bl *block) lost(from, to uint64) *gap {
	i := sort.Search(len(bl.gaps), func(i int) bool { return bl.gaps[i].to > from })
	if i == len(bl.gaps) || bl.gaps[i].from >= to {
		return nil
	}
	return &bl.gaps[i]
}

// bytes is the memory in [from, to), or why it cannot be had.
func (bl *block) bytes(what string, from, to uint64) ([]byte, error) {
	if from < bl.va || to < from || to > bl.end() {
		return nil, fmt.Errorf("%s at %#x-%#x lies outside of the tables: %w", what, from, to, phys.ErrCorrupt)
	}
	if g := bl.lost(from, to); g != nil {
		return nil, fmt.Errorf("%s at %#x: %w", what, g.from, g.err)
	}
	return bl.b[from-bl.va : to-bl.va], nil
}

// upto is the memory from va to the first absence behind it, at most to the given end.
func (bl *block) upto(va, end uint64) []byte {
	if va < bl.va || va >= bl.end() {
		return nil
	}
	end = min(end, bl.end())
	if g := bl.lost(va, end); g != nil {
		end = max(g.from, va)
	}
	return bl.b[va-bl.va : end-bl.va]
}

// uint reads an integer of 4 or 8 bytes.
func (bl *block) uint(what string, va uint64, size int) (uint64, error) {
	p, err := bl.bytes(what, va, va+uint64(size))
	if err != nil {
		return 0, err
	}
	return bl.abi.number(p), nil
}

// readUint reads an integer of 1, 2, 4 or 8 bytes that stands alone.
func readUint(mem Memory, abi ABI, what string, va uint64, size int) (uint64, error) {
	var p [8]byte
	if n, err := mem.ReadVirt(p[:size], va); n < size {
		return 0, fmt.Errorf("%s at %#x: %w", what, va, err)
	}
	return abi.number(p[:size]), nil
}

// number reads the whole of p, whose length is 1, 2, 4 or 8.
func (a ABI) number(p []byte) uint64 { return bin.Uint(p, a.order()) }
