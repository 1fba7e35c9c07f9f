package arch

import "debug/elf"

// mips64 and mips have registers only, in either byte order. The layouts are the
// MIPS64_EF_ and MIPS32_EF_ offsets of arch/mips/include/uapi/asm/reg.h: the 32-bit
// one begins with six words that the o32 ABI keeps for arguments. r29 is the stack
// pointer, r30 the frame pointer, r31 the return address.
func mips64() machine {
	return machine{
		info: Info{
			Name: "mips64", Aliases: []string{"mips64el"}, Machine: elf.EM_MIPS,
			PtrSize: 8, PageSizes: []int{16384, 4096, 65536},
		},
		regs: regLayout{
			long:  8,
			runs:  []regRun{{8, numbered("r", 32) + mipsControl + blanks(7)}},
			roles: mipsRoles(),
		},
	}
}

func mips() machine {
	return machine{
		info: Info{
			Name: "mips", Aliases: []string{"mipsel"}, Machine: elf.EM_MIPS,
			PtrSize: 4, PageSizes: []int{4096, 16384, 65536},
		},
		regs: regLayout{
			long:  4,
			runs:  []regRun{{4, blanks(6) + numbered("r", 32) + mipsControl + "_"}},
			roles: mipsRoles(),
		},
	}
}

const mipsControl = "lo hi epc badvaddr status cause "

func mipsRoles() roles { return roles{pc: "epc", sp: "r29", fp: "r30"} }
