package symbols

import (
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
)

// ksymtab begins the names of the entries of a module's table of exports.
const ksymtab = "__ksymtab_"

// setCase gives type letters as /proc/kallsyms shows them: of a module it tells with
// small and capital letters not whether the symbol is global but whether
// EXPORT_SYMBOL has it (s_show and is_exported in kernel/kallsyms.c and
// kernel/module/kallsyms.c). EXPORT_SYMBOL_GPL does not count until it was joined with
// the other table, somewhere between 6.12 and 7.2.
func (m Module) setCase(syms []Symbol, exported map[string]bool) {
	for _, s := range syms {
		if m.exports(s) {
			exported[s.Name[len(ksymtab):]] = true
		}
	}
	for i := range syms {
		s := &syms[i]
		switch {
		case s.Type == '?':
		case exported[s.Name]:
			s.Type &^= 0x20
		default:
			s.Type |= 0x20
		}
	}
}

// exports tells whether s is an entry of module.syms.
func (m Module) exports(s Symbol) bool {
	return strings.HasPrefix(s.Name, ksymtab) && m.Ksymtab != 0 && s.Addr >= m.Ksymtab && s.Addr < m.KsymtabEnd
}

// findExports finds module.syms among the members of struct module: a pointer to an
// entry of the tables of exports, and behind it (and crcs, since 7.0 flagstab too) the
// number of entries. gpl_syms has its number before it and anything behind.
func (m Module) findExports(mem Memory, bl *block, t *Table) Module {
	var entries []uint64
	for s := range t.Match(ksymtab) {
		if strings.HasPrefix(s.Name, ksymtab) {
			entries = append(entries, s.Addr)
		}
	}
	if len(entries) == 0 {
		return m.findUnnamed(mem, bl, t)
	}
	slices.Sort(entries)
	ptr := uint64(bl.abi.ptr())
	for at := m.Addr + ptr; at+4*ptr <= bl.end(); at += ptr {
		v, err := bl.uint("struct module", at, int(ptr))
		first, ok := slices.BinarySearch(entries, v)
		if err != nil || !ok || bl.count(at-4, len(entries)) > 0 || bl.count(at-8, len(entries)) > 0 {
			continue
		}
		n := max(bl.count(at+2*ptr, len(entries)-first), bl.count(at+3*ptr, len(entries)-first))
		if n > 0 {
			m.Ksymtab, m.KsymtabEnd = entries[first], entries[first+n-1]+1
			return m
		}
	}
	return m
}

// count reads an unsigned int that counts something; 0 when it is none of 1 to most.
func (bl *block) count(va uint64, most int) int {
	n, err := bl.uint("count", va, 4)
	if err != nil || n > uint64(most) {
		return 0
	}
	return int(n)
}

// export is a form of struct kernel_symbol, an entry of module.syms. Without data symbols
// (CONFIG_KALLSYMS_ALL off) the entries have no names of their own and are read.
//
//	relative, 5.4 on    value_offset s32, name_offset s32, namespace_offset s32
//	relative, 4.19 on   value_offset s32, name_offset s32
//	absolute            value, name, [namespace since 5.4]: pointers
type export struct {
	size     uint64
	relative bool
}

func exportForms(ptr uint64) []export {
	return []export{{12, true}, {8, true}, {3 * ptr, false}, {2 * ptr, false}}
}

// maxExportName is longer than any name of a symbol (KSYM_NAME_LEN).
const maxExportName = 512

// entry reads the entry at an address: the name that is exported, and its value.
func (f export) entry(mem Memory, abi ABI, at uint64) (name string, value uint64, ok bool) {
	width := abi.ptr()
	if f.relative {
		width = 4
	}
	value, err := readUint(mem, abi, "kernel_symbol", at, width)
	nameAt, err2 := readUint(mem, abi, "kernel_symbol", at+uint64(width), width)
	if err != nil || err2 != nil {
		return "", 0, false
	}
	if f.relative {
		value = abi.clip(at + uint64(int64(int32(value))))
		nameAt = abi.clip(at + 4 + uint64(int64(int32(nameAt))))
	}
	var b [maxExportName]byte
	n, _ := mem.ReadVirt(b[:], nameAt)
	name = bin.CString(b[:n])
	return name, value, name != "" && len(name) < n && printable(name)
}

// fits tells whether the entry at an address exports a symbol of the table.
func (f export) fits(mem Memory, abi ABI, at uint64, t *Table) bool {
	name, value, ok := f.entry(mem, abi, at)
	if !ok {
		return false
	}
	s, err := t.Lookup(name)
	return err == nil && s.Addr == value
}

// table tells whether n entries from an address on all have names, and one of them at least
// exports a symbol of the table: exported data is not in it.
func (f export) table(mem Memory, abi ABI, at, n uint64, t *Table) bool {
	known := false
	for end := at + n*f.size; at < end; at += f.size {
		if _, _, ok := f.entry(mem, abi, at); !ok {
			return false
		}
		known = known || f.fits(mem, abi, at, t)
	}
	return known
}

// findUnnamed finds module.syms by what its entries export.
func (m Module) findUnnamed(mem Memory, bl *block, t *Table) Module {
	ptr := uint64(bl.abi.ptr())
	for at := m.Addr + ptr; at+4*ptr <= bl.end(); at += ptr {
		v, err := bl.uint("struct module", at, int(ptr))
		n := uint64(max(bl.count(at+2*ptr, t.Len()), bl.count(at+3*ptr, t.Len())))
		if err != nil || n == 0 || v-m.Addr+maxReach > 2*maxReach || bl.count(at-4, t.Len()) > 0 {
			continue
		}
		for _, f := range exportForms(ptr) {
			if f.table(mem, bl.abi, v, n, t) {
				m.Ksymtab, m.KsymtabEnd, m.form = v, v+n*f.size, f
				return m
			}
		}
	}
	return m
}

// exported reads the names that module.syms exports, where its entries have no symbols.
func (m Module) exported(mem Memory, abi ABI) map[string]bool {
	names := map[string]bool{}
	if m.form.size == 0 || m.KsymtabEnd-m.Ksymtab > maxModSyms*m.form.size {
		return names
	}
	for at := m.Ksymtab; at < m.KsymtabEnd; at += m.form.size {
		if name, _, ok := m.form.entry(mem, abi, at); ok {
			names[name] = true
		}
	}
	return names
}
