package kernel_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// logBuf is the ring of records of 3.5 to 5.9, written as log_store does it.
type logBuf struct {
	*machine
	name        string // of the structure
	header      int    // its size: 20 with caller_id
	align       int
	buf         uint64
	size        int
	first, next int
	places      []int // where the records stand that are still there
	indexes     [2]uint64
}

// newLogBuf makes an empty ring and describes it in VMCOREINFO.
func newLogBuf(m *machine, name string, header, size int) *logBuf {
	l := &logBuf{machine: m, name: name, header: header, align: 4, size: size}
	l.buf = m.pages((size + pageSize - 1) / pageSize)
	m.symbol("log_buf", m.object(m.long(l.buf)))
	m.symbol("log_buf_len", m.object(m.u32(uint32(size))))
	l.indexes = [2]uint64{m.alloc(4), m.alloc(4)}
	m.symbol("log_first_idx", l.indexes[0])
	m.symbol("log_next_idx", l.indexes[1])
	m.size(name, header)
	for member, off := range map[string]int{"ts_nsec": 0, "len": 8, "text_len": 10, "dict_len": 12} {
		m.offset(name+"."+member, off)
	}
	return l
}

// add stores a record; dict is written as it is.
func (l *logBuf) add(n line, dict string) {
	need := (l.header + len(n.text) + len(dict) + l.align - 1) &^ (l.align - 1)
	for len(l.places) > 0 && !l.fits(need) {
		l.places = l.places[1:]
		l.first = l.next
		if len(l.places) > 0 {
			l.first = l.places[0]
		}
	}
	if l.next+need+l.header > l.size { // the mark to go on at the start
		l.put(l.buf+uint64(l.next), make([]byte, min(l.header, l.size-l.next)))
		l.next = 0
	}
	l.put(l.buf+uint64(l.next), l.record(n, dict, need))
	l.places = append(l.places, l.next)
	l.next += need
	l.setIndexes(l.first, l.next)
}

// fits is logbuf_has_space: room for the record and for a mark behind it.
func (l *logBuf) fits(need int) bool {
	free := l.first - l.next
	if l.next > l.first || len(l.places) == 0 {
		free = max(l.size-l.next, l.first)
	}
	return free >= need+l.header
}

func (l *logBuf) setIndexes(first, next int) {
	l.first, l.next = first, next
	l.put(l.indexes[0], l.u32(uint32(first)))
	l.put(l.indexes[1], l.u32(uint32(next)))
}

// record is the bytes of one record.
func (l *logBuf) record(n line, dict string, length int) []byte {
	b := make([]byte, length)
	l.order.PutUint64(b, n.ns)
	for i, v := range []int{length, len(n.text), len(dict)} {
		l.order.PutUint16(b[8+2*i:], uint16(v))
	}
	b[14], b[15] = byte(n.facility), l.levelByte(n.level)
	if l.header >= 20 {
		l.order.PutUint32(b[16:], n.caller)
	}
	copy(b[l.header:], n.text+dict)
	return b
}

