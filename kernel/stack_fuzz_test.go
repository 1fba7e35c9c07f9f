package kernel_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// mostFrames is more than any stack may have: those of a walk, and the guesses of a scan.
const mostFrames = 4096 + 2048

// checkStack uses everything in a stack. Each has an end that is proper or has a reason.
func checkStack(t *testing.T, s kernel.Stack) {
	t.Helper()
	if s.Complete != (s.Why == nil) || s.Why != nil && reasoned(s.Why) != nil {
		t.Errorf("complete %t, why %v", s.Complete, s.Why)
	}
	if len(s.Frames) > mostFrames {
		t.Errorf("%d frames", len(s.Frames))
	}
	for _, f := range s.Frames {
		if f.Kind == "" || f.By == "" || f.String() == "" {
			t.Errorf("frame %+v", f)
		}
		if f.Regs == nil {
			continue
		}
		for name, v := range f.Regs.All() {
			if got, ok := f.Regs.Get(name); !ok || got != v {
				t.Errorf("register %s is %#x and %#x", name, v, got)
			}
		}
	}
	s.User()
}

// FuzzStack walks from any registers over a real dump, whose memory is then the stack, and
// over a stack of any words.
func FuzzStack(f *testing.F) {
	k := openKernel(f, tiny+"/vmcore.zlib")
	u, err := k.Unwinder(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint64(0), uint64(0), uint64(0), []byte{})
	f.Add(uint64(0xffffffff8c427439), uint64(0xffffa5b780053e80), uint64(0xffffa5b780053e88), []byte("a stack of anything"))
	f.Add(^uint64(0), ^uint64(7), ^uint64(0), []byte{255})
	m := newORCMachine(f, "6.3")
	m.kallsyms()
	file := m.rawFile()
	own, err := m.kernel().Unwinder(f.Context())
	if err != nil || len(file) == 0 {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, pc, sp, fp uint64, words []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), fuzzTime)
		defer cancel()
		checkStack(t, u.From(ctx, pc, sp, fp))
		checkStack(t, u.Sleeping(ctx, sp))
		checkStack(t, u.CPU(ctx, x86Registers(t, pc, sp, fp, 0x10)))
		checkStack(t, own.CPU(ctx, x86Registers(t, m.text+pc%1024, m.stack+sp%0x4000, m.stack+fp%0x4000, 0x10)))
		if len(words) > 0 {
			checkStack(t, onWords(ctx, t, words, pc, sp, fp))
		}
		if ctx.Err() != nil {
			t.Error(ctx.Err())
		}
	})
}

// onWords walks a stack that fuzz wrote: each byte chooses a word that means something.
func onWords(ctx context.Context, t *testing.T, words []byte, pc, sp, fp uint64) kernel.Stack {
	m := newORCMachine(t, []string{"4.14", "4.18", "6.3", "6.4", "7.1"}[pc%5])
	for i, c := range words[:min(len(words), 2048)] {
		v := []uint64{m.code(int(c >> 3 % 12)), m.stack + uint64(c)*64, 0x10, 0x33, uint64(c)}[c%5]
		m.words(m.stack+uint64(8*i), v)
	}
	m.kallsyms()
	s, err := m.kernel().Unwind(ctx, x86Registers(t, m.text+pc%1024, m.stack+sp%0x4000, m.stack+fp%0x4000, 0x10))
	if err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	return s
}

// TestStackHostile walks from a thousand random places of a real dump: its memory is the
// stack, its tables are true.
func TestStackHostile(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.zlib")
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	space, err := k.Space()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	stext, err := k.Symbol("_stext")
	if err != nil {
		t.Fatal(err)
	}
	memory := uint64(k.Dump().MaxPFN()) * 4096
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	start, complete := time.Now(), 0
	for range rounds {
		at := func() uint64 { va, _ := space.Virt(phys.Addr(rng.Uint64N(memory) &^ 7)); return va }
		s := u.CPU(t.Context(), x86Registers(t, stext.Addr+rng.Uint64N(6<<20), at(), at(), 0x10))
		checkStack(t, s)
		if s.Complete {
			complete++
		}
	}
	t.Logf("%d walks in %v, %d complete", rounds, time.Since(start), complete)
}

// TestStackOtherProcessors: a processor whose stacks nobody taught us says so.
func TestStackOtherProcessors(t *testing.T) {
	m := newMachine(t)
	m.kallsyms()
	a, err := arch.ByName("ppc64le")
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Assemble(m.dump(), a, linear{delta: m.delta})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Unwind(t.Context(), vmcore.Registers{}); phys.Reason(err) != phys.ErrUnsupported {
		t.Errorf("stacks of ppc64le: %v", err)
	}
	ctx, cancel := contextAfter(t)
	cancel()
	if _, err := newORCMachine(t, "6.4").kernel().Unwinder(ctx); err == nil {
		t.Error("cancelled, and no error")
	}
}
