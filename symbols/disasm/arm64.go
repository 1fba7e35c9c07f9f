package disasm

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
)

// decodeARM64 decodes an instruction of A64: what x/arch does not know and kernels use first.
func decodeARM64(code []byte, pc uint64) (Inst, int) {
	if len(code) < 4 {
		return Inst{}, 0
	}
	word := binary.LittleEndian.Uint32(code)
	if text := lseText(word); text != "" {
		return Inst{Text: text}, 4
	}
	if text := arm64Extra(word); text != "" {
		return Inst{Text: text}, 4
	}
	in, err := arm64asm.Decode(code)
	if err != nil {
		return Inst{}, 0
	}
	out := Inst{}
	text := arm64asm.GNUSyntax(in)
	for _, a := range in.Args {
		rel, ok := a.(arm64asm.PCRel)
		if !ok {
			continue
		}
		from := pc
		if in.Op == arm64asm.ADRP {
			from &^= 0xfff
		}
		out.Target = from + uint64(int64(rel))
		out.Branch = in.Op != arm64asm.ADRP && in.Op != arm64asm.ADR && in.Op != arm64asm.LDR
		text = strings.Replace(text, strings.ToLower(rel.String()), fmt.Sprintf("%#x", out.Target), 1)
	}
	out.Text = arm64Spelling(text)
	return out, 4
}

// arm64Extra is the text of other instructions of kernels that x/arch does not know.
func arm64Extra(w uint32) string {
	switch {
	case w>>16 == 0:
		return fmt.Sprintf("%-6s #%d", "udf", w)
	case w&0xffe0001f == 0xd4000002:
		return fmt.Sprintf("%-6s #%#x", "hvc", w>>5&0xffff)
	case w&0xffe0001f == 0xd4000003:
		return fmt.Sprintf("%-6s #%#x", "smc", w>>5&0xffff)
	case w&0xfffff0ff == 0xd503409f:
		return fmt.Sprintf("%-6s tco, #%#x", "msr", w>>8&15)
	case w == 0xd50330ff:
		return "sb"
	case w == 0xd508751f:
		return "ic     iallu"
	}
	return ""
}

var closeComma = regexp.MustCompile(`,(\S)`)

// arm64Spelling puts the text of x/arch into objdump's words.
func arm64Spelling(text string) string {
	name, args, _ := strings.Cut(text, " ")
	if name == "hint" && hints[args] != "" {
		return hints[args]
	}
	if args == "" {
		return name
	}
	if name == "mrs" || name == "msr" {
		args = systemRegister.ReplaceAllStringFunc(args, func(s string) string {
			if known := systemRegisters[s]; known != "" {
				return known
			}
			return s
		})
	}
	return fmt.Sprintf("%-6s %s", name, closeComma.ReplaceAllString(args, ", $1"))
}

// hints are instructions in the space of hints: pointer authentication, landing pads,
// barriers.
var hints = map[string]string{
	"#0x6": "dgh", "#0x7": "xpaclri", "#0x8": "pacia1716", "#0xa": "pacib1716", "#0xc": "autia1716", "#0xe": "autib1716",
	"#0x10": "esb", "#0x11": "psb    csync", "#0x12": "tsb    csync", "#0x14": "csdb",
	"#0x18": "paciaz", "#0x19": "paciasp", "#0x1a": "pacibz", "#0x1b": "pacibsp",
	"#0x1c": "autiaz", "#0x1d": "autiasp", "#0x1e": "autibz", "#0x1f": "autibsp",
	"#0x20": "bti", "#0x22": "bti    c", "#0x24": "bti    j", "#0x26": "bti    jc",
}

var systemRegister = regexp.MustCompile(`\bs\d_\d_c\d+_c\d+_\d\b`)

