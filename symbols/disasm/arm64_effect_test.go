package disasm_test

import (
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// TestAddrARM64: what binutils' assembler makes of the instructions behind the words.
func TestAddrARM64(t *testing.T) {
	d, err := disasm.New("aarch64", binary.LittleEndian, disasm.ATT)
	if err != nil {
		t.Fatal(err)
	}
	const none = ^uint64(0)
	for _, c := range []struct {
		word, at uint64
		size     int
		stores   bool
	}{
		{0xf9401420, 0x1028, 8, false},            // ldr x0, [x1, #40]
		{0xb9000462, 0x3004, 4, true},             // str w2, [x3, #4]
		{0x394000e0, 0x7000, 1, false},            // ldrb w0, [x7]
		{0xb9800c60, 0x300c, 4, false},            // ldrsw x0, [x3, #12]
		{0xf85f8040, 0x1ff8, 8, false},            // ldur x0, [x2, #-8]
		{0xf8408820, 0x1008, 8, false},            // ldtr x0, [x1, #8]
		{0xf8410480, 0x4000, 8, false},            // ldr x0, [x4], #16
		{0xf81f0ca0, 0x4ff0, 8, true},             // str x0, [x5, #-16]!
		{0xf8627820, 0x1000 + 8*0x2000, 8, false}, // ldr x0, [x1, x2, lsl #3]
		{0xb8626820, 0x3000, 4, false},            // ldr w0, [x1, x2]
		{0xb8625820, none, 0, false},              // ldr w0, [x1, w2, uxtw #2]: its index is not in pt_regs
		{0xa9be78dd, 0x5fe0, 16, true},            // stp x29, x30, [x6, #-32]!
		{0xa8c278dd, 0x6000, 16, false},           // ldp x29, x30, [x6], #32
		{0x29410921, 0x9008, 8, false},            // ldp w1, w2, [x9, #8]
		{0x69410921, 0x9008, 8, false},            // ldpsw x1, x2, [x9, #8]
		{0xc85f7d40, 0xa000, 8, false},            // ldxr x0, [x10]
		{0xc801fd40, 0xa000, 8, true},             // stlxr w1, x0, [x10]
		{0x88dffd60, 0xb000, 4, false},            // ldar w0, [x11]
		{0xc8200901, 0x8000, 16, true},            // stxp w0, x1, x2, [x8]
		{0xc8e1fc62, 0x3000, 8, true},             // casal x1, x2, [x3]
		{0x48207ce2, 0x7000, 16, true},            // casp x0, x1, x2, x3, [x7]
		{0xb8210082, 0x4000, 4, true},             // ldadd w1, w2, [x4]
		{0xf82130bf, 0x5000, 8, true},             // stset x1, [x5]
		{0xf82180c2, 0x6000, 8, true},             // swp x1, x2, [x6]
		{0x3dc00980, 0xc020, 16, false},           // ldr q0, [x12, #32]
		{0xad020580, 0xc040, 32, true},            // stp q0, q1, [x12, #64]
		{0x58000080, 0x10010, 8, false},           // ldr x0, .+16
		{0xf9802020, none, 0, false},              // prfm pldl1keep, [x1, #64]: it never faults
		{0xf8a26820, none, 0, false},              // prfm pldl1keep, [x1, x2]
		{0x91001020, none, 0, false},              // add x0, x1, #4
		{0xd503201f, none, 0, false},              // nop
	} {
		in := d.Next(binary.LittleEndian.AppendUint32(nil, uint32(c.word)), 0x10000)
		e := d.Effect(in)
		if c.at == none {
			if len(e.Accesses) > 0 {
				t.Errorf("%s accesses %+v", in.Text, e.Accesses)
			}
			continue
		}
		if len(e.Accesses) != 1 || e.Accesses[0].Size != c.size || e.Stores != c.stores {
			t.Errorf("%s: %+v, stores: %v", in.Text, e.Accesses, e.Stores)
		} else if at, ok := e.Accesses[0].Addr(numbered); !ok || at != c.at {
			t.Errorf("%s: at %#x, not %#x", in.Text, at, c.at)
		}
	}
	if e := d.Effect(d.Next([]byte{0x00, 0x01, 0x3f, 0xd6}, 0)); e.Act != disasm.Call || e.Src.Reg != "x8" {
		t.Errorf("blr x8: %+v", e)
	}
}

// inBrackets is the address in the text of a load or store: base, displacement or index, its
// shift, and what comes behind it.
var inBrackets = regexp.MustCompile(`\[(\w+)(?:, #(-?\w+)|, (x\w+)(?:, lsl #(\d+))?)?\]`)

// TestEffectText compares with the text of every load and store of a distribution's kernel,
// which other tests compare with objdump's.
func TestEffectText(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if g.Name != "arm64" {
			return
		}
		d, err := disasm.New("aarch64", binary.LittleEndian, disasm.ATT)
		if err != nil {
			t.Fatal(err)
		}
		code, _ := objdumpARM64.functions(t, g.Kernel, 2000)
		loads, others := 0, 0
		for in := range d.All(code, 0) {
			accesses := d.Effect(in).Accesses
			m := inBrackets.FindStringSubmatch(in.Text)
			switch {
			case m == nil || strings.HasPrefix(in.Text, "prf"):
				if others++; len(accesses) > 0 && !accesses[0].Relative {
					t.Errorf("%s accesses %+v", in.Text, accesses)
				}
				continue
			case len(accesses) != 1:
				t.Errorf("%s accesses %+v", in.Text, accesses)
				continue
			}
			loads++
			if o := accesses[0]; o.Base != m[1] || o.Disp != number(m[2]) || o.Index != m[3] || o.Index != "" && int64(o.Scale) != 1<<number(m[4]) {
				t.Errorf("%s accesses %+v", in.Text, o)
			}
		}
		t.Logf("%d loads and stores, %d other instructions", loads, others)
		if loads < 10000 {
			t.Error("too few")
		}
	})
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 0, 64)
	return n
}
