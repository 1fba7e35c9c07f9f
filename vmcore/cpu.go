package vmcore

import (
	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/internal/elfnote"
)

// Registers are the registers of one processor, under the names of its pt_regs.
type Registers = arch.Regs

// CPU is what the notes say of one processor: the registers it had when it stopped.
type CPU struct {
	Index int // position among the notes; the kernel skips processors that did not stop
	Regs  Registers
	State *arch.QEMUState // of an x86 guest that QEMU dumped; nil otherwise
}

// CPUs are the processors that left registers in the notes, in the notes' order. A note
// whose layout no known processor has is left out and reported in the error, beside what
// could be read.
func (d *Dump) CPUs() (cpus []CPU, err error) {
	hint, _ := d.Arch()
	qemu := 0
	for n, nerr := range d.Notes() {
		switch {
		case nerr != nil:
			return cpus, nerr
		case n.Name == "CORE" && n.Type == elfnote.TypePRStatus:
			a, aerr := arch.ByPRStatus(len(n.Desc), d.Header.PtrSize, hint)
			if aerr != nil {
				err = aerr
				continue
			}
			regs, rerr := a.Regs(n.Desc, d.Header.NoteOrder)
			if rerr != nil {
				err = rerr
				continue
			}
			cpus = append(cpus, CPU{Index: len(cpus), Regs: regs})
		case n.Name == "QEMU" && qemu < len(cpus):
			if s, serr := arch.ParseQEMU(n.Desc); serr == nil {
				cpus[qemu].State = &s
			}
			qemu++
		}
	}
	return cpus, err
}