// TestRecordRingForms reads one log from the structure in all its forms.
func TestRecordRingForms(t *testing.T) {
	arm := func() *machine { return bareMachine(t, "armv7l", binary.LittleEndian, 4, 0xc0000000, 0xc0100000) }
	ppc := func() *machine { return bareMachine(t, "ppc", binary.BigEndian, 4, 0xc0000000, 0xc0100000) }
	s390x := func() *machine { return bareMachine(t, "s390x", binary.BigEndian, 8, 1<<20, 2<<20) }
	tests := []struct {
		name    string
		m       *machine
		header  int
		callers [2]string
	}{
		{"log", newMachine(t), 16, [2]string{}},
		{"printk_log", newMachine(t), 16, [2]string{}},
		{"printk_log", newMachine(t), 20, [2]string{"T7", "C1"}},
		{"printk_log", arm(), 16, [2]string{}},
		{"log", s390x(), 16, [2]string{}},
		{"printk_log", ppc(), 20, [2]string{"T7", "C1"}},
	}
	for _, tt := range tests {
		l := newLogBuf(tt.m, tt.name, tt.header, 1<<14)
		l.add(line{ns: 5, level: 5, caller: 7, text: "Linux version"}, "")
		l.add(line{ns: 2e9 + 999, level: 3, facility: 3, caller: 1<<31 | 1, text: "a\nb\x00\xff"}, "SUBSYSTEM=pci\x00DEVICE=+pci:0000:00:01.0")
		l.add(line{ns: 2e9 + 1000, level: 6, text: ""}, "")
		k := tt.m.kernel()
		wantText(t, k, "[    0.000000] Linux version", "[    2.000000] a", `b\x00\xff`, "[    2.000001] ")
		want := []string{
			fmt.Sprintf("0 level 5 facility 0 caller %q []", tt.callers[0]),
			fmt.Sprintf("1 level 3 facility 3 caller %q [{SUBSYSTEM pci} {DEVICE +pci:0000:00:01.0}]", tt.callers[1]),
		}
		for r, err := range k.Log(t.Context()) {
			got := fmt.Sprintf("%d level %d facility %d caller %q %v", r.Seq, r.Level, r.Facility, r.Caller, r.Dict)
			if r.Seq < 2 && (err != nil || got != want[r.Seq]) {
				t.Errorf("%s of %d bytes on %s: %s, %v, want %s", tt.name, tt.header, tt.m.arch, got, err, want[r.Seq])
			}
		}
	}
}

// TestRecordRingCallerKey: VMCOREINFO's word on caller_id goes before the size.
func TestRecordRingCallerKey(t *testing.T) {
	m := newMachine(t)
	l := newLogBuf(m, "printk_log", 24, 1<<12)
	m.offset("printk_log.caller_id", 20)
	l.add(line{text: "x"}, "")
	m.put(l.buf+20, m.u32(1234))
	if r := lastRecord(t, m.kernel()); r.Caller != "T1234" {
		t.Errorf("caller %q", r.Caller)
	}
}

// TestRecordRingWraps: records of all lengths, round and round.
func TestRecordRingWraps(t *testing.T) {
	for _, size := range []int{512, 1000, 4096, 1 << 14} {
		for _, align := range []int{4, 8} {
			m := newMachine(t)
			l := newLogBuf(m, "printk_log", 16, size)
			l.align = align
			var all []string
			for i := range 700 {
				text := strings.Repeat("x", i%37) + fmt.Sprint(i)
				l.add(line{ns: uint64(i) * 1000, text: text}, "")
				all = append(all, fmt.Sprintf("[    0.%06d] %s", i, text))
			}
			wantText(t, m.kernel(), all[len(all)-len(l.places):]...)
		}
	}
}

// TestRecordRingEnd: where no header fits behind the last record there is no mark, and a
// ring whose indexes are equal is empty.
func TestRecordRingEnd(t *testing.T) {
	m := newMachine(t)
	l := newLogBuf(m, "log", 16, 256)
	l.put(l.buf+96, l.record(line{text: strings.Repeat("o", 136)}, "", 256-96-8))
	l.setIndexes(96, 0)
	if got := text(t, m.kernel()); got != "[    0.000000] "+strings.Repeat("o", 136)+"\n" {
		t.Errorf("log %q", got)
	}
	l.setIndexes(96, 96)
	if got := text(t, m.kernel()); got != "" {
		t.Errorf("empty ring: %q", got)
	}
}

