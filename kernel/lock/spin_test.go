package lock

import (
	"iter"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
)

// TestSpinning: the lock is what the function was given, if the word there is taken.
func TestSpinning(t *testing.T) {
	k := guesttest.Tiny(t).Kernel
	f, err := New(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := k.Symbol("nr_cpu_ids") // any word that is not 0
	if err != nil {
		t.Fatal(err)
	}
	regs := func(pairs map[string]uint64) iter.Seq2[string, uint64] {
		return func(yield func(string, uint64) bool) {
			for _, name := range []string{"rax", "rbx", "rdi", "rip"} {
				if !yield(name, pairs[name]) {
					return
				}
			}
		}
	}
	in := func(function string) (f kernel.Frame) {
		f.Symbol.Name = function
		return f
	}
	for name, c := range map[string]struct {
		function string
		regs     map[string]uint64
		by       string
	}{
		"the argument":          {"native_queued_spin_lock_slowpath", map[string]uint64{"rax": 1, "rdi": taken.Addr}, "rdi"},
		"a variable":            {"_raw_spin_lock", map[string]uint64{"rbx": taken.Addr, "rdi": 1}, "rbx"},
		"no variable":           {"_raw_spin_lock", map[string]uint64{"rbx": taken.Addr + 1, "rdi": 1}, ""},
		"not in a spin lock":    {"do_idle", map[string]uint64{"rdi": taken.Addr}, ""},
		"one that is let go of": {"_raw_spin_unlock", map[string]uint64{"rdi": taken.Addr}, ""},
	} {
		s, ok := f.Spinning(in(c.function), regs(c.regs))
		if ok != (c.by != "") || s.By != c.by || ok && (s.Lock != taken.Addr || s.Name != "nr_cpu_ids" || s.Value == 0) {
			t.Errorf("%s: %v %+v", name, ok, s)
		}
	}
}
