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
	b, headBytes                    []byte
	tries                           int
}

// recordRing walks the ring of records. Behind a record that cannot be read it goes on with
// the next one that is surely one.
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
		if !yield(rec, err) {
			return
		}
		if seq++; length == 0 {
			length = r.behind(at) - at
		}
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
	r.headBytes = make([]byte, r.header)
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

// recordHead is the fixed part of a record.
type recordHead struct {
	b                  []byte
	length, text, dict uint64 // length 0 is the mark to go on at the ring's start
}

func (r *records) head(at uint64) (h recordHead, err error) {
	if at+r.header > r.size {
		return h, nil
	}
	h.b = r.headBytes
	if _, err := r.k.ReadVirt(h.b, r.buf+at); err != nil {
		return h, fmt.Errorf("log record at %#x: %w", at, err)
	}
	order := r.k.dump.Header.Order
	length := uint64(order.Uint16(h.b[r.lenOff:]))
	if length == 0 {
		return h, nil
	}
	h.text, h.dict = uint64(order.Uint16(h.b[r.textOff:])), uint64(order.Uint16(h.b[r.dictOff:]))
	if length < r.header || r.header+h.text+h.dict > length || at+length > r.size {
		return h, fmt.Errorf("log record at %#x of %d bytes, text %d, dict %d: %w", at, length, h.text, h.dict, phys.ErrCorrupt)
	}
	h.length = length
	return h, nil
}

// record reads the record at a place in the ring; length 0 is the mark to go on at the
// ring's start, or comes with an error.
func (r *records) record(at uint64) (rec Record, length uint64, err error) {
	h, err := r.head(at)
	if err != nil || h.length == 0 {
		return rec, 0, err
	}
	order := r.k.dump.Header.Order
	rec = Record{
		Since: time.Duration(order.Uint64(h.b[r.tsOff:])), Facility: int(h.b[r.facilityOff]),
		Level: r.k.level(h.b[r.facilityOff+1]),
	}
	if r.hasCaller {
		rec.Caller = caller(order.Uint32(h.b[r.callerOff:]))
	}
	r.b = append(r.b[:0], make([]byte, h.text+h.dict)...)
	n, err := r.k.ReadVirt(r.b, r.buf+at+r.header)
	rec.Text = r.b[:min(h.text, uint64(n))]
	if err != nil {
		return rec, h.length, fmt.Errorf("log record at %#x: %w", at, err)
	}
	rec.Dict = parseDict(r.b[h.text:])
	return rec, h.length, nil
}

const (
	recordAlign = 4       // LOG_ALIGN; 8 where the processor wants it
	sureRecords = 3       // so many that fit each other are no accident
	maxTries    = 1 << 18 // places at which a walk looks for a record
)

// behind is where the walk goes on behind a record that cannot be read: at the first place
// from which records follow one another, else at the end of the ring or of the walk.
func (r *records) behind(at uint64) uint64 {
	end := r.size
	if at < r.next {
		end = r.next
	}
	for at += recordAlign; at < end && r.tries < maxTries; r.tries++ {
		ok, err := r.sure(at, end)
		switch {
		case ok:
			return at
		case err == nil || phys.Reason(err) == phys.ErrCorrupt:
			at += recordAlign
		default:
			at = r.k.nextPage(r.buf+at) - r.buf
		}
	}
	return end
}

// sure tells whether records follow one another from a place on.
func (r *records) sure(at, end uint64) (bool, error) {
	for range sureRecords {
		if at == end {
			return true, nil
		}
		h, err := r.head(at)
		if slack := h.length - r.header - h.text - h.dict; err != nil || h.length == 0 || slack >= 8 || h.length%recordAlign != 0 {
			return false, err
		}
		at += h.length
	}
	return true, nil
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
