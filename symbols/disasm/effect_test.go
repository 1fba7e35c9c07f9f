package disasm_test

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/symbols/disasm"
)

func unhex(t *testing.T, code string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// numbered are registers whose value is 0x1000 times their number.
func numbered(name string) (uint64, bool) {
	switch i := uint64(len(name)); {
	case name == "gs_base":
		return 0xffff888000000000, true
	case name == "fs_base":
		return 0, false
	case name[0] == 'x', i == 3 && name[1] >= '0' && name[1] <= '9', i == 2 && name[0] == 'r':
		n := uint64(0)
		for _, c := range name[1:] {
			n = 10*n + uint64(c-'0')
		}
		return n * 0x1000, true
	}
	for i, r := range []string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"} {
		if r == name {
			return uint64(i) * 0x1000, true
		}
	}
	return 0, false
}

// TestAddr compares with what objdump says of the instructions.
func TestAddr(t *testing.T) {
	const pc = 0xffffffff81000000
	d, err := disasm.New("x86_64", binary.LittleEndian, disasm.ATT)
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string][]uint64{
		"48 a1 30 01 00 00 ad 4e ad de": {0xdead4ead00000130}, // movabs 0xdead4ead00000130,%rax
		"c7 00 01 00 00 00":             {0},                  // movl $1,(%rax)
		"48 8b 40 38":                   {0x38},               // mov 0x38(%rax),%rax
		"48 8b 47 f8":                   {0x6ff8},             // mov -8(%rdi),%rax
		"4c 8b a3 80 01 00 00":          {0x3180},             // mov 0x180(%rbx),%r12
		"49 89 04 24":                   {0xc000},             // mov %rax,(%r12)
		"48 8b 04 c5 00 10 00 00":       {0x1000},             // mov 0x1000(,%rax,8),%rax
		"4a 8b 44 e3 10":                {0x3000 + 0xc000*8 + 0x10},
		"48 8b 05 10 00 00 00":          {pc + 7 + 0x10},      // mov 0x10(%rip),%rax
		"c7 05 10 00 00 00 01 00 00 00": {pc + 10 + 0x10},     // movl $1,0x10(%rip)
		"65 48 8b 04 25 80 00 00 00":    {0xffff888000000080}, // mov %gs:0x80,%rax
		"0f b6 47 05":                   {0x7005},             // movzbl 5(%rdi),%eax
		"f3 48 a5":                      {0x7000, 0x6000},     // rep movsq
		"f3 48 ab":                      {0x7000},             // rep stosq
		"f0 41 0f c1 45 00":             {0xd000},             // lock xadd %eax,(%r13)
		"f6 46 08 01":                   {0x6008},             // testb $1,8(%rsi)
		"ff 50 18":                      {0x18, 0x4000 - 8},   // call *0x18(%rax)
		"0f 18 09":                      {0x1000},             // prefetcht0 (%rcx)
		"66 c7 46 02 05 00":             {0x6002},             // movw $5,2(%rsi)
		"c3":                            {0x4000},             // ret
		"55":                            {0x4000 - 8},         // push %rbp
		"48 8d 40 38":                   nil,                  // lea 0x38(%rax),%rax
		"0f 1f 44 00 00":                nil,                  // nopl 0(%rax,%rax,1)
		"0f 0b":                         nil,                  // ud2
		"48 89 c3":                      nil,                  // mov %rax,%rbx
		"0f 84 00 00 00 00":             nil,                  // je
	} {
		e := d.Effect(d.Next(unhex(t, code), pc))
		if len(e.Accesses) != len(want) {
			t.Errorf("%s: %+v, want %#x", code, e.Accesses, want)
			continue
		}
		for i, o := range e.Accesses {
			if got, ok := o.Addr(numbered); !ok || got != want[i] {
				t.Errorf("%s: %#x %v, want %#x", code, got, ok, want[i])
			}
		}
	}
	e := d.Effect(d.Next(unhex(t, "64 8b 00"), pc)) // mov %fs:(%rax),%eax
	if got, ok := e.Accesses[0].Addr(numbered); ok || got != 0 {
		t.Errorf("fs:(rax) is at %#x, though the base of fs is not known", got)
	}
}

func FuzzEffect(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 0x40, 0x38})
	f.Add([]byte{0x20, 0x04, 0x40, 0xf9})
	var ds []*disasm.Decoder
	for _, m := range []string{"x86_64", "aarch64"} {
		d, err := disasm.New(m, binary.LittleEndian, disasm.ATT)
		if err != nil {
			f.Fatal(err)
		}
		ds = append(ds, d)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		for _, d := range ds {
			for in := range d.All(code, 0x1000) {
				for _, o := range d.Effect(in).Accesses {
					if o.Kind != disasm.Memory {
						t.Errorf("%s accesses %+v", in.Text, o)
					}
				}
			}
		}
	})
}
