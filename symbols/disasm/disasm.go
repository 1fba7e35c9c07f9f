// Package disasm turns machine code into text, for the architectures whose kernels kautopsy
// reads. It knows bytes and addresses only: who has symbols puts names to the targets.
//
//	disasm.go   a decoder for a machine; what an instruction is
//	x86.go      x86_64 and i386 as objdump spells them, in AT&T syntax; x86_intel.go in Intel's
//	arm64.go    arm64
//	words.go    riscv64, loongarch64, ppc64, s390x
//	effect.go   what instructions do to registers: x86_effect.go
//
// Code comes from dumps, so any bytes may come: what is no instruction is "(bad)" (".word"
// where instructions are words), and decoding goes on behind it.
package disasm

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
)

// Syntax is how x86 is spelled; other machines have one spelling.
type Syntax int

// The syntaxes of x86: of objdump and crash, and of Intel's manuals.
const (
	ATT Syntax = iota
	Intel
)

// Inst is one instruction.
type Inst struct {
	Addr   uint64
	Bytes  []byte // at least one, a part of the code that was given
	Text   string // as objdump spells it; targets are numbers
	Target uint64 // where a jump or call leads, or what memory relative to the instruction is; 0 for neither
	Branch bool   // Target is of a jump or call, and Text ends with it
	Bad    bool   // no instruction; Text says so
}

// Decoder decodes the instructions of one machine. It is safe for many goroutines.
type Decoder struct {
	decode func(code []byte, pc uint64) (Inst, int)
	unit   int // bytes of the smallest instruction, the step over what is none
	effect func(in Inst) Effect
}

// New makes a decoder for a machine as uname -m names it. An error wraps
// phys.ErrUnsupported.
func New(machine string, order binary.ByteOrder, syntax Syntax) (*Decoder, error) {
	switch machine {
	case "x86_64":
		return &Decoder{x86{64, syntax}.decode, 1, x86Effect}, nil
	case "i386", "i686":
		return &Decoder{x86{32, syntax}.decode, 1, nil}, nil
	case "aarch64", "arm64":
		return &Decoder{decodeARM64, 4, arm64Effect}, nil
	case "riscv64":
		return &Decoder{decodeRISCV, 2, nil}, nil
	case "loongarch64":
		return &Decoder{decodeLoong, 4, nil}, nil
	case "ppc64", "ppc64le":
		return &Decoder{ppc64{order}.decode, 4, nil}, nil
	case "s390x":
		return &Decoder{decodeS390, 2, nil}, nil
	}
	return nil, fmt.Errorf("machine code of %s: %w", machine, phys.ErrUnsupported)
}

// Next decodes the instruction at the begin of code, which lies at pc. It takes at least a
// byte of code that is not empty, whatever the bytes are.
func (d *Decoder) Next(code []byte, pc uint64) Inst {
	in, n := d.guarded(code, pc)
	if n <= 0 || n > len(code) {
		n = min(d.unit, len(code))
		in = Inst{Text: badText(code[:n]), Bad: true}
	}
	in.Addr, in.Bytes = pc, code[:n:n]
	return in
}

// guarded decodes by golang.org/x/arch, which makes no promise for bytes that no assembler
// wrote: if it panics, they are no instruction.
func (d *Decoder) guarded(code []byte, pc uint64) (in Inst, n int) {
	defer func() {
		if recover() != nil {
			n = 0
		}
	}()
	return d.decode(code, pc)
}

// All decodes one instruction behind the other until the code ends.
func (d *Decoder) All(code []byte, pc uint64) iter.Seq[Inst] {
	return func(yield func(Inst) bool) {
		for len(code) > 0 {
			in := d.Next(code, pc)
			if !yield(in) {
				return
			}
			code, pc = code[len(in.Bytes):], pc+uint64(len(in.Bytes))
		}
	}
}

// badText is what stands for bytes that are no instruction.
func badText(b []byte) string {
	if len(b) < 4 {
		return "(bad)"
	}
	return fmt.Sprintf(".inst  %#08x ; undefined", binary.LittleEndian.Uint32(b))
}