// systemRegisters are those that kernels use most (arch/arm64/include/asm/sysreg.h), by
// their encoding.
var systemRegisters = map[string]string{
	"s3_0_c4_c1_0": "sp_el0", "s3_0_c4_c0_0": "spsr_el1", "s3_0_c4_c0_1": "elr_el1", "s3_0_c4_c2_2": "currentel",
	"s3_0_c13_c0_4": "tpidr_el1", "s3_4_c13_c0_2": "tpidr_el2", "s3_3_c13_c0_2": "tpidr_el0", "s3_3_c13_c0_3": "tpidrro_el0",
	"s3_0_c13_c0_1": "contextidr_el1",
	"s3_3_c4_c2_1":  "daif", "s3_3_c4_c2_0": "nzcv", "s3_3_c4_c4_0": "fpcr", "s3_3_c4_c4_1": "fpsr",
	"s3_0_c4_c6_0": "icc_pmr_el1", "s3_0_c1_c0_0": "sctlr_el1", "s3_0_c1_c0_1": "actlr_el1", "s3_0_c1_c0_2": "cpacr_el1",
	"s3_0_c2_c0_0": "ttbr0_el1", "s3_0_c2_c0_1": "ttbr1_el1", "s3_0_c2_c0_2": "tcr_el1",
	"s3_0_c5_c2_0": "esr_el1", "s3_0_c6_c0_0": "far_el1", "s3_0_c7_c4_0": "par_el1", "s3_0_c12_c0_0": "vbar_el1",
	"s3_0_c10_c2_0": "mair_el1", "s3_0_c10_c3_0": "amair_el1",
	"s3_0_c0_c0_0": "midr_el1", "s3_0_c0_c0_5": "mpidr_el1", "s3_0_c0_c0_6": "revidr_el1",
	"s3_3_c0_c0_1": "ctr_el0", "s3_3_c0_c0_7": "dczid_el0", "s3_1_c0_c0_1": "clidr_el1", "s3_1_c0_c0_0": "ccsidr_el1", "s3_2_c0_c0_0": "csselr_el1",
	"s3_3_c14_c0_0": "cntfrq_el0", "s3_3_c14_c0_1": "cntpct_el0", "s3_3_c14_c0_2": "cntvct_el0",
	"s3_3_c14_c2_0": "cntp_tval_el0", "s3_3_c14_c2_1": "cntp_ctl_el0", "s3_3_c14_c2_2": "cntp_cval_el0",
	"s3_3_c14_c3_0": "cntv_tval_el0", "s3_3_c14_c3_1": "cntv_ctl_el0", "s3_3_c14_c3_2": "cntv_cval_el0", "s3_0_c14_c1_0": "cntkctl_el1",
	"s2_0_c0_c2_2": "mdscr_el1", "s2_0_c1_c0_4": "oslar_el1", "s2_0_c1_c3_4": "osdlr_el1",
	"s3_3_c9_c12_0": "pmcr_el0", "s3_3_c9_c12_1": "pmcntenset_el0", "s3_3_c9_c12_2": "pmcntenclr_el0", "s3_3_c9_c12_3": "pmovsclr_el0",
	"s3_3_c9_c12_5": "pmselr_el0", "s3_3_c9_c13_0": "pmccntr_el0", "s3_3_c9_c14_0": "pmuserenr_el0",
	"s3_0_c9_c14_1": "pmintenset_el1", "s3_0_c9_c14_2": "pmintenclr_el1",
	"s3_0_c0_c4_0": "id_aa64pfr0_el1", "s3_0_c0_c4_1": "id_aa64pfr1_el1", "s3_0_c0_c5_0": "id_aa64dfr0_el1", "s3_0_c0_c5_1": "id_aa64dfr1_el1",
	"s3_0_c0_c6_0": "id_aa64isar0_el1", "s3_0_c0_c6_1": "id_aa64isar1_el1", "s3_0_c0_c6_2": "id_aa64isar2_el1",
	"s3_0_c0_c7_0": "id_aa64mmfr0_el1", "s3_0_c0_c7_1": "id_aa64mmfr1_el1", "s3_0_c0_c7_2": "id_aa64mmfr2_el1",
}

// atomics are the operations of LSE by their opcode.
var atomics = [8]string{"add", "clr", "eor", "set", "smax", "smin", "umax", "umin"}

// lseText is the text of an atomic instruction of ARMv8.1 (LSE), "" for any other. Kernels
// patch them in at boot where the CPU has them.
func lseText(w uint32) string {
	size, rs, rn, rt := w>>30, w>>16&31, w>>5&31, w&31
	width := [4]string{"b", "h", "", ""}[size]
	reg := func(n uint32) string { return arm64Register(n, size == 3) }
	base := "[" + arm64Base(rn) + "]"
	switch {
	case w&0x3fa07c00 == 0x08a07c00:
		name := "cas" + ordering(w>>22&1, w>>15&1) + width
		return fmt.Sprintf("%-6s %s, %s, %s", name, reg(rs), reg(rt), base)
	case w&0xbfa07c00 == 0x08207c00 && rs&1 == 0 && rt&1 == 0:
		pair := func(n uint32) string {
			return arm64Register(n, size == 1) + ", " + arm64Register(n+1, size == 1)
		}
		return fmt.Sprintf("%-6s %s, %s, %s", "casp"+ordering(w>>22&1, w>>15&1), pair(rs), pair(rt), base)
	case w&0x3f20fc00 == 0x38208000:
		name := "swp" + ordering(w>>23&1, w>>22&1) + width
		return fmt.Sprintf("%-6s %s, %s, %s", name, reg(rs), reg(rt), base)
	case w&0x3f208c00 == 0x38200000:
		op := atomics[w>>12&7] + ordering(w>>23&1, w>>22&1) + width
		if rt == 31 && w>>23&1 == 0 {
			return fmt.Sprintf("%-6s %s, %s", "st"+op, reg(rs), base)
		}
		return fmt.Sprintf("%-6s %s, %s, %s", "ld"+op, reg(rs), reg(rt), base)
	}
	return ""
}

// ordering is the letters for acquire and release.
func ordering(acquire, release uint32) string {
	return strings.Repeat("a", int(acquire)) + strings.Repeat("l", int(release))
}

// arm64Register names a register, 31 being zero.
func arm64Register(n uint32, wide bool) string {
	letter := "w"
	if wide {
		letter = "x"
	}
	if n == 31 {
		return letter + "zr"
	}
	return fmt.Sprintf("%s%d", letter, n)
}

// arm64Base names a register that holds an address, 31 being the stack pointer.
func arm64Base(n uint32) string {
	if n == 31 {
		return "sp"
	}
	return fmt.Sprintf("x%d", n)
}
