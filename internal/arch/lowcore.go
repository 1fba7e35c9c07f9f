package arch

import (
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
)

// Where a stand-alone dump of s390x has the registers of a CPU: the machine stores them
// in the prefix area (lowcore) of the CPU when it is stopped (z/Architecture Principles
// of Operation, "store status"; struct lowcore of arch/s390/include/asm/lowcore.h).
//
//	prefix + 0x1200  fpr0..15        + 0x1318  prefix     + 0x1328  CPU timer
//	       + 0x1280  gpr0..15        + 0x131c  fpc        + 0x1330  clock comparator
//	       + 0x1300  psw             + 0x1324  TOD word   + 0x1340  acr0..15
//	                                                      + 0x1380  cr0..15, to 0x1400
const (
	S390SaveOffset = 0x1200 // of the save area in the prefix area
	S390SaveSize   = 0x200
)

// S390Save is what a CPU of s390x stored when it was stopped. The names of Regs are
// those of its NT_PRSTATUS note.
type S390Save struct {
	Regs            Regs
	FPR             [16]uint64
	Control         [16]uint64 // control registers; 13 has the page tables of the process
	Prefix          uint32     // physical address of the prefix area
	FPC             uint32
	TODWord         uint32 // TOD programmable register
	Timer           uint64
	ClockComparator uint64
}

// s390SaveLayout is the one declaration of the save area.
var s390SaveLayout = []struct {
	run regRun
	set func(s *S390Save, i int, v uint64) // nil: one of the general registers
}{
	{regRun{8, numbered("fpr", 16)}, func(s *S390Save, i int, v uint64) { s.FPR[i] = v }},
	{regRun{8, numbered("gpr", 16)}, nil},
	{regRun{8, "psw_mask psw_addr"}, nil},
	{regRun{4, "_ _"}, nil},
	{regRun{4, "prefix"}, func(s *S390Save, _ int, v uint64) { s.Prefix = uint32(v) }},
	{regRun{4, "fpc"}, func(s *S390Save, _ int, v uint64) { s.FPC = uint32(v) }},
	{regRun{4, "_"}, nil},
	{regRun{4, "tod"}, func(s *S390Save, _ int, v uint64) { s.TODWord = uint32(v) }},
	{regRun{8, "timer"}, func(s *S390Save, _ int, v uint64) { s.Timer = v }},
	{regRun{8, "clock"}, func(s *S390Save, _ int, v uint64) { s.ClockComparator = v }},
	{regRun{8, "_"}, nil},
	{regRun{4, numbered("acr", 16)}, nil},
	{regRun{8, numbered("cr", 16)}, func(s *S390Save, i int, v uint64) { s.Control[i] = v }},
}

// ParseS390Save decodes the S390SaveSize bytes at S390SaveOffset of a prefix area.
func ParseS390Save(b []byte) (S390Save, error) {
	s := S390Save{Regs: Regs{roles: s390x().regs.roles}}
	c := bin.NewCursor("lowcore save area", b, S390SaveOffset, binary.BigEndian)
	for _, part := range s390SaveLayout {
		r := regLayout{runs: []regRun{part.run}}.read(c)
		if part.set == nil {
			s.Regs.names = append(s.Regs.names, r.names...)
			s.Regs.values = append(s.Regs.values, r.values...)
			continue
		}
		for i, v := range r.values {
			part.set(&s, i, v)
		}
	}
	if err := c.Err(); err != nil {
		return S390Save{}, fmt.Errorf("s390x registers: %w", err)
	}
	return s, nil
}
