package kernel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// DebugInfo finds files with debug information. It is asked once for the kernel and once for
// each module that an answer needs, by many goroutines.
type DebugInfo interface {
	// OpenDebug opens the file that is wanted. It judges whether the file fits; where
	// there is none the error wraps dwarf.ErrNoDebug. The file stays whoever opened
	// it: it must be usable as long as the Kernel is, and is closed by the finder.
	OpenDebug(ctx context.Context, w Want) (*dwarf.File, error)
}

// Want says of what debug information is wanted.
type Want struct {
	Module  string // as the kernel names it (virtio_net, never virtio-net); "" is the kernel itself
	BuildID []byte // nil: the dump does not say
	Release string // uname -r, "" when the dump does not say
}

// DebugFile is the debug information of the kernel, or of a module, and where in the dump
// the code and data lie that it is about.
type DebugFile struct {
	*dwarf.File
	Module string

	spans []debugSpan // in order of their place in the dump
}

// debugSpan is memory that lies in the dump as it does in the file, but for the distance.
type debugSpan struct{ dump, file, size uint64 }

// ToFile gives the file's address of an address of the dump; false outside of what the file
// describes.
func (d *DebugFile) ToFile(addr uint64) (uint64, bool) {
	i := sort.Search(len(d.spans), func(i int) bool { return addr < d.spans[i].dump }) - 1
	if i < 0 || addr-d.spans[i].dump >= d.spans[i].size {
		return 0, false
	}
	return addr - d.spans[i].dump + d.spans[i].file, true
}

// ToDump gives the address in the dump of an address of the file; false for sections of a
// module that are no longer in memory, as those of its initialisation.
func (d *DebugFile) ToDump(addr uint64) (uint64, bool) {
	for _, s := range d.spans {
		if addr-s.file < s.size {
			return addr - s.file + s.dump, true
		}
	}
	return 0, false
}

// debugAnswer is what DebugFile said of one module. To know the build ID of a module can
// take the types of the kernel, so each has its own lock.
type debugAnswer struct {
	mu   sync.Mutex
	said bool
	file *DebugFile
	err  error
}

// DebugFile gives the debug information of a module, or of the kernel itself for "". The
// answer is kept. Where nobody has it the error wraps dwarf.ErrNoDebug; where the file's
// symbols lie in another order than those of the dump it wraps phys.ErrCorrupt.
func (k *Kernel) DebugFile(ctx context.Context, module string) (*DebugFile, error) {
	a := k.debugAnswer(module)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said {
		return a.file, a.err
	}
	d, err := k.openDebug(ctx, module)
	if ctx.Err() != nil {
		return nil, ctx.Err() // somebody may ask again
	}
	a.said, a.file, a.err = true, d, err
	return d, err
}

func (k *Kernel) debugAnswer(module string) *debugAnswer {
	k.debugMu.Lock()
	defer k.debugMu.Unlock()
	if k.debugFiles == nil {
		k.debugFiles = map[string]*debugAnswer{}
	}
	if k.debugFiles[module] == nil {
		k.debugFiles[module] = &debugAnswer{}
	}
	return k.debugFiles[module]
}

func (k *Kernel) openDebug(ctx context.Context, module string) (*DebugFile, error) {
	if k.debug == nil {
		return nil, dwarf.ErrNoDebug
	}
	w := Want{Module: module}
	if k.info != nil {
		w.Release = k.info.Release()
	}
	place := k.placeKernel
	if module == "" {
		w.BuildID = k.BuildID()
	} else {
		w.BuildID = k.moduleBuildID(ctx, module)
		place = k.placeModule
	}
	f, err := k.debug.OpenDebug(ctx, w)
	if err != nil {
		return nil, err
	}
	f.CacheNames(k.cacheDir)
	d := &DebugFile{File: f, Module: module}
	if err := place(ctx, d); err != nil {
		return nil, err
	}
	return d, nil
}

// maxKernelNotes bounds the notes in the kernel's memory; 6.1 has 500 bytes.
const maxKernelNotes = 1 << 16

// BuildID is the build ID of the kernel, nil when the dump does not say: from the notes in
// its memory, which are right where VMCOREINFO's are garbage (5.15.168 to 6.11.9 in part,
// until 905415ff3ffb was mended), else from VMCOREINFO.
func (k *Kernel) BuildID() []byte {
	from, err1 := k.Symbol("__start_notes")
	to, err2 := k.Symbol("__stop_notes")
	if err1 == nil && err2 == nil && to.Addr-from.Addr <= maxKernelNotes {
		notes := make([]byte, to.Addr-from.Addr)
		n, _ := k.ReadVirt(notes, from.Addr)
		if id := elfnote.BuildID(notes[:n], k.dump.Header.Order); id != nil {
			return id
		}
	}
	if k.info == nil {
		return nil
	}
	id, _ := hex.DecodeString(k.info.BuildID())
	if len(id) == 0 {
		return nil
	}
	return id
}

