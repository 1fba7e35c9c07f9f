package dumptest

import (
	"bytes"
	"cmp"
	"io"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// output writes pieces of a file; the first error sticks.
type output struct {
	w   io.WriterAt
	err error
}

func (o *output) write(b []byte, off int64) {
	if o.err == nil && len(b) > 0 {
		_, o.err = o.w.WriteAt(b, off)
	}
}

// memory is a file in memory.
type memory struct{ b []byte }

// WriteAt writes b, zeros before it where nothing was.
func (m *memory) WriteAt(b []byte, off int64) (int, error) {
	m.b = m.upTo(max(int64(len(m.b)), off+int64(len(b))))
	return copy(m.b[off:], b), nil
}

// upTo is the file, made n bytes long at least.
func (m *memory) upTo(n int64) []byte {
	if grow := int(n) - len(m.b); grow > 0 {
		m.b = append(m.b, make([]byte, grow)...)
	}
	return m.b
}

// described are the pages with a descriptor, ascending: those that have content, and those
// whose descriptor was never written.
func (m *Image) described() []phys.PFN {
	out := m.PFNs()
	for p := range m.Lost {
		if m.Pages[p] == nil {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// bitmaps writes both: memory of the machine, and what has a descriptor.
func (k *kdumpWriter) bitmaps() {
	var runs []phys.Run
	for _, p := range k.dumped {
		runs = append(runs, phys.Run{Start: p, End: p + 1})
	}
	start := (1 + k.subBlocks) * k.block
	k.bitmap(start+k.half, runs)
	if !k.Single {
		k.bitmap(start, append(runs, k.m.Excluded...))
	}
}

// bitmap writes the bits of runs of pages.
func (k *kdumpWriter) bitmap(off int64, runs []phys.Run) {
	w := bitWriter{out: k.out, off: off}
	for _, r := range union(runs) {
		w.set(uint64(r.Start-k.base), uint64(r.End-k.base))
	}
	w.flush()
}

// union sorts runs and joins those that touch or overlap.
func union(runs []phys.Run) []phys.Run {
	runs = slices.SortedFunc(slices.Values(runs), func(a, b phys.Run) int { return cmp.Compare(a.Start, b.Start) })
	var out []phys.Run
	for _, r := range runs {
		if n := len(out); n > 0 && r.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

// bitWriter writes a bitmap in pieces that hold a bit at least.
type bitWriter struct {
	out   *output
	off   int64
	piece uint64
	b     [4096]byte
}

const pieceBits = 8 * 4096

// set sets bits [lo, hi), which lie behind those set before. The least significant bit
// of a byte comes first.
func (w *bitWriter) set(lo, hi uint64) {
	for lo < hi {
		if lo/pieceBits != w.piece {
			w.flush()
			w.piece = lo / pieceBits
		}
		end := min(hi, (w.piece+1)*pieceBits)
		for lo < end {
			i := lo % pieceBits
			if i%8 == 0 && end-lo >= 8 {
				w.b[i/8] = 0xff
				lo += 8
				continue
			}
			w.b[i/8] |= 1 << (i % 8)
			lo++
		}
	}
}

// flush writes the piece, cut behind its last set bit.
func (w *bitWriter) flush() {
	w.out.write(bytes.TrimRight(w.b[:], "\x00"), w.off+int64(w.piece)*int64(len(w.b)))
	clear(w.b[:])
}

// pages writes descriptors and data; a part of a split set has those of its own range.
func (k *kdumpWriter) pages() error {
	zero := int64(-1)
	if !k.KeepZero {
		zero = k.at
		k.out.write(make([]byte, k.block), zero)
		k.at += k.block
	}
	n := 0
	for i, p := range k.dumped {
		if k.Split && (p < k.Start || p >= k.End) {
			continue
		}
		d, err := k.page(p, k.Codec.of(i), zero)
		if err != nil {
			return err
		}
		k.out.write(k.desc(d), k.data+24*int64(n))
		n++
	}
	return nil
}

// page stores one page; those that are all zero share the block at zero, if there is one.
func (k *kdumpWriter) page(p phys.PFN, codec Codec, zero int64) (Desc, error) {
	page := k.m.Pages[p]
	if page == nil || k.m.Lost[p] {
		return Desc{}, nil
	}
	damage := k.m.Damage[p]
	if zero >= 0 && damage == nil && len(bytes.Trim(page, "\x00")) == 0 {
		return Desc{Offset: zero, Size: uint32(k.block)}, nil
	}
	stored, err := k.enc.encode(codec, page)
	if err != nil {
		return Desc{}, err
	}
	d := Desc{Offset: k.at, Size: uint32(len(stored)), Flags: codec.Flag()}
	if len(stored) >= len(page) {
		stored, d.Size, d.Flags = bytes.Clone(page), uint32(len(page)), 0
	}
	if damage != nil {
		stored = damage(stored, &d)
	}
	k.out.write(stored, k.at)
	k.at += int64(len(stored))
	return d, nil
}

// desc is struct page_desc in the file's byte order.
func (k *kdumpWriter) desc(d Desc) []byte {
	b := k.Order.AppendUint64(nil, uint64(d.Offset))
	b = k.Order.AppendUint32(b, d.Size)
	b = k.Order.AppendUint32(b, d.Flags)
	return k.Order.AppendUint64(b, d.PageFlags)
}
