// Package mm answers questions about the memory of the kernel in a dump: how much of it was
// used for what, which slab caches there are, and what a given address is.
//
//	meminfo.go   the lines of /proc/meminfo; vmstat.go has the counters behind them
//	zone.go      nodes, zones and their free lists
//	slab.go      slab caches: totals; slab_object.go: one object, allocated or free
//	place.go     what an address is; poison.go knows the values that are no addresses
//	page.go      struct page, its flags and its type; memmap.go finds it for a page frame
//	pagerun.go   what a dump filter makes of page frames
//	vmalloc.go   areas of the vmalloc range
//	vma.go       the address space of a process
//	swap.go      swap areas
//
// Everything is read by the types in the dump; members are asked for by name, newest form
// first, and no kernel version is looked at. Sources: mm/ and include/linux/mm*.h of Linux
// 2.6.32 to 7.2.
package mm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Memory is the memory of one kernel. It keeps what it has read, and is safe for many
// goroutines.
type Memory struct {
	k *kernel.Kernel

	memmap  kept[*memmap]
	slabs   kept[*slabs]
	areas   kept[[]Area]
	stacks  kept[[]stack]
	modules kept[[]moduleRange]
	percpu  kept[percpuMap]
	nodes   kept[[]Node]
	vmstat  kept[*Vmstat]
}

// New makes ready to ask about a kernel's memory. Nothing is read before it is asked for.
func New(k *kernel.Kernel) *Memory { return &Memory{k: k} }

// kept is an answer that is worked out once; one that was cut short is asked for again.
type kept[T any] struct {
	mu   sync.Mutex
	done bool
	v    T
	err  error
}

func (c *kept[T]) get(ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return c.v, c.err
	}
	v, err := read(ctx)
	if ctx.Err() == nil {
		c.v, c.err, c.done = v, err, true
	}
	return v, err
}

// word reads a pointer or a long at va.
func (m *Memory) word(va uint64) (uint64, error) {
	var b [8]byte
	p := b[:m.k.PtrSize()]
	if _, err := m.k.ReadVirt(p, va); err != nil {
		return 0, err
	}
	return m.uint(p), nil
}

// uint is an integer of the machine's byte order.
func (m *Memory) uint(p []byte) uint64 { return bin.Uint(p, m.k.Dump().Header.Order) }

// variable reads an integer variable of the kernel by its symbol: the first of the names that
// the kernel has. None is symbols.ErrNoSymbol.
func (m *Memory) variable(size int, names ...string) (v int64, err error) {
	for _, name := range names {
		var sym symbols.Symbol
		if sym, err = m.k.Symbol(name); errors.Is(err, symbols.ErrNoSymbol) {
			continue
		}
		if err == nil {
			v, err = m.variableAt(size, sym.Addr)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return v, err
	}
	return 0, err
}

// variableAt reads a signed integer.
func (m *Memory) variableAt(size int, va uint64) (int64, error) {
	var b [8]byte
	if _, err := m.k.ReadVirt(b[:size], va); err != nil {
		return 0, err
	}
	unused := 64 - 8*size
	return int64(m.uint(b[:size])<<unused) >> unused, nil
}

// long reads a long, an unsigned long or an atomic_long_t.
func (m *Memory) long(names ...string) (int64, error) { return m.variable(m.k.PtrSize(), names...) }

// int reads an int, an unsigned int or an atomic_t.
func (m *Memory) int(name string) (int64, error) { return m.variable(4, name) }

// maxNodes is the largest MAX_NUMNODES.
const maxNodes = 1 << 10

// nodeIDs is how many numbers of memory nodes there are; a kernel for one node has no
// variable for that.
func (m *Memory) nodeIDs() (int, error) {
	n, err := m.int("nr_node_ids")
	if errors.Is(err, symbols.ErrNoSymbol) {
		return 1, nil
	}
	if err == nil && (n < 1 || n > maxNodes) {
		err = fmt.Errorf("nr_node_ids is %d: %w", n, phys.ErrCorrupt)
	}
	return int(n), err
}
