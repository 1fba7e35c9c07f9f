package kernel_test

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestStackCorpusARM64: QEMU stopped one processor in panic's endless loop, the other where
// an interrupt from the first had come out of a process.
func TestStackCorpusARM64(t *testing.T) {
	dir := filepath.Join(dumptest.Corpus(t), "arm64")
	k := openKernel(t, corpusDump(t, filepath.Join(dir, "vmcore.elf")))
	stacks := cpuStacks(t, k)
	for i, kind := range []kernel.FrameKind{kernel.FrameSyscall, kernel.FrameIRQ} {
		frames := stacks[i].Frames
		if last := frames[len(frames)-1]; last.Kind != kind || !stacks[i].Complete {
			t.Errorf("CPU %d ends with %q, %v", i, spell(last), stacks[i].Why)
		}
	}
	log, err := k.LogText(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, trace, _ := strings.Cut(string(log), "] Call trace:\n")
	_, trace, _ = strings.Cut(trace, "  panic+")
	want := regexp.MustCompile(`(?m)\] {2}(\S+)\+0x`).FindAllStringSubmatch(trace, -1)
	var got []string
	for _, f := range stacks[0].Frames {
		if f.Symbol.Name == "panic" {
			got = nil
			continue
		}
		got = append(got, f.Symbol.Name)
	}
	// The kernel names the symbol behind a call that does not return.
	want[0][1] = "sysrq_handle_crash"
	if len(got) != len(want) {
		t.Fatalf("%d frames above panic, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i][1] {
			t.Errorf("frame %d is %s, want %s", i, got[i], want[i][1])
		}
	}
	sleepers(t, k, truth{t, filepath.Join(dir, "truth")}, 90)
}

// armSpace is an address space of one piece that is all executable.
type armSpace struct{ linear }

func (armSpace) Strip(va uint64) uint64 { return va | 0xff7f<<48 }

func (s armSpace) Walk(va uint64) (arch.Walk, error) {
	a, ok := s.Image(va)
	if !ok {
		return arch.Walk{}, &arch.WalkError{VA: va, Err: phys.ErrUnmapped}
	}
	return arch.Walk{Addr: a, PageSize: pageSize}, nil
}

// armMachine has functions of 64 bytes, all of them calls, and a stack.
type armMachine struct {
	*machine
	text, stack uint64
}

func newARMMachine(t testing.TB) *armMachine {
	m := &armMachine{machine: bareMachine(t, "aarch64", binary.LittleEndian, 8, x86Image-1<<20, x86Image)}
	m.text = m.page()
	for at := m.text; at < m.text+pageSize; at += 4 {
		m.put(at, m.u32(0x97fffff0)) // bl
	}
	for i, name := range []string{"ret_from_fork", "worker", "el1h_64_irq", "el1h_64_irq_handler", "handler", "leaf", "_etext"} {
		m.syms = append(m.syms, symbols.Symbol{Name: name, Addr: m.text + uint64(64*i), Type: 'T'})
	}
	m.stack = (m.pages(8) + 16<<10 - 1) &^ (16<<10 - 1)
	return m
}

// open is the kernel of the machine.
func (m *armMachine) open() *kernel.Kernel {
	m.t.Helper()
	m.kallsyms()
	a, err := arch.ByName("aarch64")
	if err != nil {
		m.t.Fatal(err)
	}
	k, err := kernel.Assemble(m.dump(), a, armSpace{linear{delta: m.delta}})
	if err != nil {
		m.t.Fatal(err)
	}
	return k
}

func (m *armMachine) words(at uint64, words ...uint64) {
	for _, w := range words {
		m.put(at, m.long(w))
		at += 8
	}
}

func (m *armMachine) code(fn int) uint64 { return m.text + uint64(64*fn) + 16 }

// TestStackRecords walks a kernel thread that an interrupt came to, as the kernels before
// and since 6.14 leave it.
func TestStackRecords(t *testing.T) {
	for name, since614 := range map[string]bool{"6.13": false, "6.14": true} {
		t.Run(name, func(t *testing.T) {
			m := newARMMachine(t)
			const pac = uint64(0x002a) << 48 // in place of the high bits
			final, worker, irq, handler := m.stack+0x3f00, m.stack+0x3e00, m.stack+0x3c00, m.stack+0x3a00
			m.words(final, 0, 0, 1)
			m.words(worker, final, m.code(0)&^(0xff7f<<48)|pac)
			regs, elr := irq-304, m.code(5)
			record := []uint64{worker, elr}
			if since614 {
				regs, record = irq-296, []uint64{0, 0, 2}
			}
			m.words(irq, record...)
			m.words(regs+29*8, worker, m.code(1), worker-0x40, elr, 0x60400005) // x29, x30, sp, pc, pstate
			m.words(handler, irq, m.code(2))
			k := m.open()
			s, err := k.UnwindFrom(t.Context(), m.code(4), handler-32, handler)
			if err != nil || !s.Complete {
				t.Fatalf("%v, %v", err, s.Why)
			}
			want := []string{
				"call registers handler+0x10/0x40",
				"irq frame record el1h_64_irq+0x10/0x40",
				"interrupted registers leaf+0x10/0x40",
				"call link register worker+0x10/0x40",
				"call frame record ret_from_fork+0x10/0x40",
			}
			sameFrames(t, s, want)
		})
	}
}

// TestStackRecordsBroken: a chain in a circle, and one that leads nowhere.
func TestStackRecordsBroken(t *testing.T) {
	m := newARMMachine(t)
	at := m.stack + 0x1000
	m.words(at, at+0x20, m.code(1))
	m.words(at+0x20, at, m.code(1))
	m.words(at+0x100, 0x41, m.code(1))
	k := m.open()
	for _, fp := range []uint64{at, at + 0x100, 8, ^uint64(7)} {
		s, err := k.UnwindFrom(t.Context(), m.code(4), at-16, fp)
		if err != nil {
			t.Fatal(err)
		}
		if s.Complete || phys.Reason(s.Why) == nil || len(s.Frames) == 0 {
			t.Errorf("fp %#x: %d frames, complete %t, why %v", fp, len(s.Frames), s.Complete, s.Why)
		}
	}
	if s, _ := k.UnwindFrom(t.Context(), m.code(4), at-16, at); !errors.Is(s.Why, kernel.ErrStack) {
		t.Errorf("circle: %v", s.Why)
	}
}

func sameFrames(t *testing.T, s kernel.Stack, want []string) {
	t.Helper()
	for i, f := range s.Frames {
		if i >= len(want) || spell(f) != want[i] {
			t.Errorf("frame %d is %q", i, spell(f))
		}
	}
	if len(s.Frames) != len(want) {
		t.Errorf("%d frames, want %d", len(s.Frames), len(want))
	}
}
