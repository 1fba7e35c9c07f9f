package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Search says what is looked for in memory: values, at addresses that their width divides,
// or texts at any.
type Search struct {
	Values []uint64
	Width  int    // bytes of a value: 2, 4 or 8; 0 is that of a pointer
	Ignore uint64 // bits of a value that may be anything
	Texts  []string
}

// Found is one place where something was found.
type Found struct {
	Addr  uint64 // physical from SearchPhys, virtual from SearchVirt
	Which int    // of Values or Texts
	Value uint64 // what is there
	Text  string // the text, with what can be printed behind it in its page
}

// mostText bounds a text that is looked for.
const mostText = 4096

// searcher is a search in memory that comes page by page.
type searcher struct {
	order  binary.ByteOrder
	width  int
	want   []uint64
	ignore uint64
	bytes  [][]byte // the values as they lie in memory
	texts  [][]byte
	carry  []byte // the bytes before the page, as many as a text may begin before it
	next   uint64 // where carry ends
	border []byte
}

func (k *Kernel) searcher(s Search) (*searcher, error) {
	w := &searcher{order: k.dump.Header.Order, width: s.Width, ignore: s.Ignore}
	if w.width == 0 {
		w.width = k.ptrSize()
	}
	put := map[int]func(uint64) []byte{
		2: func(v uint64) []byte { return putUint(2, func(b []byte) { w.order.PutUint16(b, uint16(v)) }) },
		4: func(v uint64) []byte { return putUint(4, func(b []byte) { w.order.PutUint32(b, uint32(v)) }) },
		8: func(v uint64) []byte { return putUint(8, func(b []byte) { w.order.PutUint64(b, v) }) },
	}[w.width]
	if put == nil {
		return nil, fmt.Errorf("values of %d bytes: %w", w.width, phys.ErrUnsupported)
	}
	for _, v := range s.Values {
		if v&^s.Ignore>>(8*w.width-1)>>1 != 0 {
			return nil, fmt.Errorf("%#x has more than %d bytes: %w", v, w.width, phys.ErrUnsupported)
		}
		w.want, w.bytes = append(w.want, v&^s.Ignore), append(w.bytes, put(v))
	}
	for _, t := range s.Texts {
		if t == "" || len(t) > mostText {
			return nil, fmt.Errorf("a text of %d bytes: %w", len(t), phys.ErrLimit)
		}
		w.texts = append(w.texts, []byte(t))
	}
	return w, nil
}

func putUint(n int, put func([]byte)) []byte {
	b := make([]byte, n)
	put(b)
	return b
}

// page yields what is found in a page, or in what is there of one.
func (w *searcher) page(at uint64, p []byte, yield func(Found) bool) bool {
	for which := range w.want {
		for off := range w.values(p, which) {
			v := bin.Uint(p[off:off+w.width], w.order)
			if !yield(Found{Addr: at + uint64(off), Which: which, Value: v}) {
				return false
			}
		}
	}
	if len(w.texts) == 0 {
		return true
	}
	if at != w.next {
		w.carry = w.carry[:0]
	}
	for which, text := range w.texts {
		for off := range w.across(p, text) {
			if !yield(Found{Addr: at + uint64(off), Which: which, Text: string(text)}) {
				return false
			}
		}
		for off := range placesOf(p, text) {
			end := off + len(text)
			shown := end + printing(p[end:])
			if !yield(Found{Addr: at + uint64(off), Which: which, Text: string(p[off:shown])}) {
				return false
			}
		}
	}
	w.keep(p)
	w.next = at + uint64(len(p))
	return true
}

// values gives the offsets of a value in a page.
func (w *searcher) values(p []byte, which int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := 0; at+w.width <= len(p); at += w.width {
			if w.ignore == 0 {
				i := bytes.Index(p[at:], w.bytes[which])
				if i < 0 {
					return
				}
				if at += i; at%w.width != 0 {
					at -= at % w.width // the next word may be one
					continue
				}
			} else if bin.Uint(p[at:at+w.width], w.order)&^w.ignore != w.want[which] {
				continue
			}
			if !yield(at) {
				return
			}
		}
	}
}

// across gives the places of a text that begins before the page and ends in it; they are
// negative.
func (w *searcher) across(p, text []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		before := w.carry[max(0, len(w.carry)-(len(text)-1)):]
		w.border = append(append(w.border[:0], before...), p[:min(len(p), len(text)-1)]...)
		for off := range placesOf(w.border, text) {
			if off < len(before) && off+len(text) > len(before) && !yield(off-len(before)) {
				return
			}
		}
	}
}

