package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// text prints a log as vmcore-dmesg does; an error is a line of its own, by its reason.
func text(t testing.TB, k *kernel.Kernel) string {
	t.Helper()
	var b []byte
	for r, err := range k.Log(t.Context()) {
		if err != nil {
			b = fmt.Appendf(b, "! %v\n", phys.Reason(err))
			continue
		}
		b = kernel.Format{}.Append(b, r)
	}
	return string(b)
}

// wantText compares a log with lines.
func wantText(t *testing.T, k *kernel.Kernel, want ...string) {
	t.Helper()
	if got := text(t, k); got != strings.Join(want, "\n")+"\n" {
		t.Errorf("log\n%swant\n%s", got, strings.Join(want, "\n"))
	}
}

// numbered adds n records with texts of 40 bytes.
func numbered(r *prb, n int) {
	for i := range n {
		r.add(line{ns: uint64(i) * 1e9, text: fmt.Sprintf("%-40d", i)})
	}
}

// tailOf are the last n of the lines that numbered makes when it makes all.
func tailOf(all, n int) (lines []string) {
	for i := all - n; i < all; i++ {
		lines = append(lines, fmt.Sprintf("[%5d.000000] %-40d", i, i))
	}
	return lines
}

// TestRingbufferShapes reads one log from both layouts of printk_info, with ids that begin
// where kernels begin and where they wrap.
func TestRingbufferShapes(t *testing.T) {
	for _, shape := range []prbShape{prb510, prb7x} {
		for _, id := range []uint64{0, 0xffffefff, 0x3fffffffffffefff, 1<<62 - 3} {
			m := newMachine(t)
			r := newPRB(m, shape, 4, 12, id)
			r.add(line{ns: 1, level: 5, text: "Linux version"})
			r.add(line{ns: 12345678901, level: 3, facility: 3, caller: 77, text: "two\nlines", state: committed})
			r.add(line{ns: 12345678902, level: 6, caller: 1<<31 | 2, text: "\x01a\x00b\xc3\xbc\ttab\x7f", subsystem: "pci", device: "+pci:0000:00:01.0"})
			r.add(line{ns: 1e15, dataless: 3})
			wantText(t, m.kernel(),
				"[    0.000000] Linux version", "[   12.345678] two", "lines",
				`[   12.345678] \x01a\x00b\xc3\xbc`+"\t"+`tab\x7f`, "[1000000.000000] ")
		}
	}
}

// TestRingbufferFields: what a record says besides its text.
func TestRingbufferFields(t *testing.T) {
	for _, shape := range []prbShape{prb510, prb7x} {
		m := newMachine(t)
		r := newPRB(m, shape, 4, 12, 0)
		r.seq = 41
		r.add(line{ns: 12, level: 6, facility: 3, caller: 1<<31 | 2, text: "x", subsystem: "pci", device: "+pci:0000:00:01.0"})
		r.add(line{ns: 13, level: 1, caller: 9, text: "y"})
		var got []kernel.Record
		for rec, err := range m.kernel().Log(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			rec.Text = slices.Clone(rec.Text)
			got = append(got, rec)
		}
		want := []kernel.Record{
			{Seq: 41, Since: 12, Level: 6, Facility: 3, Caller: "C2", Text: []byte("x"), Dict: []kernel.Property{
				{Key: "SUBSYSTEM", Value: "pci"}, {Key: "DEVICE", Value: "+pci:0000:00:01.0"},
			}},
			{Seq: 42, Since: 13, Level: 1, Caller: "T9", Text: []byte("y")},
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("info of %d bytes:\n%+v\nwant\n%+v", shape.infoSize, got, want)
		}
	}
}

// TestRingbufferWraps fills the ring of texts and that of descriptors several times over.
func TestRingbufferWraps(t *testing.T) {
	tests := []struct {
		name             string
		countBits, bits  uint32
		records, survive int
	}{
		{"neither", 6, 12, 10, 10},
		{"texts", 8, 12, 100, 85},       // blocks of 48 bytes, 85 to a lap
		{"descriptors", 4, 16, 100, 16}, // as many as there are descriptors
		{"both", 5, 10, 1000, 21},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			numbered(newPRB(m, prb510, tt.countBits, tt.bits, 1<<62-50), tt.records)
			wantText(t, m.kernel(), tailOf(tt.records, tt.survive)...)
		})
	}
}

