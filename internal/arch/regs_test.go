package arch

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// prstatus says where notes of real dumps have what: the size of the descriptor, and the
// offsets of the program counter, the stack pointer and one more register.
var prstatus = []struct {
	uname          string
	size           int
	pid, pc, sp    int
	name           string
	off, width, fp int // fp 0: none
	count          int
}{
	{"x86_64", 336, 32, 240, 264, "eflags", 256, 8, 144, 27},
	{"i686", 144, 24, 120, 132, "eax", 96, 4, 92, 17},
	{"aarch64", 392, 32, 368, 360, "pstate", 376, 8, 344, 34},
	{"armv7l", 148, 24, 132, 124, "cpsr", 136, 4, 116, 18},
	{"s390x", 336, 32, 120, 248, "acr15", 316, 4, 0, 35},
	{"ppc64", 504, 32, 368, 120, "link", 400, 8, 0, 44},
	{"ppc64le", 504, 32, 368, 120, "ctr", 392, 8, 0, 44},
	{"ppc", 268, 24, 200, 76, "link", 216, 4, 0, 44},
	{"riscv64", 376, 32, 112, 128, "t6", 360, 8, 176, 32},
	{"riscv32", 204, 24, 72, 80, "t6", 196, 4, 104, 32},
	{"loongarch64", 480, 32, 376, 136, "badv", 384, 8, 288, 35},
	{"mips64", 480, 32, 384, 344, "cause", 408, 8, 352, 38},
	{"mips", 256, 24, 232, 212, "cause", 244, 4, 216, 38},
}

// TestRegs decodes notes in which every byte tells its offset.
func TestRegs(t *testing.T) {
	for _, tt := range prstatus {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			desc := make([]byte, tt.size)
			for i := range desc {
				desc[i] = byte(i*7 + i>>8)
			}
			a, err := ByName(tt.uname)
			if err != nil {
				t.Fatal(err)
			}
			r, err := a.Regs(desc, order)
			if err != nil {
				t.Errorf("%s: %v", tt.uname, err)
				continue
			}
			long := a.Info().PtrSize
			at := func(off, width int) uint64 { return bin.Uint(desc[off:off+width], order) }
			named, ok := r.Get(tt.name)
			if uint64(uint32(r.PID)) != at(tt.pid, 4) || r.PC() != at(tt.pc, long) || r.SP() != at(tt.sp, long) ||
				!ok || named != at(tt.off, tt.width) || r.Len() != tt.count {
				t.Errorf("%s: pid %#x, pc %#x, sp %#x, %s %#x, %d registers",
					tt.uname, r.PID, r.PC(), r.SP(), tt.name, named, r.Len())
			}
			if fp, ok := r.FP(); ok != (tt.fp != 0) || ok && fp != at(tt.fp, long) {
				t.Errorf("%s: fp %#x, %t", tt.uname, fp, ok)
			}
		}
	}
	if len(prstatus) != len(table()) {
		t.Errorf("%d of %d processors are tested", len(prstatus), len(table()))
	}
}

func TestRegsSize(t *testing.T) {
	for _, m := range table() {
		for _, size := range []int{0, m.regs.descLen() - 1, m.regs.descLen() + 1} {
			if r, err := m.Regs(make([]byte, size), binary.LittleEndian); !errors.Is(err, phys.ErrUnsupported) || r.Len() != 0 {
				t.Errorf("%s: %d bytes: %v", m.info.Name, size, err)
			}
		}
	}
}

func TestRegsAll(t *testing.T) {
	r, err := i386().Regs(make([]byte, 144), binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, v := range r.All() {
		if v != 0 {
			t.Errorf("%s = %#x", name, v)
		}
		if names = append(names, name); name == "ds" {
			break
		}
	}
	if want := []string{"ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if _, ok := r.Get("rip"); ok {
		t.Error("i686 has a rip")
	}
}

func TestParseQEMU(t *testing.T) {
	le := binary.LittleEndian
	desc := make([]byte, 440)
	le.PutUint32(desc, 1)
	le.PutUint32(desc[4:], 440)
	for i := 8; i < len(desc); i += 8 {
		le.PutUint64(desc[i:], uint64(i)<<32|uint64(i))
	}
	s, err := ParseQEMU(desc)
	if err != nil {
		t.Fatal(err)
	}
	word := func(off uint64) uint64 { return off<<32 | off }
	if s.Regs.PC() != word(136) || s.Regs.SP() != word(56) || s.CR[3] != word(416) || s.CR[4] != word(424) {
		t.Errorf("pc %#x, sp %#x, control %#x", s.Regs.PC(), s.Regs.SP(), s.CR)
	}
	idt, ok := s.Segment("idt")
	if !ok || idt.Selector != 368 || idt.Limit != 368 || idt.Flags != 376 || idt.Base != word(384) {
		t.Errorf("idt %+v", idt)
	}
	if !s.HasGSBase || s.KernelGSBase != word(432) {
		t.Errorf("kernel_gs_base %#x", s.KernelGSBase)
	}
	le.PutUint32(desc[4:], 432)
	if s, err := ParseQEMU(desc[:432]); err != nil || s.HasGSBase {
		t.Errorf("old note: %v, %t", err, s.HasGSBase)
	}
	le.PutUint32(desc, 2)
	if _, err := ParseQEMU(desc); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("version 2: %v", err)
	}
}

// TestParseQEMUShort cuts the note at every byte.
func TestParseQEMUShort(t *testing.T) {
	desc := make([]byte, 440)
	desc[0] = 1
	binary.LittleEndian.PutUint32(desc[4:], 440)
	for n := range desc {
		var de *bin.DecodeError
		if _, err := ParseQEMU(desc[:n]); !errors.Is(err, phys.ErrCorrupt) || !errors.As(err, &de) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestParseS390Save(t *testing.T) {
	area := make([]byte, S390SaveSize)
	for i := range area {
		area[i] = byte(i*3 + i>>8)
	}
	s, err := ParseS390Save(area)
	if err != nil {
		t.Fatal(err)
	}
	u64 := func(off int) uint64 { return binary.BigEndian.Uint64(area[off-S390SaveOffset:]) }
	u32 := func(off int) uint32 { return binary.BigEndian.Uint32(area[off-S390SaveOffset:]) }
	acr, _ := s.Regs.Get("acr15")
	if s.Regs.PC() != u64(0x1308) || s.Regs.SP() != u64(0x12f8) || acr != uint64(u32(0x137c)) || s.FPR[1] != u64(0x1208) {
		t.Errorf("pc %#x, sp %#x, acr15 %#x, fpr1 %#x", s.Regs.PC(), s.Regs.SP(), acr, s.FPR[1])
	}
	if s.Prefix != u32(0x1318) || s.FPC != u32(0x131c) || s.TODWord != u32(0x1324) ||
		s.Timer != u64(0x1328) || s.ClockComparator != u64(0x1330) || s.Control[15] != u64(0x13f8) {
		t.Errorf("%+v", s)
	}
	for n := range area {
		if _, err := ParseS390Save(area[:n]); !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
