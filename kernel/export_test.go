package kernel

import (
	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/vmcore"
)

// Assemble is Open with a processor and an address space that the test brings: for the
// 32-bit and the big-endian machines whose tables are not what is tested.
func Assemble(d *vmcore.Dump, a arch.Arch, s arch.Space) (*Kernel, error) {
	k, err := Open(d, nil)
	if err != nil {
		return nil, err
	}
	k.arch, k.spc, k.archErr, k.spaceErr = a, s, nil, nil
	return k, nil
}