// TestRingbufferABIs: 30 bits of id on 32-bit machines, the level in the other bits of its
// byte on big-endian ones.
func TestRingbufferABIs(t *testing.T) {
	for _, tt := range []struct {
		arch string
		m    *machine
	}{
		{"arm", bareMachine(t, "armv7l", binary.LittleEndian, 4, 0xc0000000, 0xc0100000)},
		{"ppc", bareMachine(t, "ppc", binary.BigEndian, 4, 0xc0000000, 0xc0100000)},
		{"s390x", bareMachine(t, "s390x", binary.BigEndian, 8, 1<<20, 2<<20)},
	} {
		r := newPRB(tt.m, prb510, 4, 10, 1<<30-5)
		numbered(r, 60)
		r.add(line{ns: 3, level: 5, text: "the last"})
		k := tt.m.kernel()
		if got := text(t, k); !strings.HasSuffix(got, "\n[   59.000000] 59"+strings.Repeat(" ", 38)+"\n[    0.000000] the last\n") || strings.Contains(got, "!") {
			t.Errorf("%s: log\n%s", tt.arch, got)
		}
		if last := lastRecord(t, k); last.Level != 5 || last.Seq != 60 {
			t.Errorf("%s: last record %+v", tt.arch, last)
		}
	}
}

func lastRecord(t *testing.T, k *kernel.Kernel) (last kernel.Record) {
	t.Helper()
	for rec, err := range k.Log(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		last = rec
	}
	return last
}

// TestRingbufferStates: descriptors that hold no record are passed over, those without
// data are empty lines, and the length of a text is bounded by its block.
func TestRingbufferStates(t *testing.T) {
	m := newMachine(t)
	r := newPRB(m, prb510, 4, 12, 0)
	r.add(line{text: "being written", open: true})
	r.add(line{text: "no newline yet", state: committed})
	r.add(line{text: "gone", state: reusable})
	r.add(line{text: "lost", dataless: 1})
	r.add(line{dataless: 3})
	r.add(line{text: "clamped", length: 500})
	r.add(line{text: "recycled"})
	r.setDesc(r.id+r.count, finalized, 0, 64)
	r.add(line{text: ""})
	r.add(line{text: "last"})
	wantText(t, m.kernel(), "[    0.000000] no newline yet", "[    0.000000] ", "[    0.000000] ",
		`[    0.000000] clamped\x00`, "[    0.000000] ", "[    0.000000] last")
}

// TestRingbufferExactEnd: a block that ends where the ring does stands there since
// 6.19; before, it went to the start.
func TestRingbufferExactEnd(t *testing.T) {
	m := newMachine(t)
	r := newPRB(m, prb510, 4, 9, 0)
	r.add(line{text: strings.Repeat("a", 512-64-8)})
	begin := r.lpos
	r.add(line{text: "moved by hand"})
	r.setDesc(r.id, finalized, begin, begin+64)
	r.put(r.texts+512-64, append(m.long(r.id), "ends with it."...))
	if got := text(t, m.kernel()); !strings.HasSuffix(got, "\n[    0.000000] ends with it.\n") {
		t.Errorf("log\n%s", got)
	}
}

