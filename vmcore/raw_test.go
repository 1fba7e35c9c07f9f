package vmcore

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

const iomem = `00000000-00000fff : Reserved
00001000-00003fff : System RAM
  00001000-00001fff : Kernel code
    00001100-00001fff : System RAM
00008000-000087ff : System RAM
000a0000-000fffff : PCI Bus 0000:00
fed00000-fed003ff : HPET 0
`

func TestParseIomem(t *testing.T) {
	got, err := ParseIomem([]byte(iomem))
	want := []phys.Span{{Start: 0x1000, End: 0x4000}, {Start: 0x8000, End: 0x8800}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for text, why := range map[string]error{
		"":                                   phys.ErrUnsupported,
		"00000000-00000000 : System RAM\n":   phys.ErrUnsupported, // read without the right to
		"00000000-00000fff : Reserved\n":     phys.ErrUnsupported,
		"  00001000-00001fff : System RAM\n": phys.ErrUnsupported,
		"zz-00000fff : System RAM\n":         phys.ErrCorrupt,
		"00001000 : System RAM\n":            phys.ErrCorrupt,
		"00002000-00001000 : System RAM\n":   phys.ErrCorrupt,
		"0-ffffffffffffffff : System RAM\n":  phys.ErrCorrupt,
	} {
		if got, err := ParseIomem([]byte(text)); !errors.Is(err, why) || got != nil {
			t.Errorf("%q: %v, %v; want %v", text, got, err, why)
		}
	}
}

func TestRaw(t *testing.T) {
	regions, err := ParseIomem([]byte(iomem))
	if err != nil {
		t.Fatal(err)
	}
	padded := make([]byte, 0x8800)
	for _, s := range regions {
		copy(padded[s.Start:], pattern(int(s.Start), int(s.Len())))
	}
	joined := slices.Concat(pattern(0x1000, 0x3000), pattern(0x8000, 0x800))
	for _, c := range []struct {
		name, format string
		file         []byte
		pages        []want
		exact        bool
	}{
		{"padded", "raw-padded", padded, []want{{0, 0, phys.ErrHole}, {1, 4096, nil}, {3, 4096, nil}, {4, 0, phys.ErrHole}, {8, 0x800, phys.ErrHole}}, true},
		{"concatenated", "raw-concatenated", joined, []want{{0, 0, phys.ErrHole}, {1, 4096, nil}, {3, 4096, nil}, {8, 0x800, phys.ErrHole}}, true},
		{"concatenated, cut", "raw-concatenated", joined[:0x2f00], []want{{2, 4096, nil}, {3, 0xf00, phys.ErrLost}, {8, 0, phys.ErrLost}}, false},
		{"padded to a page", "raw-padded", append(padded, make([]byte, 0x800)...), []want{{1, 4096, nil}, {8, 0x800, phys.ErrHole}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, h, err := openRaw(bytes.NewReader(c.file), int64(len(c.file)), &Options{Regions: regions})
			if err != nil {
				t.Fatal(err)
			}
			checkPages(t, m, c.pages)
			checkReasons(t, m, h, nil)
			if h.Format != c.format || (len(h.Problems) == 0) != c.exact {
				t.Errorf("%+v", h)
			}
		})
	}
}

func TestRawRefused(t *testing.T) {
	r := bytes.NewReader(make([]byte, 4096))
	for _, c := range []struct {
		o   *Options
		why error
	}{
		{nil, ErrNotDump},
		{&Options{}, ErrNotDump},
		{&Options{Regions: []phys.Span{{Start: 8, End: 8}}}, phys.ErrUnsupported},
		{&Options{Regions: []phys.Span{{Start: 8, End: 1 << 63}}}, phys.ErrUnsupported},
	} {
		if _, _, err := openRaw(r, 4096, c.o); !errors.Is(err, c.why) {
			t.Errorf("%+v: %v, want %v", c.o, err, c.why)
		}
	}
}
