package kernel_test

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// TestStackTiny: the stacks of the small dump, whose oops is in a module.
func TestStackTiny(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.zlib")
	stacks := cpuStacks(t, k)
	sameAsLog(t, k, stacks[0])
	want := "interrupted registers ck_null_work+0x7/0x1f [crashkit]"
	if f := stacks[0].Frames[0]; spell(f) != want {
		t.Errorf("crashed in %q, want %q", spell(f), want)
	}
	if s := stacks[1]; len(s.Frames) != 0 || !s.Complete { // it ran a process
		t.Errorf("CPU 1: %d frames, %v", len(s.Frames), s.Why)
	}
	sleepers(t, k, truth{t, tiny + "/truth"}, 50)
}

// TestStackErased: without text and tables there are guesses only, and they are the true
// frames among others.
func TestStackErased(t *testing.T) {
	whole := cpuStacks(t, openKernel(t, tiny+"/vmcore.zlib"))[0]
	s := cpuStacks(t, openKernel(t, tiny+"/vmcore.split.2"))[0]
	if s.Complete || s.Why == nil || s.How != "scan" {
		t.Errorf("complete %t by %q, why %v", s.Complete, s.How, s.Why)
	}
	var guesses []string
	for i, f := range s.Frames {
		if i > 0 && f.Kind != kernel.FrameGuess {
			t.Errorf("frame %d: %s", i, spell(f))
		}
		guesses = append(guesses, f.String())
	}
	for _, f := range whole.Frames {
		if !slices.Contains(guesses, f.String()) {
			t.Errorf("%s is not among the guesses %q", f, guesses)
		}
	}
}

// TestStackCorpus compares the dumps of distribution kernels with their own call traces and
// with /proc/PID/stack of their tasks.
func TestStackCorpus(t *testing.T) {
	dir := dumptest.Corpus(t)
	least := map[string]int{"5.10": 90, "6.1": 90, "6.12": 90, "7.2": 90}
	for version, n := range least {
		t.Run(version, func(t *testing.T) {
			k := openKernel(t, corpusDump(t, filepath.Join(dir, version, "vmcore.raw")))
			for _, s := range cpuStacks(t, k) {
				if len(s.Frames) > 0 {
					sameAsLog(t, k, s)
				}
			}
			sleepers(t, k, truth{t, filepath.Join(dir, version, "truth")}, n)
		})
	}
}

// TestStackKinds: crashes in interrupts, in NMI, on a full stack.
func TestStackKinds(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(dumptest.Corpus(t), "kinds", "*", "vmcore.zstd"))
	if err != nil || len(files) == 0 {
		t.Skipf("no dumps in kinds of the corpus (the lab makes them), %v", err)
	}
	for _, file := range files {
		kind := filepath.Base(filepath.Dir(file))
		t.Run(kind, func(t *testing.T) {
			k := openKernel(t, file)
			for i, s := range cpuStacks(t, k) {
				if ended(s); !s.Complete {
					t.Errorf("CPU %d: %v", i, s.Why)
				}
				if crashed(s) {
					sameAsLog(t, k, s)
				}
			}
		})
	}
}

// ended tells whether the last frame is one that nothing called.
func ended(s kernel.Stack) bool {
	if _, ok := s.User(); ok || len(s.Frames) == 0 {
		return true
	}
	last := s.Frames[len(s.Frames)-1].Symbol.Name
	return strings.HasPrefix(last, "ret_from_fork") || strings.HasPrefix(last, "secondary_startup_64")
}

// crashed tells a stack of the crash path or of code of the module that crashes.
func crashed(s kernel.Stack) bool {
	return slices.ContainsFunc(s.Frames, func(f kernel.Frame) bool {
		return f.Symbol.Name == "__crash_kexec" || f.Symbol.Module == "crashkit"
	})
}

// cpuStacks are the stacks of the processors, each of which must be complete or say why.
func cpuStacks(t *testing.T, k *kernel.Kernel) (stacks []kernel.Stack) {
	t.Helper()
	cpus, err := k.Dump().CPUs()
	if err != nil || len(cpus) != 2 {
		t.Fatalf("%d CPUs, %v", len(cpus), err)
	}
	for _, c := range cpus {
		s, err := k.Unwind(t.Context(), c.Regs)
		if err != nil {
			t.Fatal(err)
		}
		if s.Complete != (s.Why == nil) || s.Complete && !ended(s) {
			t.Errorf("CPU %d: complete %t, why %v, %d frames", c.Index, s.Complete, s.Why, len(s.Frames))
		}
		stacks = append(stacks, s)
	}
	return stacks
}

