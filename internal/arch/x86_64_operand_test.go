package arch

import (
	"encoding/hex"
	"strings"
	"testing"
)

// TestOperand compares with what objdump says of the instructions, the registers being
// 0x1000 times their number.
func TestOperand(t *testing.T) {
	get := func(name string) (uint64, bool) {
		for i, r := range operandRegisters {
			if r == name {
				return uint64(i) * 0x1000, true
			}
		}
		if name == "gs_base" {
			return 0xffff888000000000, true
		}
		return 0, false
	}
	const pc = 0xffffffff81000000
	for code, want := range map[string]uint64{
		"48 a1 30 01 00 00 ad 4e ad de": 0xdead4ead00000130, // movabs 0xdead4ead00000130,%rax
		"c7 00 01 00 00 00":             0,                  // movl $1,(%rax)
		"48 8b 40 38":                   0x38,               // mov 0x38(%rax),%rax
		"48 8b 47 f8":                   0x6ff8,             // mov -8(%rdi),%rax
		"4c 8b a3 80 01 00 00":          0x3180,             // mov 0x180(%rbx),%r12
		"49 89 04 24":                   0xc000,             // mov %rax,(%r12)
		"48 8b 04 c5 00 10 00 00":       0x1000,             // mov 0x1000(,%rax,8),%rax
		"4a 8b 44 e3 10":                0x3000 + 0xc000*8 + 0x10,
		"48 8b 05 10 00 00 00":          pc + 7 + 0x10,      // mov 0x10(%rip),%rax
		"c7 05 10 00 00 00 01 00 00 00": pc + 10 + 0x10,     // movl $1,0x10(%rip)
		"65 48 8b 04 25 80 00 00 00":    0xffff888000000080, // mov %gs:0x80,%rax
		"0f b6 47 05":                   0x7005,             // movzbl 5(%rdi),%eax
		"f3 48 a5":                      0x6000,             // rep movsq
		"f3 48 ab":                      0x7000,             // rep stosq
		"f0 41 0f c1 45 00":             0xd000,             // lock xadd %eax,(%r13)
		"f6 46 08 01":                   0x6008,             // testb $1,8(%rsi)
		"ff 50 18":                      0x18,               // call *0x18(%rax)
		"0f 18 09":                      0x1000,             // prefetcht0 (%rcx)
		"66 c7 46 02 05 00":             0x6002,             // movw $5,2(%rsi)
		"c3":                            0x4000,             // ret
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Operand(b, pc, get)
		if !ok || got != want {
			t.Errorf("%s: %#x %v, want %#x", code, got, ok, want)
		}
		for n := range b {
			Operand(b[:n], pc, get)
		}
	}
	for _, code := range []string{"", "0f 0b", "90", "48 89 c3", "e8 00 00 00 00", "0f 84 00 00 00 00", "64 8b 00", "0f"} {
		b, _ := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
		if got, ok := Operand(b, pc, get); ok {
			t.Errorf("%s: %#x", code, got)
		}
	}
}

func FuzzOperand(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 0x40, 0x38})
	f.Fuzz(func(t *testing.T, code []byte) {
		a, ok := Operand(code, 0, func(string) (uint64, bool) { return 1, true })
		if !ok && a != 0 {
			t.Errorf("% x: no operand at %#x", code, a)
		}
	})
}
