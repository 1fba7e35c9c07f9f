package dwarf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// machineState is a machine in which every register and every word has a value.
type machineState struct{}

func (machineState) Register(n int) (uint64, bool) { return uint64(n) << 32, true }

func (machineState) ReadVirt(p []byte, va uint64) (int, error) {
	for i := range p {
		p[i] = byte(va) + byte(i)
	}
	return len(p), nil
}

// TestFramesDamaged sets every byte of the call frame information to telling values: it is
// read without panic, and each error has its reason.
func TestFramesDamaged(t *testing.T) {
	file, err := os.ReadFile("../../testdata/tiny/crashkit.ko")
	if err != nil {
		t.Fatal(err)
	}
	whole := openModule(t)
	table, err := whole.Frames()
	if err != nil {
		t.Fatal(err)
	}
	from, size := whole.section(".debug_frame").elf.Offset, whole.section(".debug_frame").elf.Size
	if len(table.fde) < 15 {
		t.Fatalf("%d functions", len(table.fde))
	}
	step := uint64(1)
	if testing.Short() {
		step = 7
	}
	for at := from; at < from+size; at += step {
		for _, v := range []byte{0, 1, 0x0f, 0x16, 0x7f, 0x80, 0xff} {
			old := file[at]
			file[at] = v
			useFrames(t, file, table)
			file[at] = old
		}
	}
}

// useFrames asks for all rules that the whole file has.
func useFrames(t *testing.T, file []byte, whole *FrameTable) {
	t.Helper()
	f, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	table, err := f.Frames()
	if err != nil {
		if phys.Reason(err) == nil {
			t.Fatalf("%v has no reason", err)
		}
		return
	}
	for _, d := range whole.fde {
		fr, err := table.At(d.begin + uint64(d.size) - 1)
		var cfa uint64
		if err == nil {
			cfa, err = fr.CFA(machineState{}, machineState{})
		}
		for reg := 0; err == nil && reg < 20; reg++ {
			_, _, err = fr.Register(reg, cfa, machineState{}, machineState{})
		}
		if err != nil && phys.Reason(err) == nil {
			t.Fatalf("%v has no reason", err)
		}
	}
}

// TestEhFrame reads .eh_frame: a function whose address counts from its own place, and one
// that is a signal frame.
func TestEhFrame(t *testing.T) {
	cieOf := func(aug string) []byte {
		b := append([]byte{0, 0, 0, 0, 1}, aug...)
		b = append(b, 0, 1, 0x78, 16, 1, 0x1b) // code 1, data -8, column 16, R: from its place, 4 bytes
		return append(b, 0x0c, 7, 8, 0x90, 1)  // def_cfa rsp+8, offset rip at cfa-8
	}
	le := binary.LittleEndian
	var b []byte
	add := func(body []byte) (at int) {
		at = len(b)
		b = append(le.AppendUint32(b, uint32(len(body))), body...)
		return at
	}
	const va = 0x1000
	describe := func(cie int, addr uint64, code ...byte) {
		at := len(b) + 4
		body := le.AppendUint32(nil, uint32(at-cie))
		body = le.AppendUint32(body, uint32(addr-va-uint64(at+4)))
		add(append(append(le.AppendUint32(body, 16), 0), code...))
	}
	plain := add(cieOf("zR"))
	describe(plain, 0x8000, 0x42, 0x0e, 16, 0x86, 2) // advance 2, def_cfa_offset 16, offset rbp at cfa-16
	signal := add(cieOf("zRS"))
	describe(signal, 0x7000)
	b = append(b, 0, 0, 0, 0) // the end

	f := &File{elf: &elf.File{FileHeader: elf.FileHeader{Class: elf.ELFCLASS64, ByteOrder: le}}}
	s := &section{f: f, name: ".eh_frame", elf: &elf.Section{}, raw: bytes.NewReader(b), size: int64(len(b))}
	s.once.Do(func() {})
	table := &FrameTable{f: f, s: s, va: va, eh: true, cies: map[uint64]*cie{}}
	if err := table.index(); err != nil || len(table.fde) != 2 {
		t.Fatal(table.fde, err)
	}
	for addr, want := range map[uint64]struct {
		off    int64
		rbp    Rule
		signal bool
	}{
		0x7000: {8, Rule{}, true},
		0x8001: {8, Rule{}, false},
		0x8002: {16, Rule{Kind: RuleOffset, Offset: -16}, false},
	} {
		fr, err := table.At(addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := fr.Rule(6); fr.row.cfa.Offset != want.off || fr.row.cfa.Reg != 7 || fr.Signal != want.signal || got.Kind != want.rbp.Kind || got.Offset != want.rbp.Offset || fr.Return != 16 {
			t.Errorf("%#x: %+v", addr, fr)
		}
	}
	for _, addr := range []uint64{0, 0x6fff, 0x7010, 0x8010} {
		if _, err := table.At(addr); !errors.Is(err, ErrNoFrame) {
			t.Errorf("%#x: %v", addr, err)
		}
	}
}

// TestMachine computes expressions.
func TestMachine(t *testing.T) {
	for _, c := range []struct {
		expr []byte
		want uint64
		err  error
	}{
		{[]byte{0x76, 0x78}, 6<<32 - 8, nil},                                                 // breg6 -8
		{[]byte{0x76, 0x78, 0x94, 1}, 0xf8, nil},                                             // deref_size 1
		{[]byte{0x76, 0x10, 0x06}, 0x1716151413121110, nil},                                  // deref
		{[]byte{0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}, 7<<32 + 8, nil}, // the PLT's: rip&15 >= 11 << 3
		{[]byte{0x92, 16, 5, 0x23, 0x80, 1}, 16<<32 + 133, nil},                              // bregx 16, plus_uconst
		{[]byte{0x09, 0xfe, 0x19}, 2, nil},                                                   // const1s, abs
		{[]byte{0x0b, 0xfe, 0xff, 0x1f}, 2, nil},                                             // const2s, neg
		{[]byte{0x08, 7, 0x08, 2, 0x1b}, 3, nil},                                             // div
		{[]byte{0x35, 0x33, 0x1c, 0x12, 0x1e}, 4, nil},                                       // minus, dup, mul
		{[]byte{0x31, 0x32, 0x33, 0x17}, 2, nil},                                             // rot
		{[]byte{0x31, 0x32, 0x16, 0x13}, 2, nil},                                             // swap, drop
		{[]byte{0x31, 0x28, 1, 0, 0x20, 0x35}, 5, nil},                                       // bra over not
		{[]byte{0x35, 0x9f}, 5, nil},                                                         // stack_value
		{[]byte{0x35, 0xff}, 0, phys.ErrUnsupported},
		{[]byte{0x31, 0x30, 0x1b}, 0, phys.ErrCorrupt}, // by zero
		{[]byte{0x22}, 0, phys.ErrCorrupt},             // nothing to add
		{[]byte{0x2f, 0xfd, 0xff}, 0, phys.ErrLimit},   // skip to itself
		{[]byte{0x12}, 0, phys.ErrCorrupt},
		{[]byte{0x91, 0}, 0, phys.ErrUnsupported}, // fbreg of nothing
		{[]byte{0x50}, 0, phys.ErrUnsupported},    // reg0: a place
		{nil, 0, phys.ErrCorrupt},
	} {
		m := Machine{Regs: machineState{}, Mem: machineState{}, Order: binary.LittleEndian, PtrSize: 8}
		if got, err := m.Run(c.expr); got != c.want && err == nil || !errors.Is(err, c.err) {
			t.Errorf("% x: %#x, %v; want %#x, %v", c.expr, got, err, c.want, c.err)
		}
	}
}
