package arch

import (
	"debug/elf"
	"encoding/binary"
)

// i386 has registers only. The layout is struct user_regs_struct of
// arch/x86/include/asm/user_32.h; segment registers take a long each.
func i386() machine {
	return machine{
		info: Info{
			Name: "i686", Aliases: []string{"i386", "i486", "i586"}, Machine: elf.EM_386,
			PtrSize: 4, Order: binary.LittleEndian, PageSizes: []int{4096},
		},
		regs: regLayout{
			long: 4,
			runs: []regRun{
				{4, "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss"},
			},
			roles: roles{pc: "eip", sp: "esp", fp: "ebp"},
		},
	}
}
