package kernel_test

import "bytes"

// prbShape is how a kernel lays out struct printk_info.
type prbShape struct{ infoSize, devOff int }

var (
	prb510 = prbShape{88, 24}
	prb7x  = prbShape{112, 44} // CONFIG_PRINTK_EXECUTION_CTX: caller_id2 and comm before dev_info
)

// States of a descriptor.
const (
	reserved  = 0
	committed = 1
	finalized = 2
	reusable  = 3
)

// prb is a printk_ringbuffer that is written as the kernel does it (kernel/printk/
// printk_ringbuffer.c).
type prb struct {
	*machine
	prbShape
	count, size         uint64 // descriptors, bytes of text
	ring                uint64
	descs, infos, texts uint64
	id, first, seq      uint64
	lpos                uint64 // where the next block begins
	live                []block
}

// block is where a record's text is.
type block struct{ id, begin uint64 }

// line is a record to be written.
type line struct {
	ns        uint64
	level     int
	facility  int
	caller    uint32
	text      string
	subsystem string
	device    string
	state     int    // 0 is finalized; use open for a reserved one
	open      bool   // still being written
	dataless  uint64 // position of a record without data, 0 for none
	length    int    // text_len when it is not that of the text
}

// newPRB makes a ring of 2^countBits descriptors and 2^sizeBits bytes. id is that of its
// tail, the reusable descriptor that every new ring has.
func newPRB(m *machine, shape prbShape, countBits, sizeBits uint32, id uint64) *prb {
	r := &prb{machine: m, prbShape: shape, count: 1 << countBits, size: 1 << sizeBits, id: id & m.idMask(), first: id & m.idMask()}
	w := m.word
	r.ring = m.alloc(11 * w)
	r.descs = m.pages(int(r.count)*3*w/pageSize + 1)
	r.infos = m.pages(int(r.count)*shape.infoSize/pageSize + 1)
	r.texts = m.pages(max(1, int(r.size)/pageSize))
	for i, b := range [][]byte{m.u32(countBits), m.long(r.descs), m.long(r.infos)} {
		m.put(r.ring+uint64(i*w), b)
	}
	m.put(r.ring+uint64(6*w), m.u32(sizeBits))
	m.put(r.ring+uint64(7*w), m.long(r.texts))
	m.symbol("prb", m.object(m.long(r.ring)))
	r.describe()
	r.lpos = -r.size & r.longMask() // the kernel's first position, so that it wraps soon
	r.setDesc(id, reusable, 1, 1)
	return r
}

// describe writes the layout into VMCOREINFO.
func (r *prb) describe() {
	w := r.word
	for _, o := range []struct {
		name string
		v    int
	}{
		{"printk_ringbuffer.desc_ring", 0},
		{"printk_ringbuffer.text_data_ring", 6 * w},
		{"prb_desc_ring.count_bits", 0},
		{"prb_desc_ring.descs", w},
		{"prb_desc_ring.infos", 2 * w},
		{"prb_desc_ring.head_id", 3 * w},
		{"prb_desc_ring.tail_id", 4 * w},
		{"prb_desc.state_var", 0},
		{"prb_desc.text_blk_lpos", w},
		{"prb_data_blk_lpos.begin", 0},
		{"prb_data_blk_lpos.next", w},
		{"printk_info.seq", 0},
		{"printk_info.ts_nsec", 8},
		{"printk_info.text_len", 16},
		{"printk_info.caller_id", 20},
		{"printk_info.dev_info", r.devOff},
		{"dev_printk_info.subsystem", 0},
		{"dev_printk_info.device", 16},
		{"prb_data_ring.size_bits", 0},
		{"prb_data_ring.data", w},
		{"atomic_long_t.counter", 0},
	} {
		r.offset(o.name, o.v)
	}
	for name, n := range map[string]int{
		"printk_ringbuffer": 11 * w, "prb_desc_ring": 6 * w, "prb_data_ring": 4 * w, "prb_desc": 3 * w,
		"prb_data_blk_lpos": 2 * w, "printk_info": r.infoSize, "dev_printk_info": 64, "atomic_long_t": w,
	} {
		r.machine.size(name, n)
	}
	r.info.WriteString("LENGTH(printk_info_subsystem)=16\nLENGTH(printk_info_device)=48\n")
}

// longMask is the bits of a long, idMask those of an id in it.
func (m *machine) longMask() uint64 { return 1<<(8*m.word-1)<<1 - 1 }

func (m *machine) idMask() uint64 { return m.longMask() >> 2 }

func (r *prb) setDesc(id uint64, state int, begin, next uint64) {
	v := id&r.idMask() | uint64(state)<<(8*r.word-2)
	r.put(r.descs+id%r.count*uint64(3*r.word), bytes.Join([][]byte{r.long(v), r.long(begin), r.long(next)}, nil))
}

// add writes a record with the next id.
func (r *prb) add(l line) {
	r.id = (r.id + 1) & r.idMask()
	if (r.id-r.first)&r.idMask() >= r.count {
		r.first = (r.id - r.count + 1) & r.idMask()
	}
	begin, next := l.dataless, l.dataless
	if l.dataless == 0 {
		begin, next = r.reserve(l.text)
	}
	state := l.state
	if state == 0 && !l.open {
		state = finalized
	}
	r.setDesc(r.id, state, begin, next)
	r.setInfo(l)
	r.seq++
	r.put(r.ring+uint64(3*r.word), r.long(r.id))
	r.put(r.ring+uint64(4*r.word), r.long(r.first))
}

// reserve finds room for a text and writes it. A block that does not fit into the rest of
// the ring stands at its start, as a whole, and one that is overwritten loses its
// descriptor.
func (r *prb) reserve(text string) (begin, next uint64) {
	need := uint64(r.word+len(text)+r.word-1) &^ uint64(r.word-1)
	begin, next = r.lpos, (r.lpos+need)&r.longMask()
	at := begin % r.size
	if begin/r.size != next/r.size {
		next = (next &^ (r.size - 1)) + need
		at = 0
	}
	for len(r.live) > 0 && (next-r.live[0].begin)&r.longMask() > r.size {
		r.setDesc(r.live[0].id, reusable, r.live[0].begin, r.live[0].begin)
		r.live = r.live[1:]
	}
	r.live = append(r.live, block{r.id, begin})
	r.lpos = next
	r.put(r.texts+at, append(r.long(r.id), text...))
	return begin, next
}

func (r *prb) setInfo(l line) {
	b := make([]byte, r.infoSize)
	r.order.PutUint64(b, r.seq)
	r.order.PutUint64(b[8:], l.ns)
	length := len(l.text)
	if l.length != 0 {
		length = l.length
	}
	r.order.PutUint16(b[16:], uint16(length))
	b[18], b[19] = byte(l.facility), r.levelByte(l.level)
	r.order.PutUint32(b[20:], l.caller)
	copy(b[r.devOff:], l.subsystem)
	copy(b[r.devOff+16:], l.device)
	r.put(r.infos+r.id%r.count*uint64(r.infoSize), b)
}

// levelByte is "u8 flags:5, level:3" with LOG_NEWLINE: bitfields fill from the low bits on
// little-endian machines and from the high ones on big-endian.
func (m *machine) levelByte(level int) byte {
	if m.order.Uint16([]byte{0, 1}) == 1 {
		return 2<<3 | byte(level)
	}
	return byte(level)<<5 | 2
}
