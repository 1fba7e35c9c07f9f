package kernel_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// byteRing writes the log of a kernel before 3.5: text goes round a ring of bytes.
func byteRing(m *machine, size int, end, chars uint32, text string) (buf uint64) {
	buf = m.pages((size + pageSize - 1) / pageSize)
	at := (int(end) - len(text)) & (size - 1)
	for i := range text {
		m.put(buf+uint64((at+i)&(size-1)), []byte{text[i]})
	}
	m.symbol("log_buf", m.object(m.long(buf)))
	m.symbol("log_buf_len", m.object(m.u32(uint32(size))))
	m.symbol("log_end", m.object(m.u32(end)))
	m.symbol("logged_chars", m.object(m.u32(chars)))
	return buf
}

// TestByteRing: the text is the last logged_chars bytes before log_end, whichever lap that
// is in.
func TestByteRing(t *testing.T) {
	const log = "<5>[    0.000000] Linux version 2.6.32\n<6>no stamp\nplain \xff\n<4>[   12.345678] the last\n"
	lap := strings.Repeat("#", 4096) + log
	tests := []struct {
		name       string
		end, chars uint32
		text, want string
	}{
		{"not wrapped", uint32(len(log)), uint32(len(log)), log, log},
		{"wrapped", 8192 + 40, 4096, lap[:4096+40], lap[40 : 4096+40]},
		{"end at a lap's end", 8192, 4096, lap[len(lap)-4096:], lap[len(lap)-4096:]},
		{"log_end past 2^32", 23, 4096, lap, lap[len(lap)-4096:]},
		{"cleared", 5000, 19, log, log[len(log)-19:]},
		{"more chars than bytes", 9000, 1 << 20, lap, lap[len(lap)-4096:]},
		{"nothing", 0, 0, "", ""},
	}
	for _, tt := range tests {
		m := newMachine(t)
		byteRing(m, 4096, tt.end, tt.chars, tt.text)
		if got, err := m.kernel().LogText(t.Context()); string(got) != tt.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// TestByteRingRecords: what a line says of itself.
func TestByteRingRecords(t *testing.T) {
	m := bareMachine(t, "ppc", binary.BigEndian, 4, 0xc0000000, 0xc0100000)
	text := "<5>[    0.000000] one\n<30>[   12.345678] two\n<6>three\n[x] four\n<>five\n<7>[99999999999.000000] six\n<8>"
	byteRing(m, 1024, uint32(len(text)), uint32(len(text)), text)
	want := []string{
		"0 0s level 5 facility 0 one", "1 12.345678s level 6 facility 3 two", "2 0s level 6 facility 0 three",
		"3 0s level -1 facility -1 [x] four", "4 0s level -1 facility -1 <>five",
		"5 0s level 7 facility 0 [99999999999.000000] six", "6 0s level 0 facility 1 ",
	}
	i := 0
	for r, err := range m.kernel().Log(t.Context()) {
		got := fmt.Sprintf("%d %v level %d facility %d %s", r.Seq, r.Since, r.Level, r.Facility, r.Text)
		if i >= len(want) || got != want[i] || err != nil {
			t.Errorf("%s, %v, want %s", got, err, want[i])
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d records, want %d", i, len(want))
	}
}

// TestByteRingFormats: a line stands as it is unless something else is asked for.
func TestByteRingFormats(t *testing.T) {
	m := newMachine(t)
	const log = "<4>[   12.345678] a line\n"
	byteRing(m, 1024, uint32(len(log)), uint32(len(log)), log)
	r := lastRecord(t, m.kernel())
	tests := []struct {
		f    kernel.Format
		want string
	}{
		{kernel.Format{}, log},
		{kernel.Format{Dict: true}, log},
		{kernel.Format{NoTime: true}, "a line\n"},
		{kernel.Format{NoTime: true, Level: true}, "<4>a line\n"},
		{kernel.Format{Caller: true}, "[   12.345678] a line\n"},
		{kernel.Format{Boot: time.Date(2011, 3, 1, 23, 59, 50, 0, time.UTC)}, "[Wed Mar  2 00:00:02 UTC 2011] a line\n"},
	}
	for _, tt := range tests {
		if got := string(tt.f.Append(nil, r)); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.f, got, tt.want)
		}
	}
}

// TestByteRingLost: a page that is not there takes its own text with it and no more.
func TestByteRingLost(t *testing.T) {
	var b strings.Builder
	for i := 0; b.Len() < 3*pageSize; i++ {
		fmt.Fprintf(&b, "<6>[%5d.000000] line\n", i)
	}
	log := b.String()
	m := newMachine(t)
	buf := byteRing(m, 1<<14, uint32(len(log)), uint32(len(log)), log)
	m.lose(buf + pageSize)
	m.exclude(buf + 3*pageSize)
	k := m.kernel()
	got, err := k.LogText(t.Context())
	if want := log[:pageSize] + log[2*pageSize:3*pageSize]; string(got) != want || phys.Reason(err) != phys.ErrLost {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
	if _, reasons := tally(t, k); reasons[phys.ErrLost] != 1 || reasons[phys.ErrExcluded] != 1 {
		t.Errorf("reasons %v", reasons)
	}
}

// TestByteRingBroken: a ring that cannot be one.
func TestByteRingBroken(t *testing.T) {
	tests := []struct {
		name string
		do   func(m *machine)
		want error
	}{
		{"no power of two", func(m *machine) { m.symbol("log_buf_len", m.object(m.u32(1000))) }, phys.ErrCorrupt},
		{"no bytes", func(m *machine) { m.symbol("log_buf_len", m.object(m.u32(0))) }, phys.ErrCorrupt},
		{"1 GiB", func(m *machine) { m.symbol("log_buf_len", m.object(m.u32(1<<30))) }, phys.ErrCorrupt},
		{"variable in a hole", func(m *machine) { m.symbol("log_end", x86Image+3<<20) }, phys.ErrHole},
		{"wild pointer", func(m *machine) { m.symbol("log_buf", m.object(m.long(0x6b6b6b6b6b6b6b6b))) }, phys.ErrUnmapped},
	}
	for _, tt := range tests {
		m := newMachine(t)
		byteRing(m, 1024, 10, 10, "0123456789")
		tt.do(m)
		if got, err := m.kernel().LogText(t.Context()); len(got) != 0 || phys.Reason(err) != tt.want {
			t.Errorf("%s: %q, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

// TestNoLog: a kernel that names none of the three.
func TestNoLog(t *testing.T) {
	_, err := newMachine(t).kernel().LogText(t.Context())
	if phys.Reason(err) != phys.ErrUnsupported || !strings.Contains(err.Error(), "no kernel log found") {
		t.Errorf("error %v", err)
	}
}
