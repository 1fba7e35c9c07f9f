package kernel

import (
	"fmt"
	"time"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// ring is the lockless ring buffer of 5.10 and later (896fbe20b4e2;
// kernel/printk/printk_ringbuffer.h):
//
//	prb → printk_ringbuffer
//	      desc_ring { count_bits, descs*, infos*, head_id, tail_id }
//	      text_data_ring { size_bits, data* }
//
//	descs[id % count]  state_var = state << (bits-2) | id; text_blk_lpos { begin, next }
//	infos[id % count]  seq, ts_nsec, text_len, facility, flags:5 level:3, caller_id, dev_info
//	data[lpos % size]  { id; text… } padded to a long; a block that would cross the end
//	                   of the ring stands at its start as a whole
type ring struct {
	k *Kernel

	count, size uint64 // descriptors; bytes of text
	descs       uint64
	infos       uint64
	data        uint64
	head, tail  uint64
	word        int    // bytes of a long
	idMask      uint64 // the bits of state_var that are the id

	descSize, stateOff, beginOff, nextOff  uint64
	infoSize, seqOff, tsOff, lenOff, idOff uint64
	devOff, subsysOff, deviceOff           uint64
	subsysLen, deviceLen                   uint64
	descWin, infoWin, textWin              window // read ahead
	desc, info                             []byte // of the record at hand
}

// States of a descriptor; a record in the others is being written or is gone.
const (
	descCommitted = 1
	descFinalized = 2
)

// ringbuffer walks the printk_ringbuffer.
func (k *Kernel) ringbuffer(yield func(Record, error) bool) {
	r, err := k.openRing()
	if err != nil {
		yield(Record{}, fmt.Errorf("printk_ringbuffer: %w", err))
		return
	}
	n := (r.head-r.tail)&r.idMask + 1
	if n > r.count {
		yield(Record{}, fmt.Errorf("printk_ringbuffer: %d records between tail and head, but only %d descriptors: %w", n, r.count, phys.ErrCorrupt))
		return
	}
	for i := range n {
		rec, ok, err := r.record((r.tail + i) & r.idMask)
		if (ok || err != nil) && !yield(rec, err) {
			return
		}
	}
}

// openRing reads the ring's head and the offsets that describe it.
func (k *Kernel) openRing() (*ring, error) {
	at, _ := k.info.Symbol("prb")
	prb, err := k.pointer(at)
	if err != nil {
		return nil, err
	}
	r := &ring{k: k, word: k.ptrSize(), descWin: window{k: k}, infoWin: window{k: k}, textWin: window{k: k}}
	r.idMask = 1<<(8*r.word-2) - 1
	l := &layout{k: k}
	r.offsets(l)
	descRing, textRing := prb+l.offset("printk_ringbuffer.desc_ring"), prb+l.offset("printk_ringbuffer.text_data_ring")
	counter := l.offset("atomic_long_t.counter")
	f := &fields{k: k}
	countBits := f.uint(descRing+l.offset("prb_desc_ring.count_bits"), 4)
	r.descs = f.uint(descRing+l.offset("prb_desc_ring.descs"), r.word)
	r.infos = f.uint(descRing+l.offset("prb_desc_ring.infos"), r.word)
	r.head = f.uint(descRing+l.offset("prb_desc_ring.head_id")+counter, r.word) & r.idMask
	r.tail = f.uint(descRing+l.offset("prb_desc_ring.tail_id")+counter, r.word) & r.idMask
	sizeBits := f.uint(textRing+l.offset("prb_data_ring.size_bits"), 4)
	r.data = f.uint(textRing+l.offset("prb_data_ring.data"), r.word)
	if l.err != nil {
		return nil, l.err
	}
	if f.err != nil {
		return nil, f.err
	}
	if countBits > 28 || sizeBits > 31 || 1<<sizeBits > maxLog {
		return nil, fmt.Errorf("2^%d descriptors, 2^%d bytes of text: %w", countBits, sizeBits, phys.ErrCorrupt)
	}
	r.count, r.size = 1<<countBits, 1<<sizeBits
	return r, nil
}

// offsets reads how descriptors and infos are laid out. The size of printk_info grew from
// 88 to 112 bytes in 7.x: only VMCOREINFO's word counts.
func (r *ring) offsets(l *layout) {
	r.descSize, r.stateOff = l.size("prb_desc"), l.offset("prb_desc.state_var")+l.offset("atomic_long_t.counter")
	lpos := l.offset("prb_desc.text_blk_lpos")
	r.beginOff, r.nextOff = lpos+l.offset("prb_data_blk_lpos.begin"), lpos+l.offset("prb_data_blk_lpos.next")
	r.infoSize = l.size("printk_info")
	r.seqOff, r.tsOff = l.offset("printk_info.seq"), l.offset("printk_info.ts_nsec")
	r.lenOff, r.idOff = l.offset("printk_info.text_len"), l.offset("printk_info.caller_id")
	r.devOff = l.offset("printk_info.dev_info")
	r.subsysOff, r.deviceOff = l.offset("dev_printk_info.subsystem"), l.offset("dev_printk_info.device")
	r.subsysLen = l.get("LENGTH", "printk_info_subsystem", l.k.info.Length)
	r.deviceLen = l.get("LENGTH", "printk_info_device", l.k.info.Length)
	inDesc := max(r.stateOff, r.beginOff, r.nextOff) + uint64(r.word)
	inInfo := max(r.seqOff+8, r.tsOff+8, r.lenOff+4, r.idOff+4,
		r.devOff+r.subsysOff+r.subsysLen, r.devOff+r.deviceOff+r.deviceLen)
	if l.err == nil && (inDesc > r.descSize || inInfo > r.infoSize) {
		l.err = fmt.Errorf("members of prb_desc or printk_info beyond its end: %w", phys.ErrCorrupt)
	}
}

// fields reads integers; the first error sticks.
type fields struct {
	k   *Kernel
	err error
}

func (f *fields) uint(va uint64, size int) uint64 {
	if f.err != nil {
		return 0
	}
	var v uint64
	v, f.err = f.k.uint(va, size)
	return v
}

// record reads the record of one id; ok is false for a descriptor that holds none.
func (r *ring) record(id uint64) (rec Record, ok bool, err error) {
	i := id % r.count
	if r.desc, err = r.descWin.get(r.descs+i*r.descSize, int(r.descSize)); err != nil {
		return rec, false, fmt.Errorf("log descriptor %#x: %w", id, err)
	}
	state := r.long(r.desc[r.stateOff:])
	switch kind := state >> (8*r.word - 2); {
	case state&r.idMask != id: // recycled
		return rec, false, nil
	case kind != descCommitted && kind != descFinalized:
		return rec, false, nil
	}
	if r.info, err = r.infoWin.get(r.infos+i*r.infoSize, int(r.infoSize)); err != nil {
		return rec, false, fmt.Errorf("log record %#x: %w", id, err)
	}
	order := r.k.dump.Header.Order
	rec = Record{
		Seq: order.Uint64(r.info[r.seqOff:]), Since: time.Duration(order.Uint64(r.info[r.tsOff:])),
		Facility: int(r.info[r.lenOff+2]), Level: r.k.level(r.info[r.lenOff+3]),
		Caller: caller(order.Uint32(r.info[r.idOff:])), Dict: r.dict(),
	}
	rec.Text, err = r.textOf(id, uint64(order.Uint16(r.info[r.lenOff:])))
	if err != nil {
		err = fmt.Errorf("text of log record %d: %w", rec.Seq, err)
	}
	return rec, true, err
}

// level is the upper three bits of the byte that it shares with five bits of flags; on
// big-endian machines bitfields fill from the other end.
func (k *Kernel) level(b byte) int {
	if k.bigEndian() {
		return int(b & 7)
	}
	return int(b >> 5)
}

func (k *Kernel) bigEndian() bool { return bin.Uint([]byte{0, 1}, k.dump.Header.Order) == 1 }

func (r *ring) long(b []byte) uint64 { return bin.Uint(b[:r.word], r.k.dump.Header.Order) }

func (r *ring) dict() (d []Property) {
	add := func(key string, at, n uint64) {
		if s := bin.CString(r.info[at : at+n]); s != "" {
			d = append(d, Property{key, s})
		}
	}
	add("SUBSYSTEM", r.devOff+r.subsysOff, r.subsysLen)
	add("DEVICE", r.devOff+r.deviceOff, r.deviceLen)
	return d
}

// textOf reads the text of the current descriptor. A record without data has an odd
// position: its text was empty, or there was no room for it.
func (r *ring) textOf(id, length uint64) ([]byte, error) {
	begin, next := r.long(r.desc[r.beginOff:]), r.long(r.desc[r.nextOff:])
	if begin&1 != 0 {
		return nil, nil
	}
	begin, next = begin%r.size, next%r.size
	if begin > next && next != 0 { // wraps: the whole block is at the ring's start
		begin = 0
	}
	if next == 0 {
		next = r.size
	}
	word := uint64(r.word)
	if next < begin+word {
		return nil, fmt.Errorf("block from %#x to %#x: %w", begin, next, phys.ErrCorrupt)
	}
	length = min(length, next-begin-word)
	text, err := r.textWin.get(r.data+begin, int(word+length))
	if err != nil {
		return text[min(int(word), len(text)):], err
	}
	if got := r.long(text) & r.idMask; got != id {
		return nil, fmt.Errorf("its block belongs to record id %#x: %w", got, phys.ErrCorrupt)
	}
	return text[word:], nil
}