func spell(f kernel.Frame) string { return string(f.Kind) + " " + string(f.By) + " " + f.String() }

// sameAsLog compares a stack with the last call trace of the log, of which the lines with a
// question mark are not frames. Functions of the crash path that came later are left out.
func sameAsLog(t *testing.T, k *kernel.Kernel, s kernel.Stack) {
	t.Helper()
	log, err := k.LogText(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.Frames {
		got = append(got, f.String())
	}
	want := crashPath(callTrace(string(log)))
	if diff := cmp.Diff(want, crashPath(got)); diff != "" || len(want) < 3 {
		t.Errorf("stack (-log +kautopsy), %s, %v:\n%s", s.How, s.Why, diff)
	}
	if !s.Complete {
		t.Errorf("not complete: %v", s.Why)
	}
}

var (
	frameLine = regexp.MustCompile(`^ ([\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[\w+\])?)$`)
	ripLine   = regexp.MustCompile(`^RIP: 0010:(.+)$`)
)

// callTrace gives the frames of the last call trace, and where the processor was before it.
func callTrace(log string) (frames []string) {
	inside := false
	for line := range strings.Lines(log) {
		_, text, _ := strings.Cut(strings.TrimRight(line, "\n"), "] ")
		rip := ripLine.FindStringSubmatch(text)
		switch frame := frameLine.FindStringSubmatch(text); {
		case strings.EqualFold(text, "call trace:"):
			inside = true
			if len(frames) != 1 {
				frames = nil
			}
		case rip != nil && !inside:
			frames = []string{rip[1]}
		case rip != nil:
			frames = append(frames, rip[1])
		case frame != nil && inside:
			frames = append(frames, frame[1])
		case strings.HasPrefix(text, "CPU: "):
			inside, frames = false, nil
		case strings.Contains(text, "RIP: 0033:"), strings.Contains(text, "</TASK>"):
			inside = false
		}
	}
	return frames
}

// crashPath leaves out what runs after the decision to die.
func crashPath(frames []string) []string {
	after := []string{"dump_stack", "dump_stack_lvl", "panic", "vpanic", "__crash_kexec", "crash_kexec"}
	for len(frames) > 0 {
		name, _, _ := strings.Cut(frames[0], "+")
		if !slices.Contains(after, name) {
			break
		}
		frames = frames[1:]
	}
	return frames
}

// BenchmarkUnwind walks the stack of the crash, with the tables ready and without.
func BenchmarkUnwind(b *testing.B) {
	k := openKernel(b, tiny+"/vmcore.zlib")
	cpus, err := k.Dump().CPUs()
	if err != nil {
		b.Fatal(err)
	}
	walk := func(b *testing.B, unwinder func() (*kernel.Unwinder, error)) {
		b.ReportAllocs()
		for b.Loop() {
			u, err := unwinder()
			if err != nil {
				b.Fatal(err)
			}
			if s := u.CPU(b.Context(), cpus[0].Regs); !s.Complete {
				b.Fatal(s.Why)
			}
		}
	}
	u, err := k.Unwinder(b.Context())
	b.Run("stack", func(b *testing.B) { walk(b, func() (*kernel.Unwinder, error) { return u, err }) })
	b.Run("all", func(b *testing.B) { walk(b, func() (*kernel.Unwinder, error) { return k.Unwinder(b.Context()) }) })
}

// TestLostStack: where the tables know no caller and the stack itself is not in the dump, that
// is the reason.
func TestLostStack(t *testing.T) {
	var sp uint64
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		cpus, err := k.Dump().CPUs()
		if err != nil {
			t.Fatal(err)
		}
		sp = cpus[0].Regs.SP()
		m.Lose(sp)
	})
	fn, err := k.Symbol("__crash_kexec") // which the tables leave out
	if err != nil {
		t.Fatal(err)
	}
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := u.From(t.Context(), fn.Addr+16, sp, 0); s.Complete || !errors.Is(s.Why, phys.ErrLost) {
		t.Errorf("%v: %v", s.Frames, s.Why)
	}
}
