package arch

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

func TestByName(t *testing.T) {
	for uname, want := range map[string]string{
		"x86_64": "x86_64", "aarch64": "aarch64", "i586": "i686", "i686": "i686", "armv6l": "armv7l",
		"S390X": "s390x", "ppc64": "ppc64", "ppc64le": "ppc64le", "ppc": "ppc", "riscv64": "riscv64",
		"riscv32": "riscv32", "loongarch64": "loongarch64", "mips64": "mips64", "mips": "mips",
	} {
		a, err := ByName(uname)
		if err != nil || a.Info().Name != want {
			t.Errorf("%s: %v, %v", uname, a, err)
		}
	}
	if a, err := ByName("alpha"); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("alpha: %v, %v", a, err)
	}
}

func TestByMachine(t *testing.T) {
	le, be := binary.ByteOrder(binary.LittleEndian), binary.ByteOrder(binary.BigEndian)
	for _, tt := range []struct {
		machine elf.Machine
		class   elf.Class
		order   binary.ByteOrder
		want    string
	}{
		{elf.EM_X86_64, elf.ELFCLASS64, le, "x86_64"},
		{elf.EM_386, elf.ELFCLASS32, le, "i686"},
		{elf.EM_386, elf.ELFCLASS64, le, "i686"}, // QEMU, a guest that is not in long mode
		{elf.EM_AARCH64, elf.ELFCLASS64, nil, "aarch64"},
		{elf.EM_ARM, elf.ELFCLASS32, le, "armv7l"},
		{elf.EM_PPC64, elf.ELFCLASS64, le, "ppc64le"},
		{elf.EM_PPC64, elf.ELFCLASS64, be, "ppc64"},
		{elf.EM_PPC, elf.ELFCLASS32, be, "ppc"},
		{elf.EM_S390, elf.ELFCLASS64, be, "s390x"},
		{elf.EM_RISCV, elf.ELFCLASS64, le, "riscv64"},
		{elf.EM_RISCV, elf.ELFCLASS32, le, "riscv32"},
		{elf.EM_LOONGARCH, elf.ELFCLASS64, le, "loongarch64"},
		{elf.EM_MIPS, elf.ELFCLASS64, be, "mips64"},
		{elf.EM_MIPS, elf.ELFCLASS32, le, "mips"},
	} {
		a, err := ByMachine(tt.machine, tt.class, tt.order)
		if err != nil || a.Info().Name != tt.want {
			t.Errorf("%v %v %v: %v, %v, want %s", tt.machine, tt.class, tt.order, a, err, tt.want)
		}
	}
	if _, err := ByMachine(elf.EM_SPARCV9, elf.ELFCLASS64, be); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("sparc: %v", err)
	}
}

func TestByPRStatus(t *testing.T) {
	named := func(uname string) Arch { a, _ := ByName(uname); return a }
	for _, tt := range []struct {
		size, ptrSize int
		hint          string
		want          string // "" for ErrUnsupported
	}{
		{336, 8, "x86_64", "x86_64"},
		{336, 8, "s390x", "s390x"},
		{336, 8, "", ""}, // either of them
		{144, 8, "x86_64", "i686"},
		{144, 4, "", "i686"},
		{336, 8, "i686", ""},
		{148, 8, "aarch64", "armv7l"},
		{392, 8, "", "aarch64"},
		{504, 8, "ppc64le", "ppc64le"},
		{504, 8, "", "ppc64le"}, // the same layout in both byte orders
		{480, 8, "mips64", "mips64"},
		{480, 8, "", ""},
		{204, 4, "riscv64", "riscv32"},
		{337, 8, "x86_64", ""},
	} {
		var hint Arch
		if tt.hint != "" {
			hint = named(tt.hint)
		}
		a, err := ByPRStatus(tt.size, tt.ptrSize, hint)
		if tt.want == "" && !errors.Is(err, phys.ErrUnsupported) || tt.want != "" && (err != nil || a.Info().Name != tt.want) {
			t.Errorf("%d bytes, %q: %v, %v, want %q", tt.size, tt.hint, a, err, tt.want)
		}
	}
}

// TestRegistersOnly: a processor without an address space says so.
func TestRegistersOnly(t *testing.T) {
	for _, uname := range []string{"i686", "armv7l", "ppc", "riscv32", "mips64", "mips"} {
		a, err := ByName(uname)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := a.Space(Hints{}, newFakeMem()); !errors.Is(err, phys.ErrUnsupported) || s != nil {
			t.Errorf("%s: %v, %v", uname, s, err)
		}
	}
}

