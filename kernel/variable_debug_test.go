package kernel_test

import (
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
)

// TestVariablesOfDebugInfo: debug information has the types of variables that BTF and the
// table have not, of the kernel and of its module, and of several of one name that of the
// one that lies at the symbol.
func TestVariablesOfDebugInfo(t *testing.T) {
	k, _ := withDebug(t, map[string]string{"": tiny + "/vmlinux.debug.xz", "crashkit": tiny + "/crashkit.ko"})
	bare := openKernel(t, tiny+"/vmcore.zlib")
	typeOf := func(k *kernel.Kernel, name string) string {
		got, err := k.Evaluate(t.Context(), name)
		if err != nil || len(got) != 1 || got[0].Type == nil {
			return ""
		}
		return got[0].Type.String()
	}
	for name, want := range map[string]string{"ck_timer": "struct timer_list", "ck_lock_a": "struct mutex", "init_stack": "unsigned long [2048]"} {
		if got := typeOf(k, name); got != want || typeOf(bare, name) != "" {
			t.Errorf("%s: %q, without debug information %q; want %q", name, got, typeOf(bare, name), want)
		}
	}
	all, err := k.AllSymbols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	typed := 0
	for s := range all.All() {
		if typed > 500 || s.Type|0x20 != 'd' && s.Type|0x20 != 'b' || s.Name == "init_stack" { // which the linker cuts
			continue
		}
		got, err := k.Evaluate(t.Context(), s.Name)
		if err != nil || len(got) != 1 || got[0].Type == nil || got[0].Addr != s.Addr {
			continue // of a function, or of assembly; or another of that name comes first
		}
		if typed++; s.Size > 0 && got[0].Type.Size() > s.Size {
			t.Errorf("%s of %d bytes: %v of %d", s.Name, s.Size, got[0].Type, got[0].Type.Size())
		}
	}
	t.Logf("%d variables have types that fit", typed)
	if typed <= 500 {
		t.Error("that is not enough")
	}
}
