package bin_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// sub is kdump_sub_header, whose offsets makedumpfile's compilers gave for three ABIs.
type sub struct {
	PhysBase, Level, InfoOff, InfoSize, NoteOff, Max64 uint64
	Name                                               string
}

func subLayout() bin.Layout[sub] {
	skip := func(*sub, uint64) {}
	return bin.Layout[sub]{Name: "kdump_sub_header", Fields: []bin.Field[sub]{
		{Name: "phys_base", Kind: bin.Ulong, Set: func(s *sub, v uint64) { s.PhysBase = v }},
		{Name: "dump_level", Kind: bin.U32, Since: 1, Set: func(s *sub, v uint64) { s.Level = v }},
		{Name: "split", Kind: bin.U32, Since: 2, Set: skip},
		{Name: "start_pfn", Kind: bin.Ulong, Since: 2, Set: skip},
		{Name: "end_pfn", Kind: bin.Ulong, Since: 2, Set: skip},
		{Name: "offset_vmcoreinfo", Kind: bin.U64, Since: 3, Set: func(s *sub, v uint64) { s.InfoOff = v }},
		{Name: "size_vmcoreinfo", Kind: bin.Ulong, Since: 3, Set: func(s *sub, v uint64) { s.InfoSize = v }},
		{Name: "offset_note", Kind: bin.U64, Since: 4, Set: func(s *sub, v uint64) { s.NoteOff = v }},
		{Name: "size_note", Kind: bin.Ulong, Since: 4, Set: skip},
		{Name: "offset_eraseinfo", Kind: bin.U64, Since: 5, Set: skip},
		{Name: "size_eraseinfo", Kind: bin.Ulong, Since: 5, Set: skip},
		{Name: "start_pfn_64", Kind: bin.U64, Since: 6, Set: skip},
		{Name: "end_pfn_64", Kind: bin.U64, Since: 6, Set: skip},
		{Name: "max_mapnr_64", Kind: bin.U64, Since: 6, Set: func(s *sub, v uint64) { s.Max64 = v }},
	}}
}

func abis() []bin.ABI {
	return []bin.ABI{
		{Order: binary.LittleEndian, Long: 8, Align64: 8}, // x86-64
		{Order: binary.LittleEndian, Long: 4, Align64: 4}, // i386
		{Order: binary.LittleEndian, Long: 4, Align64: 8}, // ARM
	}
}

// TestOffsets compares with what C compilers gave.
func TestOffsets(t *testing.T) {
	tests := []struct {
		name    string
		offsets [3]int
	}{
		{"phys_base", [3]int{0, 0, 0}},
		{"dump_level", [3]int{8, 4, 4}},
		{"split", [3]int{12, 8, 8}},
		{"start_pfn", [3]int{16, 12, 12}},
		{"end_pfn", [3]int{24, 16, 16}},
		{"offset_vmcoreinfo", [3]int{32, 20, 24}},
		{"size_vmcoreinfo", [3]int{40, 28, 32}},
		{"offset_note", [3]int{48, 32, 40}},
		{"size_note", [3]int{56, 40, 48}},
		{"offset_eraseinfo", [3]int{64, 44, 56}},
		{"size_eraseinfo", [3]int{72, 52, 64}},
		{"start_pfn_64", [3]int{80, 56, 72}},
		{"end_pfn_64", [3]int{88, 64, 80}},
		{"max_mapnr_64", [3]int{96, 72, 88}},
	}
	for _, tt := range tests {
		for i, abi := range abis() {
			if got, ok := subLayout().Offset(abi, 6, tt.name); got != tt.offsets[i] || !ok {
				t.Errorf("%s, long %d, align %d: %d %v, want %d", tt.name, abi.Long, abi.Align64, got, ok, tt.offsets[i])
			}
		}
	}
	if _, ok := subLayout().Offset(abis()[0], 5, "max_mapnr_64"); ok {
		t.Error("version 5 has max_mapnr_64")
	}
}

// TestSizes: sizeof grows with the version, and is padded to the widest member.
func TestSizes(t *testing.T) {
	want := [3][7]int{
		{8, 16, 32, 48, 64, 80, 104},
		{4, 8, 20, 32, 44, 56, 80},
		{4, 8, 20, 40, 56, 72, 96},
	}
	for i, abi := range abis() {
		for version, size := range want[i] {
			if got := subLayout().Size(abi, version); got != size {
				t.Errorf("long %d, align %d, version %d: %d bytes, want %d", abi.Long, abi.Align64, version, got, size)
			}
		}
	}
}