// TestLoongarchWindows translates the cached window and nothing else.
func TestLoongarchWindows(t *testing.T) {
	s, err := loongarch64().Space(Hints{}, newFakeMem())
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := s.Direct(0x9000000000201234); !ok || a != 0x201234 {
		t.Errorf("%#x, %t", a, ok)
	}
	if va, ok := s.Virt(0x201234); !ok || va != 0x9000000000201234 {
		t.Errorf("%#x, %t", va, ok)
	}
	if _, err := Translate(s, 0xffff800000001000); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("vmalloc: %v", err)
	}
}

// TestPPC64StextBehindMemory: a damaged symbol must not turn the image's range round.
func TestPPC64StextBehindMemory(t *testing.T) {
	h := hintsOf(65536, nil, map[string]uint64{"_stext": ppcLinear + 1<<40, "swapper_pg_dir": ppcPGD})
	h.MaxPhys = 1 << 30
	s, err := ppc64().Space(h, newFakeMem())
	if err != nil {
		t.Fatal(err)
	}
	if start, end := s.ImageRange(); start > end {
		t.Errorf("image %#x-%#x", start, end)
	}
}

// FuzzSpace gives page tables and hints that point anywhere. Whatever they say, making a
// Space and using it ends, and each failure has its reason.
func FuzzSpace(f *testing.F) {
	f.Add([]byte{0x67, 0, 0, 0, 0, 0, 0, 0}, uint64(0), uint64(0), uint8(0))
	f.Add([]byte{0x03, 0x10, 0, 0, 0, 0, 0, 0}, uint64(0x1000), uint64(0xffffffff81000000), uint8(1))
	f.Add([]byte{0x01, 0x04, 0, 0, 0, 0, 0, 0x80}, ^uint64(0), uint64(0xffffffff80000000), uint8(2))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0x10, 0x0f}, uint64(1<<63), uint64(0x100000), uint8(3))
	// A _stext that is mapped, but not where the image lies.
	f.Add([]byte("1007\x00\x000\xc30"), uint64(55), uint64(90), uint8(0))
	f.Fuzz(func(t *testing.T, pattern []byte, number, symbol uint64, pick uint8) {
		all := table()
		m := all[int(pick)%len(all)]
		h := Hints{
			PageSize: []int{4096, 16384, 65536}[int(pick)%3], MaxPhys: 1 << 30, CR3: number,
			Number: func(key string) (int64, bool) {
				if key == "VA_BITS" {
					return int64(36 + number%32), true
				}
				return int64(number), number&1 == 0
			},
			Symbol: func(string) (uint64, bool) { return symbol, symbol != 0 },
			Hex:    func(string) (uint64, bool) { return number, true },
		}
		s, err := m.Space(h, patternMem(pattern))
		if err != nil {
			if phys.Reason(err) == nil {
				t.Fatalf("%v has no reason", err)
			}
			return
		}
		use(t, s, []uint64{symbol, number, 0, ^uint64(0), 0xffff888000000000})
	})
}

// use calls everything that a Space has.
func use(t *testing.T, s Space, addrs []uint64) {
	start, end := s.ImageRange()
	if start > end {
		t.Errorf("image %#x-%#x", start, end)
	}
	for _, va := range append(addrs, start, end) {
		if a, ok := s.Direct(va); ok && s.Strip(va) == va {
			if back, ok := s.Virt(a); !ok || back != va {
				t.Errorf("Virt(Direct(%#x)) = %#x, %t", va, back, ok)
			}
		}
		if _, err := Translate(s, va); err != nil && phys.Reason(err) == nil {
			t.Errorf("%#x: %v has no reason", va, err)
		}
		w, err := s.Walk(va)
		if err == nil && w.PageSize == 0 || err != nil && phys.Reason(err) == nil {
			t.Errorf("%#x: %v, %v", va, w, err)
		}
		if _, err := s.WalkUser(phys.Addr(va), va>>8); err != nil && phys.Reason(err) == nil {
			t.Errorf("%#x: %v has no reason", va, err)
		}
	}
}

// patternMem is 1 GiB of memory that repeats a pattern.
type patternMem []byte

func (m patternMem) ReadPhys(p []byte, a phys.Addr) (int, error) {
	if a >= 1<<30 || len(m) == 0 {
		return 0, &phys.PageError{Op: "read", Span: phys.Span{Start: a, End: a + 1}, Off: -1, Err: phys.ErrHole}
	}
	for i := range p {
		p[i] = m[(uint64(a)+uint64(i))%uint64(len(m))]
	}
	return len(p), nil
}
