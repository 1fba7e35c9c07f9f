package kernel

import (
	"bytes"
	"fmt"
	"time"

	"github.com/kautopsy/kautopsy/phys"
)

// records is the ring of 3.5 to 5.9 (7ff9554bb578; kernel/printk/printk.c). Records of
// variable length follow one another; a length of 0 says: go on at the ring's start.
//
//	struct printk_log (struct log until 3.10)
//	0         8     10         12         14         15              16
//	| ts_nsec | len | text_len | dict_len | facility | flags:5 level:3 | [caller_id] text dict pad
type records struct {
	k                               *Kernel
	buf, size                       uint64
	first, next                     uint64
	header                          uint64
	tsOff, lenOff, textOff, dictOff uint64
	facilityOff, callerOff          uint64
	hasCaller                       bool
	b                               []byte
}

// recordRing walks the ring of records.
func (k *Kernel) recordRing(yield func(Record, error) bool) {
	r, err := k.openRecords()
	if err != nil {
		yield(Record{}, fmt.Errorf("log_buf: %w", err))
		return
	}
	at, walked := r.first, uint64(0)
	for seq := uint64(0); at != r.next; {
		rec, length, err := r.record(at)
		if length == 0 && err == nil {
			if at == 0 { // a ring of nothing but its end mark
				yield(Record{}, fmt.Errorf("log_buf: empty record at its start: %w", phys.ErrCorrupt))
				return
			}
			walked += r.size - at
			at = 0
			continue
		}
		rec.Seq = seq
		if !yield(rec, err) || length == 0 {
			return
		}
		seq++
		at += length
		if walked += length; walked > r.size || at > r.size {
			yield(Record{}, fmt.Errorf("log_buf: records go past %#x without meeting log_next_idx %#x: %w", at, r.next, phys.ErrCorrupt))
			return
		}
	}
}

func (k *Kernel) openRecords() (*records, error) {
	r := &records{k: k}
	name := "printk_log" // struct log until 62e32ac3505a (3.11)
	if _, ok := k.info.Size(name); !ok {
		name = "log"
	}
	l := &layout{k: k}
	r.header = l.size(name)
	r.tsOff, r.lenOff = l.offset(name+".ts_nsec"), l.offset(name+".len")
	r.textOff, r.dictOff = l.offset(name+".text_len"), l.offset(name+".dict_len")
	// The two bytes behind dict_len are in VMCOREINFO of no kernel, and never moved.
	r.facilityOff = r.dictOff + 2
	if off, ok := k.info.Offset(name + ".caller_id"); ok && off >= 0 {
		r.callerOff, r.hasCaller = uint64(off), true
	} else if r.header >= 20 {
		r.callerOff, r.hasCaller = 16, true
	}
	if l.err != nil {
		return nil, l.err
	}
	if end := max(r.tsOff+8, r.lenOff+2, r.textOff+2, r.facilityOff+2, r.callerOff+4*uint64(min(1, r.callerOff))); end > r.header || r.header > 64 {
		return nil, fmt.Errorf("struct %s of %d bytes has members up to %d: %w", name, r.header, end, phys.ErrCorrupt)
	}
	f := &fields{k: k}
	at := func(symbol string) uint64 { a, _ := k.info.Symbol(symbol); return a }
	r.buf = f.uint(at("log_buf"), k.ptrSize())
	r.size = f.uint(at("log_buf_len"), 4)
	r.first, r.next = f.uint(at("log_first_idx"), 4), f.uint(at("log_next_idx"), 4)
	if f.err != nil {
		return nil, f.err
	}
	if r.size > maxLog || r.first > r.size || r.next > r.size {
		return nil, fmt.Errorf("%d bytes, first record at %#x, next at %#x: %w", r.size, r.first, r.next, phys.ErrCorrupt)
	}
	return r, nil
}

// record reads the record at a place in the ring; length 0 is the mark to go on at the
// ring's start, or comes with an error.
func (r *records) record(at uint64) (rec Record, length uint64, err error) {
	if at+r.header > r.size {
		return rec, 0, nil
	}
	var head [64]byte
	h := head[:r.header]
	if _, err := r.k.ReadVirt(h, r.buf+at); err != nil {
		return rec, 0, fmt.Errorf("log record at %#x: %w", at, err)
	}
	order := r.k.dump.Header.Order
	length = uint64(order.Uint16(h[r.lenOff:]))
	if length == 0 {
		return rec, 0, nil
	}
	text, dict := uint64(order.Uint16(h[r.textOff:])), uint64(order.Uint16(h[r.dictOff:]))
	if length < r.header || r.header+text+dict > length || at+length > r.size {
		return rec, 0, fmt.Errorf("log record at %#x of %d bytes, text %d, dict %d: %w", at, length, text, dict, phys.ErrCorrupt)
	}
	rec = Record{
		Since: time.Duration(order.Uint64(h[r.tsOff:])), Facility: int(h[r.facilityOff]),
		Level: r.k.level(h[r.facilityOff+1]),
	}
	if r.hasCaller {
		rec.Caller = caller(order.Uint32(h[r.callerOff:]))
	}
	r.b = append(r.b[:0], make([]byte, text+dict)...)
	n, err := r.k.ReadVirt(r.b, r.buf+at+r.header)
	rec.Text = r.b[:min(text, uint64(n))]
	if err != nil {
		return rec, length, fmt.Errorf("log record at %#x: %w", at, err)
	}
	rec.Dict = parseDict(r.b[text:])
	return rec, length, nil
}

// parseDict reads KEY=VALUE strings that are separated by NULs.
func parseDict(b []byte) (d []Property) {
	for part := range bytes.SplitSeq(b, []byte{0}) {
		if key, value, ok := bytes.Cut(part, []byte("=")); ok {
			d = append(d, Property{string(key), string(value)})
		}
	}
	return d
}
