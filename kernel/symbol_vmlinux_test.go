package kernel_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// TestSymbolsOfVmlinux: a kernel that names its functions only, or nothing, gets from its
// vmlinux the names that it has with CONFIG_KALLSYMS_ALL, where KASLR put them.
func TestSymbolsOfVmlinux(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	files := map[string]string{"": tiny + "/vmlinux.debug.xz"}
	all, err := openKernel(t, tiny+"/vmcore.zlib").Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for name, kallsyms := range map[string]kernel.Kallsyms{"functions": kernel.KallsymsFunctions, "none": kernel.KallsymsNone} {
		t.Run(name, func(t *testing.T) {
			k := openWith(t, tiny+"/vmcore.zlib", kernel.Options{DebugInfo: debugFiles{t, files, map[string]kernel.Want{}}, Kallsyms: kallsyms})
			bare := openWith(t, tiny+"/vmcore.zlib", kernel.Options{Kallsyms: kallsyms})
			if _, err := bare.Symbol("crashing_cpu"); !errors.Is(err, symbols.ErrNoSymbol) {
				t.Errorf("crashing_cpu without vmlinux: %v", err)
			}
			got, err := k.Symbols()
			if err != nil {
				t.Fatal(err)
			}
			letters := 0
			for s := range all.All() {
				there, same := false, false
				for o := range got.Named(s.Name) {
					there = there || o.Addr == s.Addr
					same = same || o.Addr == s.Addr && o.Type == s.Type
				}
				if !there {
					t.Errorf("%v is not there", s)
				}
				if !same {
					letters++
				}
			}
			t.Logf("%d symbols, kallsyms has %d; %d have other letters", got.Len(), all.Len(), letters)
			if letters > all.Len()/1000 || got.Len() != all.Len() {
				t.Error("that is too many")
			}
		})
	}
}

// TestSymbolsOfOtherVmlinux: the symbols of a vmlinux are not taken that is not the dump's,
// and who asks for one is told so.
func TestSymbolsOfOtherVmlinux(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	file, err := os.ReadFile(dumptest.Unpacked(t, tiny+"/vmlinux.debug.xz"))
	if err != nil {
		t.Fatal(err)
	}
	shiftSymbols(t, file)
	for _, kallsyms := range []kernel.Kallsyms{kernel.KallsymsFunctions, kernel.KallsymsNone} {
		o := kernel.Options{DebugInfo: oneFile{file}, Kallsyms: kallsyms}
		k := openWith(t, tiny+"/vmcore.zlib", o)
		_, err := k.Symbol("crashing_cpu")
		if !errors.Is(err, symbols.ErrNoSymbol) || !errors.Is(err, phys.ErrCorrupt) || !strings.Contains(err.Error(), "of another build") {
			t.Errorf("%v: %v", kallsyms, err)
		}
	}
}

// oneFile is a kernel's debug information in memory.
type oneFile struct{ b []byte }

func (f oneFile) OpenDebug(context.Context, kernel.Want) (*dwarf.File, error) {
	return dwarf.Open(bytes.NewReader(f.b), int64(len(f.b)))
}

// shiftSymbols moves the symbols of an ELF file by 16 bytes, but for those that tell where
// the kernel lies.
func shiftSymbols(t *testing.T, file []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	tab := f.SectionByType(elf.SHT_SYMTAB)
	list, err := f.Symbols() // without the first
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range list {
		if s.Name != "_stext" && s.Name != "_text" {
			at := tab.Offset + uint64(i+1)*elf.Sym64Size + 8 // st_value
			f.ByteOrder.PutUint64(file[at:], s.Value+16)
		}
	}
}
