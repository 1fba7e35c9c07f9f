package vmcore

import (
	"debug/elf"
	"encoding/binary"

	"github.com/kautopsy/kautopsy/phys"
)

// codeBytes of memory tell in which byte order a machine ran: as much as the exception
// vectors of POWER, which lie at address 0.
const codeBytes = 64 << 10

// nopPower is the instruction that is there most.
const nopPower = 0x60000000

// findOrder corrects the byte order of a POWER machine, whose kernel chooses its own. QEMU writes
// dumps of pseries machines in big-endian headers and notes, whatever the kernel is; the
// instructions in memory tell.
func (d *Dump) findOrder() {
	d.Header.NoteOrder = d.Header.Order
	if d.Header.Order != binary.BigEndian || d.Header.PtrSize != 8 {
		return
	}
	a, err := d.findArch()
	if err != nil || a.Info().Machine != elf.EM_PPC64 {
		return
	}
	code := make([]byte, codeBytes)
	n, _ := d.ReadPhys(code, phys.Addr(0))
	little, big := 0, 0
	for b := code[:n]; len(b) >= 4; b = b[4:] {
		switch uint32(nopPower) {
		case binary.LittleEndian.Uint32(b):
			little++
		case binary.BigEndian.Uint32(b):
			big++
		}
	}
	if little > big {
		d.Header.Order, d.Header.Arch = binary.LittleEndian, "ppc64le"
	}
}
