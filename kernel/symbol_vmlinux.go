package kernel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// withVmlinux is a table of what kallsyms names, nil if nothing, and of what vmlinux names
// besides. Letters are those of kallsyms, and so is the order: by addresses.
func (k *Kernel) withVmlinux(own *symbols.Table) (*symbols.Table, error) {
	d, err := k.DebugFile(k.ctx, "")
	if err != nil {
		return nil, err
	}
	file, err := d.namesInDump()
	if err != nil {
		return nil, fmt.Errorf("symbols of vmlinux: %w", err)
	}
	if len(file) == 0 {
		return nil, fmt.Errorf("vmlinux has no symbols (it was stripped): %w", symbols.ErrNoSymbol)
	}
	if err := k.sameBuild(own, file); err != nil {
		return nil, err
	}
	all := file
	if own != nil {
		all = slices.DeleteFunc(file, func(s symbols.Symbol) bool { return has(own, s) })
		all = slices.AppendSeq(all, own.All())
	}
	slices.SortStableFunc(all, func(a, b symbols.Symbol) int { return cmp.Compare(a.Addr, b.Addr) })
	return symbols.New(all), nil
}

// namesInDump are the file's symbols where the dump has them, but for those that kallsyms
// leaves out: labels within functions and the names of tables (scripts/kallsyms.c).
func (d *DebugFile) namesInDump() (list []symbols.Symbol, err error) {
	unmoved := map[int]uint64{} // sizes of sections of per-CPU variables that are counted from 0
	for _, s := range d.Sections() {
		if s.Addr == 0 {
			unmoved[s.Index] = s.Size
		}
	}
	for s, err := range d.Symbols() {
		if err != nil {
			return nil, err
		}
		size, offset := unmoved[s.Section]
		o := symbols.Symbol{Name: s.Name, Addr: s.Addr, Type: d.Letter(s)}
		switch {
		case o.Type == 0, s.Name == "", strings.HasPrefix(s.Name, ".L"), strings.HasPrefix(s.Name, "$"),
			strings.HasPrefix(s.Name, "__crc_"), strings.HasPrefix(s.Name, "__kstrtab"):
			continue
		case offset && s.Addr <= size: // not what the linker put behind it
			o.Type = 'A'
		default:
			o.Addr += d.moved
		}
		list = append(list, o)
	}
	return list, nil
}

// has tells whether a table has a symbol where the file has it.
func has(t *symbols.Table, s symbols.Symbol) bool {
	for o := range t.Named(s.Name) {
		if o.Addr == s.Addr {
			return true
		}
	}
	return false
}

// sameBuild holds vmlinux against the dump. That it is named, or found by its release, does
// not show that it is of the same build, and where kallsyms is poor the dump may not know
// its build ID: functions must lie alike, and the banner must be there.
func (k *Kernel) sameBuild(own *symbols.Table, file []symbols.Symbol) error {
	same, other := 0, 0
	banner := uint64(0)
	for _, s := range file {
		if s.Name == "linux_banner" {
			banner = s.Addr
		}
		if own == nil || s.Type != 'T' {
			continue
		}
		if has(own, s) {
			same++
		} else if _, err := own.Lookup(s.Name); err == nil {
			other++
		}
	}
	if other > same/100 {
		return fmt.Errorf("vmlinux is of another build: of %d functions of the dump it has %d elsewhere: %w", same+other, other, phys.ErrCorrupt)
	}
	const begin = "Linux version "
	var b [len(begin)]byte
	if n, err := k.ReadVirt(b[:], banner); banner != 0 && err == nil && string(b[:n]) != begin {
		return fmt.Errorf("vmlinux is of another build: the dump has no banner at its linux_banner, %#x: %w", banner, phys.ErrCorrupt)
	}
	return nil
}
