package disasm

import (
	"bytes"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// x86Extra are instructions without operands that kernels use and x86asm does not know:
// marks of CET, SMAP, virtual machines, enclaves, protection keys.
var x86Extra = []struct{ code, text string }{
	{"\xf3\x0f\x1e\xfa", "endbr64"},
	{"\xf3\x0f\x1e\xfb", "endbr32"},
	{"\xf3\x0f\x01\xd9", "vmgexit"},
	{"\xf3\x0f\x01\xfe", "rmpadjust"},
	{"\xf2\x0f\x01\xff", "pvalidate"},
	{"\x66\x0f\x01\xcc", "tdcall"},
	{"\x66\x0f\x01\xcf", "seamcall"},
	{"\x0f\x01\xc1", "vmcall"},
	{"\x0f\x01\xc2", "vmlaunch"},
	{"\x0f\x01\xc3", "vmresume"},
	{"\x0f\x01\xc4", "vmxoff"},
	{"\x0f\x01\xca", "clac"},
	{"\x0f\x01\xcb", "stac"},
	{"\x0f\x01\xcf", "encls"},
	{"\x0f\x01\xd7", "enclu"},
	{"\x0f\x01\xd9", "vmmcall"},
	{"\x0f\x01\xfe", "invlpgb"},
	{"\x0f\x01\xff", "tlbsync"},
	{"\x0f\x01\xdc", "stgi"},
	{"\x0f\x01\xdd", "clgi"},
	{"\x0f\x01\xe8", "serialize"},
	{"\x0f\x01\xee", "rdpkru"},
	{"\x0f\x01\xef", "wrpkru"},
	{"\xf3\x0f\x09", "wbnoinvd"},
	{"\xc4\xe2\x78\x49\xc0", "tilerelease"},
}

// onRegister are those on one register: the prefix, the opcode, and the digit in ModRM.
var onRegister = []struct {
	prefix string
	opcode byte
	digit  byte
	name   string
	wide   bool // the register is as wide as an address, whatever REX says
}{
	{"\x66", 0xae, 6, "tpause", false},
	{"\xf2", 0xae, 6, "umwait", false},
	{"\xf3", 0xae, 6, "umonitor", true},
	{"", 0xc7, 6, "rdrand", false},
	{"", 0xc7, 7, "rdseed", false},
}

// extra decodes what x86asm cannot.
func (x x86) extra(code []byte) (text string, n int) {
	for _, e := range x86Extra {
		if bytes.HasPrefix(code, []byte(e.code)) {
			return e.text, len(e.code)
		}
	}
	for _, o := range onRegister {
		rest, ok := bytes.CutPrefix(code, []byte(o.prefix))
		rex := byte(0)
		if ok && x.mode == 64 && len(rest) > 0 && rest[0]&0xf0 == 0x40 {
			rex, rest = rest[0], rest[1:]
		}
		if !ok || len(rest) < 3 || rest[0] != 0x0f || rest[1] != o.opcode || rest[2]>>3 != 0x18|o.digit {
			continue
		}
		wide := rex&8 != 0 || o.wide && x.mode == 64
		return words{"", o.name}.join(x.register(rest[2]&7|rex&1<<3, wide)), len(code) - len(rest) + 3
	}
	return "", 0
}

// register names a register by its number.
func (x x86) register(n byte, wide bool) string {
	r := x86asm.EAX + x86asm.Reg(n)
	if wide {
		r = x86asm.RAX + x86asm.Reg(n)
	}
	name := strings.ToLower(r.String())
	if !wide && n >= 8 {
		name = strings.TrimSuffix(name, "l") + "d"
	}
	if x.syntax == ATT {
		name = "%" + name
	}
	return name
}
