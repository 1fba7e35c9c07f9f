package kernel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/kautopsy/kautopsy/internal/bin"
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

	// Doubtful: BuildID was not read from the kernel's notes in memory but from
	// VMCOREINFO, where some kernels wrote garbage (see BuildID).
	Doubtful   bool
	Banner     string // linux_banner of the kernel, "" where it cannot be read
	SrcVersion string // of a module, "" where the dump does not say
}

// DebugFile is the debug information of the kernel, or of a module, and where in the dump
// the code and data lie that it is about.
type DebugFile struct {
	*dwarf.File
	Module string

	moved uint64      // the kernel, by KASLR
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
	w, place := k.DebugWant(ctx, module), k.placeKernel
	if module != "" {
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
	from, err1 := k.ownSymbol("__start_notes")
	to, err2 := k.ownSymbol("__stop_notes")
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

// DebugWant is what DebugFile asks for: what the dump says of the kernel, or of a module, by
// which its file is known.
func (k *Kernel) DebugWant(ctx context.Context, module string) Want {
	u, _ := k.Utsname() // what is known stands in it, beside the error
	w := Want{Module: module, Release: u.Release}
	if module == "" {
		_, err := k.ownSymbol("__start_notes")
		w.BuildID, w.Doubtful, w.Banner = k.BuildID(), err != nil, k.banner()
		return w
	}
	for m, err := range k.ModuleInfos(ctx) {
		if m.Name == module {
			w.BuildID, _ = hex.DecodeString(m.BuildID)
			w.SrcVersion = m.SrcVersion
			break
		}
		if err != nil && m.Name == "" {
			break
		}
	}
	return w
}

// maxBanner bounds a kernel's banner, which is a line.
const maxBanner = 1024

// banner is linux_banner, "" where it cannot be read.
func (k *Kernel) banner() string {
	s, err := k.ownSymbol("linux_banner")
	if err != nil {
		return ""
	}
	b := make([]byte, maxBanner)
	n, _ := k.ReadVirt(b, s.Addr) // the bytes before an absence
	return bin.CString(b[:n])
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
	s, err := k.ownSymbol(name)
	return s.Addr, err
}

// everywhere places a file whose addresses are those of the dump less moved. Per-CPU
// variables that are counted from 0 (x86_64 until 6.14) are not moved.
func (d *DebugFile) everywhere(moved uint64) {
	d.moved = moved
	for _, s := range d.Sections() {
		at := s.Addr + moved
		if s.Addr == 0 {
			at = 0
		}
		if s.Size > 0 {
			d.spans = append(d.spans, debugSpan{at, s.Addr, s.Size})
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