// moduleBuildID is what the dump says of a module's file, nil when it does not.
func (k *Kernel) moduleBuildID(ctx context.Context, name string) []byte {
	for m, err := range k.ModuleInfos(ctx) {
		if m.Name == name {
			id, _ := hex.DecodeString(m.BuildID)
			return id
		}
		if err != nil && m.Name == "" {
			break
		}
	}
	return nil
}

// placeKernel finds how far the kernel was moved from where it was linked (KASLR): by a
// symbol that both sides have, or by VMCOREINFO where the file has no symbols.
func (k *Kernel) placeKernel(_ context.Context, d *DebugFile) error {
	for s, err := range d.Symbols() {
		if err != nil {
			return fmt.Errorf("symbols of vmlinux: %w", err)
		}
		if s.Name != "_stext" && s.Name != "_text" {
			continue
		}
		if at, err := k.kernelSymbol(s.Name); err == nil {
			d.everywhere(at - s.Addr)
			return nil
		}
	}
	if k.info != nil {
		if moved, ok := k.info.Hex("KERNELOFFSET"); ok {
			d.everywhere(moved)
			return nil
		}
	}
	return fmt.Errorf("where the kernel lies (_stext, KERNELOFFSET): %w", symbols.ErrNoSymbol)
}

// kernelSymbol is the address of a symbol by VMCOREINFO, which costs nothing, or kallsyms.
func (k *Kernel) kernelSymbol(name string) (uint64, error) {
	if k.info != nil {
		if a, ok := k.info.Symbol(name); ok {
			return a, nil
		}
	}
	s, err := k.Symbol(name)
	return s.Addr, err
}

// everywhere places a file whose addresses are those of the dump less moved.
func (d *DebugFile) everywhere(moved uint64) {
	for _, s := range d.Sections() {
		if s.Size > 0 {
			d.spans = append(d.spans, debugSpan{s.Addr + moved, s.Addr, s.Size})
		}
	}
	d.sortSpans()
}

func (d *DebugFile) sortSpans() {
	slices.SortFunc(d.spans, func(a, b debugSpan) int {
		if a.dump < b.dump {
			return -1
		}
		return 1
	})
}

// placeModule finds where the sections of a module were loaded: each symbol that both sides
// have once says it of its section, and all of a section must say the same.
func (k *Kernel) placeModule(ctx context.Context, d *DebugFile) error {
	if !d.Relocatable() {
		return fmt.Errorf("module %s: the file of its debug information is not one of a module: %w", d.Module, phys.ErrCorrupt)
	}
	loaded, err := k.moduleSymbols(ctx, d.Module)
	if err != nil {
		return err
	}
	own, err := d.symbolsOnce()
	if err != nil {
		return fmt.Errorf("symbols of module %s: %w", d.Module, err)
	}
	moved := map[int]uint64{} // of each section, dump - file
	agree, differ := map[int]int{}, map[int]int{}
	for name, s := range own {
		addr := loaded[name]
		if addr == 0 || s.Section == 0 {
			continue
		}
		if _, known := moved[s.Section]; !known {
			moved[s.Section] = addr - s.Addr
		}
		if moved[s.Section] == addr-s.Addr {
			agree[s.Section]++
		} else {
			differ[s.Section]++
		}
	}
	for _, s := range d.Sections() {
		if differ[s.Index] > 0 {
			return fmt.Errorf("module %s, section %s: the %d symbols of the debug information and of the dump do not lie alike: %w",
				d.Module, s.Name, agree[s.Index]+differ[s.Index], phys.ErrCorrupt)
		}
		if agree[s.Index] > 0 {
			d.spans = append(d.spans, debugSpan{s.Addr + moved[s.Index], s.Addr, s.Size})
		}
	}
	d.sortSpans()
	if len(d.spans) == 0 {
		return fmt.Errorf("module %s: no symbol of the debug information is in the dump: %w", d.Module, phys.ErrCorrupt)
	}
	return nil
}

// symbolsOnce are the file's symbols by name, without names that it has twice: static
// functions of one name are common.
func (d *DebugFile) symbolsOnce() (map[string]dwarf.Symbol, error) {
	out := map[string]dwarf.Symbol{}
	for s, err := range d.Symbols() {
		if err != nil {
			return nil, err
		}
		if _, again := out[s.Name]; again {
			s.Section = 0
		}
		out[s.Name] = s
	}
	return out, nil
}

// moduleSymbols are the addresses of a loaded module's symbols; of names that it has twice
// the address is 0.
func (k *Kernel) moduleSymbols(ctx context.Context, name string) (map[string]uint64, error) {
	mods, err := k.Modules(ctx)
	for _, m := range mods {
		if m.Name != name || m.Symbols == nil {
			continue
		}
		out := make(map[string]uint64, m.Symbols.Len())
		for s := range m.Symbols.All() {
			if _, again := out[s.Name]; again {
				s.Addr = 0
			}
			out[s.Name] = s.Addr
		}
		return out, nil
	}
	return nil, errors.Join(fmt.Errorf("module %s: its symbols are not known: %w", name, symbols.ErrNoSymbol), err)
}
