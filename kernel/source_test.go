package kernel_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// TestFrameSource: on every stack of the small kernel the debug information names the
// function that kallsyms names, or one that is inlined into it, with file and line.
func TestFrameSource(t *testing.T) {
	k, _ := withDebug(t, map[string]string{"": tiny + "/vmlinux.debug.xz", "crashkit": tiny + "/crashkit.ko"})
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	frames, inlined, inModule := 0, 0, 0
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		stack, err := u.Stack(t.Context(), task)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range stack.Frames {
			chain, err := k.FrameSource(t.Context(), f)
			if err != nil {
				t.Errorf("%v: %v", f, err)
				continue
			}
			frames++
			if inlined += len(chain) - 1; f.Symbol.Module != "" {
				inModule++
			}
			checkChain(t, f, chain)
		}
	}
	t.Logf("%d frames and %d inlined into them have lines, %d in the module", frames, inlined, inModule)
	if frames < 500 || inlined < 100 || inModule == 0 {
		t.Error("that is not enough")
	}
}

func checkChain(t *testing.T, f kernel.Frame, chain []dwarf.Source) {
	t.Helper()
	for i, s := range chain {
		if s.File == "" || s.Line == 0 || s.Inlined != (i < len(chain)-1) {
			t.Errorf("%v, %d of %d: %+v", f, i, len(chain), s)
		}
	}
	last := chain[len(chain)-1].Function
	name, _, _ := strings.Cut(f.Symbol.Name, ".") // .cold, .part.0, .isra.0
	if last == name || strings.HasSuffix(name, last) && strings.HasPrefix(name, "__") {
		return
	}
	t.Errorf("%v is %s by the debug information", f, last)
}

// TestSourceWithoutDebug: without debug information the reason is one that can be asked for.
func TestSourceWithoutDebug(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.zlib")
	s, err := k.Symbol("panic")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Source(t.Context(), s.Addr); !errors.Is(err, dwarf.ErrNoDebug) {
		t.Errorf("the line of panic: %v", err)
	}
}
