package disasm_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

func TestNext(t *testing.T) {
	for _, c := range []struct {
		machine string
		syntax  disasm.Syntax
		code    string
		want    disasm.Inst
	}{
		{"x86_64", disasm.ATT, "\xf3\x0f\x1e\xfa\x90", disasm.Inst{Text: "endbr64"}},
		{"i386", disasm.ATT, "\xf3\x0f\x1e\xfb", disasm.Inst{Text: "endbr32"}},
		{"x86_64", disasm.ATT, "\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", disasm.Inst{Text: "data16 cs nopw   0x0(%rax,%rax,1)"}},
		{"x86_64", disasm.ATT, "\xe8\xfb\x00\x00\x00", disasm.Inst{Text: "call   0x1100", Target: 0x1100, Branch: true}},
		{"x86_64", disasm.Intel, "\xe8\xfb\x00\x00\x00", disasm.Inst{Text: "call   0x1100", Target: 0x1100, Branch: true}},
		{"x86_64", disasm.ATT, "\x3e\xff\xe0", disasm.Inst{Text: "notrack jmp    *%rax"}},
		{"x86_64", disasm.ATT, "\xff\xd0", disasm.Inst{Text: "call   *%rax"}},
		{"x86_64", disasm.ATT, "\x0f\x0b", disasm.Inst{Text: "ud2"}},
		{"x86_64", disasm.ATT, "\xcc", disasm.Inst{Text: "int3"}},
		{"x86_64", disasm.ATT, "\x0f\xae\xe8", disasm.Inst{Text: "lfence"}},
		{"x86_64", disasm.ATT, "\xf3\x48\xa5", disasm.Inst{Text: "rep movsq  %ds:(%rsi),%es:(%rdi)"}},
		{"x86_64", disasm.ATT, "\xf0\x0f\xc1\x07", disasm.Inst{Text: "lock xadd   %eax,(%rdi)"}},
		{"x86_64", disasm.ATT, "\x0f\xff", disasm.Inst{Text: "(bad)", Bad: true}},
		{"x86_64", disasm.ATT, "\xe8\x00", disasm.Inst{Text: "(bad)", Bad: true}},
		{"x86_64", disasm.ATT, "\x48\x8b\x05\xf9\xff\xff\xff", disasm.Inst{Text: "mov    -0x7(%rip),%rax", Target: 0x1000}},
		{"aarch64", disasm.ATT, "\x3f\x23\x03\xd5", disasm.Inst{Text: "paciasp"}},
		{"aarch64", disasm.ATT, "\x40\x00\x00\x94", disasm.Inst{Text: "bl     0x1100", Target: 0x1100, Branch: true}},
		{"aarch64", disasm.ATT, "\xff\xff\xff\xff", disasm.Inst{Text: ".inst  0xffffffff ; undefined", Bad: true}},
		{"riscv64", disasm.ATT, "\xef\x00\x00\x10", disasm.Inst{Text: "jal 0x1100", Target: 0x1100, Branch: true}},
		{"ppc64le", disasm.ATT, "\x01\x01\x00\x48", disasm.Inst{Text: "bl 0x1100", Target: 0x1100, Branch: true}},
		{"loongarch64", disasm.ATT, "\x00\x00\x01\x54", disasm.Inst{Text: "bl 0x1100", Target: 0x1100, Branch: true}},
		{"s390x", disasm.ATT, "\x07\xfe", disasm.Inst{Text: "br %r14"}},
	} {
		d, err := disasm.New(c.machine, binary.LittleEndian, c.syntax)
		if err != nil {
			t.Fatal(err)
		}
		got := d.Next([]byte(c.code), 0x1000)
		if got.Text != c.want.Text || got.Target != c.want.Target || got.Branch != c.want.Branch || got.Bad != c.want.Bad || got.Addr != 0x1000 {
			t.Errorf("%s % x: %+v, want %+v", c.machine, c.code, got, c.want)
		}
	}
}

func TestNewUnknown(t *testing.T) {
	if _, err := disasm.New("vax", binary.LittleEndian, disasm.ATT); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("vax: %v", err)
	}
}

// FuzzAll: any bytes are told in order, each of them once.
func FuzzAll(f *testing.F) {
	f.Add([]byte("\xf3\x0f\x1e\xfa\xe8\x00\x01\x02"))
	f.Add([]byte("\x62\x69\x6f\x5f\x70\x6f\x73\x74\xc4\xe2"))
	f.Add([]byte("\x3f\x23\x03\xd5\xff"))
	f.Fuzz(func(t *testing.T, code []byte) {
		for _, machine := range []string{"x86_64", "i386", "aarch64", "riscv64", "loongarch64", "ppc64", "ppc64le", "s390x"} {
			for _, syntax := range []disasm.Syntax{disasm.ATT, disasm.Intel} {
				d, err := disasm.New(machine, binary.BigEndian, syntax)
				if err != nil {
					t.Fatal(err)
				}
				at := uint64(0xffffffff81000000)
				for in := range d.All(code, at) {
					if in.Addr != at || len(in.Bytes) == 0 || in.Text == "" {
						t.Fatalf("%s: %+v at %#x", machine, in, at)
					}
					at += uint64(len(in.Bytes))
				}
				if at != 0xffffffff81000000+uint64(len(code)) {
					t.Fatalf("%s: ends at %#x", machine, at)
				}
			}
		}
	})
}
