package arch

import (
	"debug/elf"
	"encoding/binary"
)

// arm has registers only. The layout is elf_gregset_t of arch/arm/include/asm/elf.h:
// the eighteen words of struct pt_regs. r11 is the frame pointer of ARM code; Thumb
// code keeps its own in r7.
func arm() machine {
	return machine{
		info: Info{
			Name: "armv7l", Machine: elf.EM_ARM,
			Aliases: []string{"arm", "armv4l", "armv4tl", "armv5tel", "armv5tejl", "armv6l", "armv8l"},
			PtrSize: 4, Order: binary.LittleEndian, PageSizes: []int{4096},
		},
		regs: regLayout{
			long: 4,
			runs: []regRun{
				{4, numbered("r", 11) + "fp ip sp lr pc cpsr orig_r0"},
			},
			roles: roles{pc: "pc", sp: "sp", fp: "fp"},
		},
	}
}
