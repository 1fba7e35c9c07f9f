package arch

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// QEMUState is the note "QEMU", type 0, that QEMU writes for each CPU of an x86 guest
// behind the CORE notes, always little-endian (struct QEMUCPUState of target/i386/
// arch_dump.c). libvirt and Proxmox take their dumps with it.
//
//	0    version u32 = 1, size u32
//	8    rax rbx rcx rdx rsi rdi rsp rbp r8…r15 rip rflags   18 × u64
//	152  cs ds es fs gs ss ldt tr gdt idt                    10 × 24 bytes
//	392  cr0 cr1 cr2 cr3 cr4                                  5 × u64
//	432  kernel_gs_base u64                                  when size is 440
//
//	segment  0        4     8     12   16    24
//	         |selector|limit|flags|pad |base |
type QEMUState struct {
	Regs         Regs // under the names of an x86_64 NT_PRSTATUS note
	Segments     [10]QEMUSegment
	CR           [5]uint64 // CR[3] is the root of the page tables
	KernelGSBase uint64
	HasGSBase    bool // KernelGSBase is in the note
}

// QEMUSegment is a segment register or a descriptor table.
type QEMUSegment struct {
	Name                   string // "cs", … "gdt", "idt"
	Selector, Limit, Flags uint32
	Base                   uint64
}

// Segment gives a segment by name.
func (s QEMUState) Segment(name string) (QEMUSegment, bool) {
	for _, seg := range s.Segments {
		if seg.Name == name {
			return seg, true
		}
	}
	return QEMUSegment{}, false
}

const (
	qemuVersion  = 1
	qemuOldSize  = 432 // without kernel_gs_base
	qemuRegs     = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags"
	qemuSegments = "cs ds es fs gs ss ldt tr gdt idt"
)

// ParseQEMU decodes the descriptor of the note. Only the bytes that its size
// field grants are read; a version other than 1 is phys.ErrUnsupported.
func ParseQEMU(desc []byte) (QEMUState, error) {
	c := bin.NewCursor("QEMUCPUState", desc, 0, binary.LittleEndian)
	version, size := c.U32(), c.U32()
	if c.Err() == nil && (version != qemuVersion || size < qemuOldSize) {
		return QEMUState{}, fmt.Errorf("QEMU CPU state version %d of %d bytes: %w", version, size, phys.ErrUnsupported)
	}
	s := QEMUState{Regs: regLayout{
		runs:  []regRun{{8, qemuRegs}},
		roles: x86_64().regs.roles,
	}.read(c)}
	for i, name := range strings.Fields(qemuSegments) {
		seg := QEMUSegment{Name: name, Selector: c.U32(), Limit: c.U32(), Flags: c.U32()}
		c.Skip(4)
		seg.Base = c.U64()
		s.Segments[i] = seg
	}
	for i := range s.CR {
		s.CR[i] = c.U64()
	}
	if s.HasGSBase = size >= qemuOldSize+8; s.HasGSBase {
		s.KernelGSBase = c.U64()
	}
	return s, c.Err()
}
