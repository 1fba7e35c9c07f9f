package kernel_test

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
	"github.com/kautopsy/kautopsy/vmcore"
)

// debugFiles finds debug information by module in files of the repository.
type debugFiles struct {
	t     testing.TB
	names map[string]string
	asked map[string]kernel.Want
}

func (d debugFiles) OpenDebug(_ context.Context, w kernel.Want) (*dwarf.File, error) {
	name, ok := d.names[w.Module]
	if !ok {
		return nil, dwarf.ErrNoDebug
	}
	d.asked[w.Module] = w
	r, err := os.Open(dumptest.Unpacked(d.t, name))
	if err != nil {
		return nil, err
	}
	d.t.Cleanup(func() { r.Close() })
	st, err := r.Stat()
	if err != nil {
		return nil, err
	}
	return dwarf.Open(r, st.Size())
}

// withDebug opens the small kernel with files for modules.
func withDebug(t testing.TB, names map[string]string) (*kernel.Kernel, debugFiles) {
	t.Helper()
	if testing.Short() && slices.Contains(slices.Collect(maps.Values(names)), tiny+"/vmlinux.debug.xz") {
		t.Skip("40 MB of DWARF in short mode")
	}
	files := debugFiles{t, names, map[string]kernel.Want{}}
	return openWith(t, tiny+"/vmcore.zlib", kernel.Options{DebugInfo: files}), files
}

// openWith opens the kernel in a dump.
func openWith(t testing.TB, name string, o kernel.Options) *kernel.Kernel {
	t.Helper()
	d, err := vmcore.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	k, err := kernel.Open(d, &o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestDebugFile: every function of the kernel and of its module lies in the dump where the
// debug information and KASLR put it, and both ways lead back.
func TestDebugFile(t *testing.T) {
	k, files := withDebug(t, map[string]string{"": tiny + "/vmlinux.debug.xz", "crashkit": tiny + "/crashkit.ko"})
	all, err := k.AllSymbols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for module, least := range map[string]int{"": 10000, "crashkit": 20} {
		d, err := k.DebugFile(t.Context(), module)
		if err != nil {
			t.Fatal(err)
		}
		id, err := d.BuildID()
		if want := files.asked[module]; err != nil || hex.EncodeToString(id) != hex.EncodeToString(want.BuildID) || len(id) != 20 {
			t.Errorf("%q: build ID %x was wanted, the file has %x: %v", module, want.BuildID, id, err)
		}
		names := map[string]map[uint64]bool{}
		for s := range all.All() {
			if s.Module != module {
				continue
			}
			if names[s.Name] == nil {
				names[s.Name] = map[uint64]bool{}
			}
			names[s.Name][s.Addr] = true
		}
		n := 0
		for s, err := range d.Symbols() {
			if err != nil {
				t.Fatal(err)
			}
			at, ok := d.ToDump(s.Addr)
			if s.Type != 2 || !ok || names[s.Name] == nil { // STT_FUNC
				continue
			}
			back, ok := d.ToFile(at)
			if !names[s.Name][at] || !ok || back != s.Addr {
				t.Fatalf("%s at %#x of the file is at %#x of the dump (kallsyms: %v) and back at %#x", s.Name, s.Addr, at, names[s.Name], back)
			}
			n++
		}
		t.Logf("%q: %d functions lie where they should", module, n)
		if n < least {
			t.Errorf("%q: only %d functions were compared", module, n)
		}
	}
	if _, err := k.DebugFile(t.Context(), "no_such"); !errors.Is(err, dwarf.ErrNoDebug) {
		t.Errorf("a module without a file: %v", err)
	}
}

// TestDebugFileOfAnotherModule: a file that is none of a module is refused, and one in which
// a function lies elsewhere than in the dump.
func TestDebugFileOfAnotherModule(t *testing.T) {
	k, _ := withDebug(t, map[string]string{"crashkit": tiny + "/vmlinux.debug.xz"})
	if _, err := k.DebugFile(t.Context(), "crashkit"); !errors.Is(err, phys.ErrCorrupt) {
		t.Errorf("vmlinux as the file of a module: %v", err)
	}
	if _, err := k.DebugFile(t.Context(), ""); !errors.Is(err, dwarf.ErrNoDebug) {
		t.Errorf("without vmlinux: %v", err)
	}
	k, _ = withDebug(t, map[string]string{"crashkit": moveFunction(t, "ck_run")})
	if _, err := k.DebugFile(t.Context(), "crashkit"); !errors.Is(err, phys.ErrCorrupt) || !strings.Contains(err.Error(), "section .text") {
		t.Errorf("a module in which ck_run lies elsewhere: %v", err)
	}
}

// moveFunction writes a copy of crashkit.ko in which a function lies a byte further.
func moveFunction(t *testing.T, name string) string {
	t.Helper()
	file, err := os.ReadFile(tiny + "/crashkit.ko")
	if err != nil {
		t.Fatal(err)
	}
	e, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	syms, err := e.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(syms, func(s elf.Symbol) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("crashkit.ko has no %s", name)
	}
	const entry, value = 24, 8 // of Elf64_Sym; Symbols leaves out the first
	file[e.SectionByType(elf.SHT_SYMTAB).Offset+uint64(i+1)*entry+value]++
	out := filepath.Join(t.TempDir(), "crashkit.ko")
	if err := os.WriteFile(out, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