// mixed has a member of each kind, out of line on purpose.
type mixed struct {
	values []uint64
	text   string
}

func mixedLayout() bin.Layout[mixed] {
	add := func(m *mixed, v uint64) { m.values = append(m.values, v) }
	return bin.Layout[mixed]{Name: "mixed", Fields: []bin.Field[mixed]{
		{Name: "a", Kind: bin.U8, Set: add},
		{Name: "b", Kind: bin.U16, Set: add},
		{Name: "c", Kind: bin.U8, Set: add},
		{Name: "d", Kind: bin.U32, Set: add},
		{Name: "e", Kind: bin.Bytes, Len: 3, Text: func(m *mixed, b []byte) { m.text = string(b) }},
		{Name: "f", Kind: bin.U64, Set: add},
		{Name: "g", Kind: bin.Ulong, Since: 2, Set: add},
	}}
}

func TestDecode(t *testing.T) {
	b := make([]byte, 40)
	for i := range b {
		b[i] = byte(i)
	}
	copy(b[12:], "xyz")
	tests := []struct {
		order         binary.ByteOrder
		long, align   int
		version, size int
		want          string
	}{
		{binary.LittleEndian, 8, 8, 2, 32, "[0 302 4 b0a0908 1716151413121110 1f1e1d1c1b1a1918] xyz"},
		{binary.BigEndian, 8, 8, 2, 32, "[0 203 4 8090a0b 1011121314151617 18191a1b1c1d1e1f] xyz"},
		{binary.LittleEndian, 4, 4, 2, 28, "[0 302 4 b0a0908 1716151413121110 1b1a1918] xyz"},
		{binary.LittleEndian, 4, 8, 1, 24, "[0 302 4 b0a0908 1716151413121110] xyz"},
	}
	for _, tt := range tests {
		abi := bin.ABI{Order: tt.order, Long: tt.long, Align64: tt.align}
		if got := mixedLayout().Size(abi, tt.version); got != tt.size {
			t.Errorf("long %d: %d bytes, want %d", tt.long, got, tt.size)
		}
		m, err := mixedLayout().Decode(b, abi, tt.version)
		if got := fmt.Sprintf("%x %s", m.values, m.text); err != nil || got != tt.want {
			t.Errorf("%v, long %d: %s, %v, want %s", tt.order, tt.long, got, err, tt.want)
		}
	}
}

// TestDecodeCut cuts a structure at every byte: members before the cut are set, and the
// error names the first that is not there.
func TestDecodeCut(t *testing.T) {
	ends := []int{1, 4, 5, 12, 15, 24, 32}
	names := "abcdefg"
	for n := range 32 {
		m, err := mixedLayout().Decode(make([]byte, n), abis()[0], 2)
		missing := 0
		for missing < len(ends) && ends[missing] <= n {
			missing++
		}
		var de *bin.DecodeError
		if !errors.As(err, &de) || !errors.Is(err, phys.ErrLost) || de.What != "mixed."+names[missing:missing+1] {
			t.Errorf("cut at %d: %v, want member %c", n, err, names[missing])
		}
		set := len(m.values)
		if m.text != "" {
			set++
		}
		if set != missing {
			t.Errorf("cut at %d: %d members, want %d", n, set, missing)
		}
	}
}

// TestEncode: what was encoded decodes to the same, under every ABI.
func TestEncode(t *testing.T) {
	nums := map[string]uint64{"phys_base": 0x11223344, "dump_level": 31, "offset_vmcoreinfo": 1 << 40, "size_vmcoreinfo": 7, "max_mapnr_64": 1 << 33}
	want := sub{PhysBase: 0x11223344, Level: 31, InfoOff: 1 << 40, InfoSize: 7, Max64: 1 << 33}
	for _, abi := range abis() {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			abi.Order = order
			b := subLayout().Encode(abi, 6, nums, nil)
			got, err := subLayout().Decode(b, abi, 6)
			if err != nil || got != want || len(b) != subLayout().Size(abi, 6) {
				t.Errorf("%+v: %+v in %d bytes, %v", abi, got, len(b), err)
			}
		}
	}
}
