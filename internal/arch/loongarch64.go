package arch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// loongarch64 translates through its direct-mapped windows only; the kernel image lies
// in the cached one. Vmalloc and modules lie behind page tables that are not read.
//
// The registers are LOONGARCH_EF_ of arch/loongarch/include/uapi/asm/reg.h: r3 is the
// stack pointer, r22 the frame pointer, era the program counter.
func loongarch64() machine {
	return machine{
		info: Info{
			Name: "loongarch64", Machine: elf.EM_LOONGARCH,
			PtrSize: 8, Order: binary.LittleEndian, PageSizes: []int{16384, 4096, 65536},
		},
		regs: regLayout{
			long:  8,
			runs:  []regRun{{8, numbered("r", 32) + "orig_a0 era badv " + blanks(10)}},
			roles: roles{pc: "era", sp: "r3", fp: "r22"},
		},
		space: spaceLoongarch64,
	}
}

// The windows CSR.DMW1 and CSR.DMW0 that arch/loongarch/include/asm/addrspace.h sets
// up: the top four bits choose the window, the rest is the physical address.
//
//	0x9000000000000000  cached: kernel image and direct map
//	0x8000000000000000  uncached: input and output only, so no window of ours
const (
	loongarchCached = 0x9000000000000000
	loongarchPABits = 48
)

func spaceLoongarch64(Hints, phys.Reader) (Space, error) {
	w := window{loongarchCached, loongarchCached + 1<<loongarchPABits, loongarchCached}
	s := &space{image: w, direct: w}
	s.noTables = fmt.Errorf("page tables of loongarch64: %w", phys.ErrUnsupported)
	s.fact("direct map base", "%#x", w.start)
	return s, nil
}