// TestRecordRingBroken: what cannot be right is told; the walk ends, and has what
// there is.
func TestRecordRingBroken(t *testing.T) {
	tests := []struct {
		name  string
		do    func(l *logBuf)
		lines int
		want  error
	}{
		{"length beyond the ring", func(l *logBuf) { l.put(l.buf+uint64(l.places[5])+8, []byte{0xff, 0xff}) }, 19, phys.ErrCorrupt},
		{"length shorter than its text", func(l *logBuf) { l.put(l.buf+uint64(l.places[5])+8, []byte{20, 0}) }, 19, phys.ErrCorrupt},
		{"cycle", func(l *logBuf) { l.setIndexes(l.first, l.places[3]+4) }, -1, phys.ErrCorrupt},
		{"no end", func(l *logBuf) { l.setIndexes(l.first, l.size) }, -1, phys.ErrCorrupt},
		{"nothing but the mark", func(l *logBuf) { l.put(l.buf, make([]byte, 16)); l.setIndexes(0, 400) }, 0, phys.ErrCorrupt},
		{"first beyond the ring", func(l *logBuf) { l.setIndexes(l.size+4, 0) }, 0, phys.ErrCorrupt},
		{"ring of 1 GiB", func(l *logBuf) { l.symbol("log_buf_len", l.object(l.u32(1<<30))) }, 0, phys.ErrCorrupt},
		{"no ring", func(l *logBuf) { l.symbol("log_buf", l.object(l.long(x86Image+3<<20))) }, 0, phys.ErrHole},
		{"null pointer", func(l *logBuf) { l.symbol("log_buf", l.object(l.long(0))) }, 0, phys.ErrUnmapped},
		{"member outside", func(l *logBuf) { l.offset("printk_log.dict_len", 15) }, 0, phys.ErrCorrupt},
		{"no offset", func(l *logBuf) { l.info.WriteString("OFFSET(printk_log.len)=x\n") }, 0, phys.ErrUnsupported},
	}
	for _, tt := range tests {
		m := newMachine(t)
		l := newLogBuf(m, "printk_log", 16, 1024)
		for i := range 20 {
			l.add(line{text: fmt.Sprint("record ", i)}, "")
		}
		tt.do(l)
		var lines int
		var why []error
		for _, err := range m.kernel().Log(t.Context()) {
			if err == nil {
				lines++
			} else {
				why = append(why, phys.Reason(err))
			}
		}
		if tt.lines >= 0 && lines != tt.lines || lines > 60 || !slices.Equal(why, []error{tt.want}) {
			t.Errorf("%s: %d records and %v, want %d and %v", tt.name, lines, why, tt.lines, tt.want)
		}
	}
}

// TestRecordRingLost takes a page away: the walk goes on behind it.
func TestRecordRingLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		take func(m *machine, va uint64)
		want error
	}{
		{"lost", (*machine).lose, phys.ErrLost},
		{"excluded", (*machine).exclude, phys.ErrExcluded},
		{"corrupt", (*machine).corrupt, phys.ErrCorrupt},
	} {
		for _, page := range []uint64{0, 1, 3} {
			m := newMachine(t)
			l := newLogBuf(m, "printk_log", 16, 1<<14)
			for i := range 1000 { // wraps: page 1 holds the newest or the oldest
				l.add(line{ns: uint64(i) * 1000, text: fmt.Sprintf("record %0*d", i%20, i)}, "")
			}
			tt.take(m, l.buf+page*pageSize)
			lost, onPage := tallyLost(t, m.kernel(), l, tt.want, page)
			if lost > onPage+3 {
				t.Errorf("%s page %d: %d records lost, %d are on it", tt.name, page, lost, onPage)
			}
		}
	}
}

// tallyLost counts the records that did not come and those that reach into a page.
func tallyLost(t *testing.T, k *kernel.Kernel, l *logBuf, want error, page uint64) (lost, onPage int) {
	t.Helper()
	got, errs := map[string]bool{}, 0
	for r, err := range k.Log(t.Context()) {
		if err == nil {
			got[string(r.Text)] = true
		} else if errs++; phys.Reason(err) != want {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	if errs == 0 {
		t.Errorf("nothing said about page %d", page)
	}
	for i, at := range l.places {
		n := 1000 - len(l.places) + i
		text := fmt.Sprintf("record %0*d", n%20, n)
		if end := at + 16 + len(text); end > int(page)*pageSize && at < int(page+1)*pageSize {
			onPage++
		}
		if !got[text] {
			lost++
		}
	}
	return lost, onPage
}
