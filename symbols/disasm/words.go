package disasm

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/arch/loong64/loong64asm"
	"golang.org/x/arch/ppc64/ppc64asm"
	"golang.org/x/arch/riscv64/riscv64asm"
	"golang.org/x/arch/s390x/s390xasm"
)

// These are as x/arch spells them.

func decodeRISCV(code []byte, pc uint64) (Inst, int) {
	in, err := riscv64asm.Decode(code)
	if err != nil {
		return Inst{}, 0
	}
	out := Inst{Text: riscv64asm.GNUSyntax(in)}
	switch in.Op {
	case riscv64asm.JAL, riscv64asm.BEQ, riscv64asm.BNE, riscv64asm.BLT, riscv64asm.BGE, riscv64asm.BLTU, riscv64asm.BGEU:
		out.branch(pc)
	}
	return out, in.Len
}

func decodeLoong(code []byte, pc uint64) (Inst, int) {
	in, err := loong64asm.Decode(code)
	if err != nil {
		return Inst{}, 0
	}
	out := Inst{Text: loong64asm.GNUSyntax(in)}
	for _, a := range in.Args {
		if _, ok := a.(loong64asm.OffsetSimm); ok && in.Op != loong64asm.JIRL {
			out.branch(pc)
		}
	}
	return out, 4
}

// branch makes an address of the distance with which the text ends.
func (in *Inst) branch(pc uint64) {
	i := strings.LastIndexAny(in.Text, ", ") + 1
	distance, err := strconv.ParseInt(in.Text[i:], 0, 64)
	if err != nil {
		return
	}
	in.Target, in.Branch = pc+uint64(distance), true
	in.Text = in.Text[:i] + fmt.Sprintf("%#x", in.Target)
}

// ppc64 has two byte orders.
type ppc64 struct{ order binary.ByteOrder }

func (p ppc64) decode(code []byte, pc uint64) (Inst, int) {
	in, err := ppc64asm.Decode(code, p.order)
	if err != nil || in.Op == 0 {
		return Inst{}, 0
	}
	out := Inst{Text: ppc64asm.GNUSyntax(in, pc)}
	for _, a := range in.Args {
		if rel, ok := a.(ppc64asm.PCRel); ok {
			out.Target = pc + uint64(int64(rel))
			out.Branch = strings.HasSuffix(out.Text, fmt.Sprintf("%#x", out.Target))
		}
	}
	return out, in.Len
}

func decodeS390(code []byte, pc uint64) (Inst, int) {
	in, err := s390xasm.Decode(code)
	if err != nil || in.Op == 0 {
		return Inst{}, 0
	}
	return Inst{Text: s390xasm.GNUSyntax(in, pc)}, in.Len
}
