package kernel

import (
	"context"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/symbols"
)

// unnamedPerCPUOffset is the offset in a kernel that does not name its data: the run queues,
// which tasks lead to, lie as far from each other as the areas, and the array that has such
// words, one behind the other, is in the image.
func (k *Kernel) unnamedPerCPUOffset(cpu int, why error) (uint64, error) {
	k.percpuOnce.Do(func() { k.percpu = k.findPerCPUOffsets() })
	if cpu < 0 || cpu >= len(k.percpu) {
		return 0, fmt.Errorf("per-CPU area of CPU %d: %w", cpu, why)
	}
	return k.percpu[cpu], nil
}

func (k *Kernel) findPerCPUOffsets() []uint64 {
	rqs := make([]uint64, k.CPUs())
	for cpu := range rqs {
		rq, err := k.RunQueue(context.Background(), cpu)
		if err != nil {
			return nil
		}
		rqs[cpu] = rq.Addr
	}
	if len(rqs) < 2 {
		return nil // any word would do
	}
	start, end := k.spc.ImageRange()
	var found []uint64
	for at := range k.imageWords() {
		if at.value == 0 {
			continue
		}
		symbol := k.clip(rqs[0] - at.value) // of runqueues, in the image or counted from its own begin
		if symbol >= end || symbol < start && symbol >= maxZeroBased {
			continue
		}
		offs := k.offsetsAt(at.addr, symbol, rqs)
		if offs != nil {
			found = offs
			break
		}
	}
	return found
}

// maxZeroBased bounds what the static per-CPU variables take where their addresses begin
// with 0 (x86_64 until 6.14).
const maxZeroBased = 16 << 20

// offsetsAt reads the offsets at an address, nil if they do not lead to the run queues.
func (k *Kernel) offsetsAt(at, symbol uint64, rqs []uint64) (offs []uint64) {
	for cpu, rq := range rqs {
		v, err := k.pointer(at + uint64(cpu*k.ptrSize()))
		if err != nil || k.clip(symbol+v) != rq {
			return nil
		}
		offs = append(offs, v)
	}
	return offs
}

// imageWord is a word of the kernel image and where it is.
type imageWord struct{ addr, value uint64 }

// imageWords yields the words of the kernel image that are there, in order.
func (k *Kernel) imageWords() func(func(imageWord) bool) {
	return func(yield func(imageWord) bool) {
		const step = 1 << 20
		size := k.ptrSize()
		buf := make([]byte, step)
		for at, end := k.spc.ImageRange(); at < end; {
			n, err := k.ReadVirt(buf[:min(step, end-at)], at)
			for i := 0; i+size <= n; i += size {
				if !yield(imageWord{at + uint64(i), bin.Uint(buf[i:i+size], k.dump.Header.Order)}) {
					return
				}
			}
			at += uint64(n)
			if page := uint64(k.PageSize()); err != nil {
				at += page - at%page
			}
		}
	}
}

// Find looks in the kernel image for an object that no symbol names, by what it looks like:
// the first for which fits tells so. word is one of its members, and fits is asked only
// where that holds what likely says: an address is cheap to judge, an object is not.
func (k *Kernel) Find(t *symbols.Type, word string, likely func(v uint64) bool, fits func(Object) bool) (Object, error) {
	m, err := t.Member(word)
	if err != nil {
		return Object{}, err
	}
	for w := range k.imageWords() {
		if !likely(w.value) {
			continue
		}
		if o := k.Object(t, w.addr-m.Offset/8); fits(o) {
			return o, nil
		}
	}
	return Object{}, fmt.Errorf("%v in the image: %w", t, symbols.ErrNoSymbol)
}