// TestRingbufferLost takes pages away: the records on the others still come, and those
// that cannot say why.
func TestRingbufferLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		take func(m *machine, va uint64)
		want error
	}{
		{"lost", (*machine).lose, phys.ErrLost},
		{"excluded", (*machine).exclude, phys.ErrExcluded},
		{"corrupt", (*machine).corrupt, phys.ErrCorrupt},
	} {
		m := newMachine(t)
		r := newPRB(m, prb510, 8, 14, 0)
		numbered(r, 256)
		places := map[string]uint64{"text": r.texts + pageSize, "info": r.infos + pageSize, "descriptor": r.descs + pageSize}
		for place, va := range places {
			kept := m.image
			m.image.Pages = clonePages(kept)
			tt.take(m, va)
			lines, reasons := tally(t, m.kernel())
			m.image = kept
			if lines < 150 || reasons[tt.want] == 0 || len(reasons) != 1 || lines+reasons[tt.want] != 256 {
				t.Errorf("%s %s: %d records, %v", tt.name, place, lines, reasons)
			}
		}
	}
}

// tally counts the records of a log, and the reasons of those that cannot be read.
func tally(t *testing.T, k *kernel.Kernel) (lines int, reasons map[error]int) {
	reasons = map[error]int{}
	for _, err := range k.Log(t.Context()) {
		if err == nil {
			lines++
			continue
		}
		reasons[phys.Reason(err)]++
		var ve *kernel.VirtError
		if !errors.As(err, &ve) {
			t.Errorf("error %v does not say where", err)
		}
	}
	return lines, reasons
}

// TestRingbufferBroken: heads that cannot be right are told, and end the walk at once.
func TestRingbufferBroken(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *prb)
		want error
	}{
		{"no ring at prb", func(r *prb) { r.symbol("prb", r.object(r.long(x86Image+3<<20))) }, phys.ErrHole},
		{"tail far behind head", func(r *prb) { r.put(r.ring+32, r.long(5)) }, phys.ErrCorrupt},
		{"2^60 descriptors", func(r *prb) { r.put(r.ring, r.u32(60)) }, phys.ErrCorrupt},
		{"2^40 bytes", func(r *prb) { r.put(r.ring+48, r.u32(40)) }, phys.ErrCorrupt},
		{"member beyond its structure", func(r *prb) { r.offset("printk_info.dev_info", 80) }, phys.ErrCorrupt},
		{"negative offset", func(r *prb) { r.offset("prb_desc.state_var", -8) }, phys.ErrUnsupported},
		{"no size", func(r *prb) { r.info.WriteString("SIZE(printk_info)=\n") }, phys.ErrUnsupported},
		{"no space for records", func(r *prb) { r.machine.size("printk_info", 0) }, phys.ErrCorrupt},
	}
	for _, tt := range tests {
		m := newMachine(t)
		r := newPRB(m, prb510, 3, 10, 1000)
		numbered(r, 20)
		tt.do(r)
		n := 0
		for rec, err := range m.kernel().Log(t.Context()) {
			if n++; phys.Reason(err) != tt.want || n > 1 {
				t.Errorf("%s: record %+v, %v, want %v", tt.name, rec, err, tt.want)
			}
		}
	}
}

// TestRingbufferWrongBlock: a descriptor that points at another record's block is not
// believed.
func TestRingbufferWrongBlock(t *testing.T) {
	m := newMachine(t)
	r := newPRB(m, prb510, 4, 12, 0)
	numbered(r, 3)
	r.setDesc(2, finalized, r.live[0].begin, r.live[1].begin)
	wantText(t, m.kernel(), tailOf(3, 3)[0], "! corrupt", tailOf(3, 3)[2])
}

// TestLogStops: a walk ends with its loop and with its context.
func TestLogStops(t *testing.T) {
	m := newMachine(t)
	numbered(newPRB(m, prb510, 4, 12, 0), 9)
	k := m.kernel()
	n := 0
	for range k.Log(t.Context()) {
		if n++; n == 4 {
			break
		}
	}
	ctx, cancel := contextAfter(t)
	for _, err := range k.Log(ctx) {
		if n++; n == 6 {
			cancel()
		}
		if n > 6 && !errors.Is(err, ctx.Err()) {
			t.Errorf("behind the end of the context: %v", err)
		}
	}
	if n != 7 {
		t.Errorf("%d steps, want 7", n)
	}
	if since := lastRecord(t, k).Since; since != 8*time.Second {
		t.Errorf("last record at %v", since)
	}
}
