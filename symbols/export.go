package symbols

import (
	"slices"
	"strings"
)

// ksymtab begins the names of the entries of a module's table of exports.
const ksymtab = "__ksymtab_"

// setCase gives type letters as /proc/kallsyms shows them: of a module it tells with
// small and capital letters not whether the symbol is global but whether
// EXPORT_SYMBOL has it (s_show and is_exported in kernel/kallsyms.c and
// kernel/module/kallsyms.c). EXPORT_SYMBOL_GPL does not count until it was joined with
// the other table, somewhere between 6.12 and 7.2.
func (m Module) setCase(syms []Symbol) {
	exported := map[string]bool{}
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
func (m Module) findExports(bl *block, t *Table) Module {
	var entries []uint64
	for s := range t.Match(ksymtab) {
		if strings.HasPrefix(s.Name, ksymtab) {
			entries = append(entries, s.Addr)
		}
	}
	if len(entries) == 0 {
		return m
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
