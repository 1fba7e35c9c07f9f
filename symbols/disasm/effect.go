package disasm

// Act is what an instruction does to registers and to memory, in the words of who follows
// values through a function.
type Act uint8

// The acts. What is not one of the others is Unknown.
const (
	Unknown Act = iota // any register may change
	Nothing            // no register changes: compares, tests, fences, hints
	Move               // Dst = Src, extended where Src is narrower
	Address            // Dst = the address of Src, which is in memory
	Add                // Dst = Src + Plus, where both are registers
	Change             // Dst and Clobbers get values that are not followed
	Push               // Src goes below the stack pointer
	Pop                // Dst comes from the stack pointer on
	Call               // a function is called, which may change what the ABI allows
	Jump               // always to Inst.Target; to nobody knows where without one
	Branch             // to Inst.Target, or on
	Return             // out of the function
)

// OperandKind says what an operand is.
type OperandKind uint8

// The kinds of operands.
const (
	None OperandKind = iota
	Register
	Memory
	Constant
)

// Operand is what an instruction works on. The names of registers are those of the whole
// registers, as the kernel's pt_regs are spelled outside of it: "rax" for %al.
type Operand struct {
	Kind  OperandKind
	Size  int    // in bytes
	Part  bool   // a part of a register whose rest keeps its value: %al, %ah, %ax
	Reg   string // of a register
	Value int64  // of a constant, with its sign

	// Of memory: Segment's base + Base + Index * Scale + Disp. Disp is the whole address
	// where it is relative to the instruction.
	Segment     string // "fs" or "gs", else ""
	Base, Index string
	Scale       int
	Disp        int64
	Relative    bool // to the instruction
}

// Effect is what an instruction does, as far as it can be followed.
type Effect struct {
	Act      Act
	Dst, Src Operand
	Plus     int64
	Clobbers []string  // registers that change besides
	Accesses []Operand // the memory that it reads or writes, the stack included
	Stores   bool      // it writes to the first of Accesses
}

// Addr is where an operand in memory is, by the values of registers: the name of a segment's
// base is "gs_base". It is not to be had when one of them is not known.
func (o Operand) Addr(get func(register string) (uint64, bool)) (addr uint64, ok bool) {
	addr, ok = uint64(o.Disp), o.Kind == Memory
	add := func(register string, scale uint64) {
		if register == "" {
			return
		}
		v, known := get(register)
		addr, ok = addr+v*scale, ok && known
	}
	add(o.Base, 1)
	add(o.Index, uint64(o.Scale))
	if o.Segment != "" {
		add(o.Segment+"_base", 1)
	}
	if !ok {
		return 0, false
	}
	return addr, true
}

// Effect tells what an instruction does. It knows x86_64, and of arm64 the memory that is
// accessed and the register that is called through; on other machines, and of instructions
// that are seldom, it tells Unknown.
func (d *Decoder) Effect(in Inst) (e Effect) {
	defer func() {
		if recover() != nil { // as in guarded
			e = Effect{}
		}
	}()
	if in.Bad || d.effect == nil {
		return Effect{}
	}
	return d.effect(in)
}
