package arch

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Regs is the registers of one CPU when it was stopped, in the order and under the
// names of the processor's user_regs_struct.
type Regs struct {
	PID int32 // pr_pid: of the task that ran, 0 for any idle task; from QEMU the CPU's number plus one

	names  []string
	values []uint64
	roles  roles
}

// roles names the registers that an unwinder starts from. fp is empty where the ABI
// has no frame pointer.
type roles struct{ pc, sp, fp string }

// Get is the value of a register by name.
func (r Regs) Get(name string) (v uint64, ok bool) {
	i := slices.Index(r.names, name)
	if i < 0 {
		return 0, false
	}
	return r.values[i], true
}

// All gives every register in order.
func (r Regs) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i, name := range r.names {
			if !yield(name, r.values[i]) {
				return
			}
		}
	}
}

// Len is the number of registers; 0 means that there are none to ask.
func (r Regs) Len() int { return len(r.names) }

// PC is the program counter.
func (r Regs) PC() uint64 { v, _ := r.Get(r.roles.pc); return v }

// SP is the stack pointer.
func (r Regs) SP() uint64 { v, _ := r.Get(r.roles.sp); return v }

// FP is the frame pointer; ok is false where the ABI has none.
func (r Regs) FP() (v uint64, ok bool) { return r.Get(r.roles.fp) }

// regRun is a run of registers of one width.
type regRun struct {
	width int
	names string // separated by blanks; "_" for a word that is no register
}

// regLayout declares the registers of an NT_PRSTATUS note once; offsets follow.
//
//	struct elf_prstatus   64-bit  32-bit
//	pr_info .. pr_sighold      0       0   signal numbers and masks, zero in a kernel dump
//	pr_pid                    32      24   s32
//	pr_ppid .. pr_cstime      36      28
//	pr_reg                   112      72   the registers: the runs below
//	pr_fpvalid                             s32, then padding to the alignment of long
//
// The authority for each layout is the processor's uapi ptrace.h. Those of x86_64 and
// arm64 were compared with notes of crashed Linux systems; those of i386, arm and riscv
// with notes that QEMU 7.2 took at reset, which show little but the size.
type regLayout struct {
	long  int // bytes of a long: 8 or 4
	runs  []regRun
	roles roles
}

// pidOff and regOff are the offsets of pr_pid and pr_reg.
func (l regLayout) pidOff() int { return 16 + 2*l.long }

func (l regLayout) regOff() int { return l.pidOff() + 4*4 + 8*l.long }

// descLen is the size of struct elf_prstatus.
func (l regLayout) descLen() int {
	end := l.regOff()
	for _, run := range l.runs {
		end += run.width * len(strings.Fields(run.names))
	}
	end += 4 // pr_fpvalid
	return (end + l.long - 1) &^ (l.long - 1)
}

func (l regLayout) equal(m regLayout) bool {
	return l.long == m.long && l.roles == m.roles && slices.Equal(l.runs, m.runs)
}

// decode reads the descriptor of an NT_PRSTATUS note.
func (l regLayout) decode(desc []byte, order binary.ByteOrder) (Regs, error) {
	if len(desc) != l.descLen() {
		return Regs{}, fmt.Errorf("NT_PRSTATUS of %d bytes, want %d: %w", len(desc), l.descLen(), phys.ErrUnsupported)
	}
	c := bin.NewCursor("elf_prstatus", desc, 0, order)
	c.Skip(l.pidOff())
	pid := int32(c.U32())
	c.Skip(l.regOff() - l.pidOff() - 4)
	r := l.read(c)
	r.PID = pid
	return r, c.Err()
}

// read takes the registers from c.
func (l regLayout) read(c *bin.Cursor) Regs {
	r := Regs{roles: l.roles}
	for _, run := range l.runs {
		for _, name := range strings.Fields(run.names) {
			v := c.Uint(run.width)
			if name == "_" {
				continue
			}
			r.names = append(r.names, name)
			r.values = append(r.values, v)
		}
	}
	return r
}

// numbered is "r0 r1 … " of n registers.
func numbered(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(prefix + strconv.Itoa(i) + " ")
	}
	return b.String()
}

// blanks is n words that are no registers.
func blanks(n int) string { return strings.Repeat("_ ", n) }
