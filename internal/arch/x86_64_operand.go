package arch

// Operand is the memory that an x86_64 instruction accesses, and whether it has any: from
// its bytes and the registers before it. It knows the general instructions, in which a
// ModRM byte names the memory, and those that imply it. What it does not know is no operand.
//
//	66 F2 F3 65 …   40-4F   opcode        ModRM                 SIB                  displacement
//	| prefixes    | REX   | 1 to 3 bytes | mod:2 reg:3 rm:3 | scale:2 index:3 base:3 | 0, 1 or 4 bytes |
//
// Intel SDM volume 2, chapter 2 and appendix A.
func Operand(code []byte, pc uint64, get func(name string) (uint64, bool)) (addr uint64, ok bool) {
	d := operand{code: code, get: get}
	d.prefixes()
	modrm, size := d.opcode()
	switch {
	case d.moffs: // mov al/ax/eax/rax, [imm64] and back
		addr = d.segment + d.number(8)
	case d.implied != "":
		addr = d.register(d.implied)
	case modrm:
		addr = d.memory(pc, size)
	default:
		d.bad = true
	}
	if d.bad {
		return 0, false
	}
	return addr, true
}

type operand struct {
	code    []byte
	at      int
	get     func(string) (uint64, bool)
	rex     byte
	segment uint64
	small   bool // 66: operands of 16 bits
	moffs   bool
	implied string
	bad     bool // the bytes end, a register is not known, or there is no operand
}

func (d *operand) next() byte {
	if d.at >= len(d.code) {
		d.bad = true
		return 0
	}
	d.at++
	return d.code[d.at-1]
}

func (d *operand) number(n int) (v uint64) {
	for i := range n {
		v |= uint64(d.next()) << (8 * i)
	}
	return v
}

func (d *operand) register(name string) uint64 {
	v, ok := d.get(name)
	d.bad = d.bad || !ok
	return v
}

func (d *operand) prefixes() {
	for d.at < len(d.code) {
		switch b := d.code[d.at]; {
		case b == 0x66:
			d.small = true
		case b == 0x64:
			d.segment = d.register("fs_base")
		case b == 0x65:
			d.segment = d.register("gs_base")
		case b == 0x2e, b == 0x36, b == 0x3e, b == 0x26, b == 0xf0, b == 0xf2, b == 0xf3:
		default:
			if b&0xf0 == 0x40 {
				d.rex = b
				d.at++
			}
			return
		}
		d.at++
	}
}

// opcode reads the opcode: whether a ModRM byte follows, and how long the constant is that
// stands behind the address.
func (d *operand) opcode() (modrm bool, constant int) {
	op := d.next()
	if op == 0x0f {
		return d.opcode0F()
	}
	word := 4
	if d.small {
		word = 2
	}
	switch {
	case op < 0x40: // add, or, adc, sbb, and, sub, xor, cmp
		return op&7 < 4, 0
	case op == 0x63, op >= 0x84 && op <= 0x8e && op != 0x8d, op >= 0xd0 && op <= 0xd3, op >= 0xd8 && op <= 0xdf, op == 0xfe, op == 0xff, op == 0x8f:
		return true, 0
	case op == 0x69, op == 0x81, op == 0xc7:
		return true, word
	case op == 0x6b, op == 0x80, op == 0x83, op == 0xc0, op == 0xc1, op == 0xc6:
		return true, 1
	case op == 0xf6, op == 0xf7: // test has a constant, not, neg, mul, div have none
		if d.at < len(d.code) && d.code[d.at]>>3&7 < 2 {
			constant = 1
			if op == 0xf7 {
				constant = word
			}
		}
		return true, constant
	case op >= 0xa0 && op <= 0xa3:
		d.moffs = true
	case op == 0xa4, op == 0xa5, op == 0xa6, op == 0xa7, op == 0xac, op == 0xad:
		d.implied = "rsi"
	case op == 0xaa, op == 0xab, op == 0xae, op == 0xaf:
		d.implied = "rdi"
	case op == 0xc2, op == 0xc3, op >= 0x50 && op <= 0x5f, op == 0xc9, op == 0xcf:
		d.implied = "rsp"
	default:
		d.bad = true
	}
	return false, 0
}

// opcode0F reads the second byte of an opcode.
func (d *operand) opcode0F() (modrm bool, constant int) {
	switch op := d.next(); {
	case op == 0x38:
		d.next()
		return true, 0
	case op == 0x3a:
		d.next()
		return true, 1
	case op == 0x70, op == 0xa4, op == 0xac, op == 0xba, op == 0xc2, op == 0xc4, op == 0xc6:
		return true, 1
	case op >= 0x80 && op <= 0x8f, op == 0x05, op == 0x0b, op >= 0x30 && op <= 0x35, op == 0xa2, op >= 0xc8 && op <= 0xcf:
		d.bad = true
		return false, 0
	}
	return true, 0
}

var operandRegisters = [16]string{
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
}

// memory reads ModRM, SIB and displacement.
func (d *operand) memory(pc uint64, constant int) (addr uint64) {
	modrm := d.next()
	mod, rm := modrm>>6, modrm&7
	d.bad = d.bad || mod == 3 // a register
	relative := mod == 0 && rm == 5
	switch {
	case relative:
	case rm == 4:
		addr = d.sib(&mod)
	default:
		addr = d.register(operandRegisters[rm|d.rex&1<<3])
	}
	switch {
	case mod == 1:
		addr += uint64(int64(int8(d.next())))
	case mod == 2 || relative:
		addr += uint64(int64(int32(d.number(4))))
	}
	if relative {
		addr += pc + uint64(d.at+constant)
	}
	return d.segment + addr
}

// sib reads base, index and scale; without a base 4 bytes of displacement follow.
func (d *operand) sib(mod *byte) (addr uint64) {
	sib := d.next()
	if index := sib>>3&7 | d.rex&2<<2; index != 4 {
		addr = d.register(operandRegisters[index]) << (sib >> 6)
	}
	if base := sib & 7; base != 5 || *mod != 0 {
		return addr + d.register(operandRegisters[base|d.rex&1<<3])
	}
	*mod = 2
	return addr
}
