package mm

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Track is who allocated or freed an object (struct track of mm/slub.c).
type Track struct {
	Addr uint64 // the caller of kmalloc or kfree
	CPU  int
	PID  int
	When uint64 // in jiffies
	// Stack is how the caller was called, innermost first: out of the stack depot since
	// 5.19, where the track itself keeps only a handle.
	Stack []uint64
	// Err is why there is no Stack.
	Err error
}

// tracks reads both tracks of an object: behind its payload, and the free pointer where that
// does not lie in the payload.
func (m *Memory) tracks(st *slabs, s *slab, o *SlabObject) {
	if !st.has(s.cache, "STORE_USER") {
		return
	}
	t, err := symbols.Find(st.ts, "struct track")
	if err != nil {
		return
	}
	end, err := s.cache.Uint("inuse")
	if err != nil {
		return
	}
	if s.link >= end {
		end += uint64(m.k.PtrSize())
	}
	o.Alloc = m.track(st, t, o.Addr+end)
	o.Freed = m.track(st, t, o.Addr+end+t.Size())
}

// track reads one track; nil when nobody was noted.
func (m *Memory) track(st *slabs, t *symbols.Type, va uint64) *Track {
	o := m.k.Object(t, va)
	f := o.Fields()
	tr := &Track{Addr: f.Uint("addr"), CPU: int(f.Int("cpu")), PID: int(f.Int("pid")), When: f.Uint("when")}
	if tr.Err = f.Err(); tr.Err != nil {
		return tr
	}
	if tr.Addr == 0 {
		return nil
	}
	if o.Has("handle") {
		handle, err := o.Uint("handle")
		if err == nil && handle != 0 {
			tr.Stack, err = m.depotStack(st.ts, handle)
		}
		tr.Err = err
		return tr
	}
	for i := range uint64(16) { // TRACK_ADDRS_COUNT
		v, err := o.Uint(fmt.Sprintf("addrs[%d]", i))
		if err != nil || v == 0 {
			break
		}
		tr.Stack = append(tr.Stack, v)
	}
	return tr
}

// maxDepotStack is CONFIG_STACKDEPOT_MAX_FRAMES.
const maxDepotStack = 64

// depotStack reads a stack out of the stack depot (lib/stackdepot.c). A handle has the number
// of a pool and the place in it, in units of 16 bytes; since 6.9 the number is one more
// (3ee34eabac2a), so that no handle is 0.
func (m *Memory) depotStack(ts symbols.Types, handle uint64) ([]uint64, error) {
	parts, err := symbols.Find(ts, "union handle_parts")
	if err != nil {
		return nil, err
	}
	raw := make([]byte, parts.Size())
	order := m.k.Dump().Header.Order
	for i := range raw { // as it stands in memory
		shift := 8 * i
		if m.uint([]byte{1, 0}) != 1 {
			shift = 8 * (len(raw) - 1 - i)
		}
		raw[i] = byte(handle >> shift)
	}
	part := func(paths ...string) (uint64, error) {
		member, err := parts.OneOf(paths...)
		if err != nil {
			return 0, err
		}
		off, size := member.Bytes()
		member.Offset %= 8
		return member.Uint(raw[off:][:size], order), nil
	}
	pool, err := part("pool_index_plus_1", "pool_index", "slabindex")
	if err != nil {
		return nil, err
	}
	if _, err := parts.Member("pool_index_plus_1"); err == nil {
		pool--
	}
	offset, err := part("offset")
	if err != nil {
		return nil, err
	}
	return m.depotRecord(ts, pool, offset<<4, handle)
}

// depotRecord reads a struct stack_record.
func (m *Memory) depotRecord(ts symbols.Types, pool, offset, handle uint64) ([]uint64, error) {
	pools, err := m.k.Symbol("stack_pools")
	if err != nil {
		if pools, err = m.k.Symbol("stack_slabs"); err != nil { // until 6.2
			return nil, err
		}
	}
	at := pools.Addr + pool*uint64(m.k.PtrSize())
	if pools.Size <= 2*uint64(m.k.PtrSize()) { // since 6.16 or so a pointer to the array
		base, err := m.word(pools.Addr)
		if err != nil {
			return nil, err
		}
		at = base + pool*uint64(m.k.PtrSize())
	}
	base, err := m.word(at)
	if err != nil {
		return nil, fmt.Errorf("stack depot: %w", err)
	}
	t, err := symbols.Find(ts, "struct stack_record")
	if err != nil {
		return nil, err
	}
	r := m.k.Object(t, base+offset)
	f := r.Fields()
	n, own := f.Uint("size"), f.Uint("handle.handle")
	if err := f.Err(); err != nil {
		return nil, fmt.Errorf("stack depot: %w", err)
	}
	const user = 0x1f << 27 // bits of a handle that belong to its user
	if n == 0 || n > maxDepotStack || (own^handle)&^user != 0 {
		return nil, fmt.Errorf("stack depot: no record of handle %#x at %#x: %w", handle, r.Addr, phys.ErrCorrupt)
	}
	entries, err := r.Member("entries")
	if err != nil {
		return nil, err
	}
	stack := make([]uint64, n)
	for i := range stack {
		if stack[i], err = m.word(entries.Addr + uint64(i*m.k.PtrSize())); err != nil {
			return stack[:i], err
		}
	}
	return stack, nil
}