// keep keeps the end of a page, and of those before it where a text is longer than it.
func (w *searcher) keep(p []byte) {
	longest := 0
	for _, t := range w.texts {
		longest = max(longest, len(t)-1)
	}
	w.carry = append(w.carry, p[max(0, len(p)-longest):]...)
	w.carry = w.carry[max(0, len(w.carry)-longest):]
}

// placesOf gives every place of a text, those that overlap too.
func placesOf(p, text []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			i := bytes.Index(p[at:], text)
			if i < 0 || !yield(at+i) {
				return
			}
			at += i
		}
	}
}

// shownText is how much of what follows a text is shown.
const shownText = 60

// printing is how many bytes can be printed.
func printing(p []byte) int {
	for i, c := range p[:min(len(p), shownText)] {
		if c < ' ' || c > '~' {
			return i
		}
	}
	return min(len(p), shownText)
}

// SearchPhys looks through all pages of the dump in their order, from the physical address
// from up to but not including to; 0 is no end. Pages that could not be read come as errors
// and do not end the search; those that are not in the dump by design do not come.
func (k *Kernel) SearchPhys(ctx context.Context, s Search, from, to phys.Addr) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		w, err := k.searcher(s)
		if err != nil {
			yield(Found{}, err)
			return
		}
		size := uint64(k.dump.PageSize())
		for page, err := range k.dump.Pages(ctx) {
			at := uint64(page.PFN) * size
			if to != 0 && at >= uint64(to) {
				return
			}
			if at+size <= uint64(from) {
				continue
			}
			if err != nil && !yield(Found{}, err) {
				return
			}
			if !w.within(at, page.Data, uint64(from), uint64(to), yield) {
				return
			}
		}
	}
}

// within is page without what lies outside of the bounds.
func (w *searcher) within(at uint64, p []byte, from, to uint64, yield func(Found, error) bool) bool {
	if from > at {
		p = p[min(from-at, uint64(len(p))):]
		at = from
	}
	if to != 0 && at+uint64(len(p)) > to {
		p = p[:to-at]
	}
	return w.page(at, p, func(f Found) bool { return yield(f, nil) })
}

// maxSearch bounds how many pages of virtual memory are looked at one by one: 64 GiB.
const maxSearch = 1 << 24

// SearchVirt looks through the kernel's virtual memory from an address up to, but not
// including, another. What is not mapped, or not in the dump by design, is left out.
func (k *Kernel) SearchVirt(ctx context.Context, s Search, from, to uint64) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		w, err := k.searcher(s)
		if err == nil && (to-from)/uint64(k.PageSize()) > maxSearch {
			err = fmt.Errorf("%#x to %#x: more than %d pages: %w", from, to, maxSearch, phys.ErrLimit)
		}
		if err != nil {
			yield(Found{}, err)
			return
		}
		buf := make([]byte, k.PageSize())
		for at := from; at < to; {
			n := min(uint64(len(buf))-at%uint64(len(buf)), to-at)
			if ctx.Err() != nil {
				yield(Found{}, ctx.Err())
				return
			}
			got, err := k.ReadVirt(buf[:n], at)
			if !w.page(at, buf[:got], func(f Found) bool { return yield(f, nil) }) {
				return
			}
			if phys.Damage(err) && !yield(Found{}, err) {
				return
			}
			if at += n; at < n { // behind the last address
				return
			}
		}
	}
}

// errNoVirt: memory that the direct map does not have.
var errNoVirt = errors.New("no address of the kernel")

// Virt is a virtual address of the kernel for physical memory: that in its image where it
// lies there, else the one in the direct map.
func (k *Kernel) Virt(a phys.Addr) (uint64, error) {
	if k.spc == nil {
		return 0, k.spaceErr
	}
	start, end := k.imageRange()
	if first, err := k.Symbol("_text"); err == nil {
		start = first.Addr
	}
	if last, err := k.Symbol("_end"); err == nil {
		end = last.Addr
	}
	if base, ok := k.spc.Image(start); ok && a >= base && uint64(a-base) < end-start {
		va := start + uint64(a-base)
		if at, ok := k.spc.Image(va); ok && at == a {
			return va, nil
		}
	}
	if va, ok := k.spc.Virt(a); ok {
		return va, nil
	}
	return 0, fmt.Errorf("physical %#x: %w", uint64(a), errNoVirt)
}
