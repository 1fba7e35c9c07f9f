package dwarf

import (
	"debug/elf"
	"fmt"
	"iter"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Symbol is a symbol of .symtab.
type Symbol struct {
	Name    string
	Addr    uint64 // in the file's own addresses
	Size    uint64
	Type    elf.SymType
	Bind    elf.SymBind
	Section int // in the section header table; 0 is undefined, see elf.SectionIndex
}

const (
	maxSymbols = 1 << 24 // 130,000 in a 6.1 vmlinux
	maxStrtab  = 256 << 20
)

// Symbols yields the symbols of .symtab in the order of the file, without the first, which
// is none. The names are parts of one string: it is let go when nobody keeps a Symbol. An
// error ends the walk.
func (f *File) Symbols() iter.Seq2[Symbol, error] {
	return func(yield func(Symbol, error) bool) {
		tab := f.elf.SectionByType(elf.SHT_SYMTAB)
		if tab == nil {
			return
		}
		names, err := f.symbolNames(tab)
		if err != nil {
			yield(Symbol{}, err)
			return
		}
		for s, err := range f.rawSymbols(tab) {
			if err != nil {
				yield(Symbol{}, err)
				return
			}
			if s.name >= uint64(len(names)) {
				continue // damaged
			}
			s.Name, _, _ = strings.Cut(names[s.name:min(uint64(len(names)), s.name+maxText)], "\x00")
			if !yield(s.Symbol, nil) {
				return
			}
		}
	}
}

// symbolNames reads the string table of a symbol table.
func (f *File) symbolNames(tab *elf.Section) (string, error) {
	if tab.Link == 0 || int(tab.Link) >= len(f.elf.Sections) {
		return "", wrong(tab.Name, 0, phys.ErrCorrupt, "sh_link %d is no section", tab.Link)
	}
	s := f.elf.Sections[tab.Link]
	b, err := bin.ReadN(f.r, f.size, int64(s.Offset), s.FileSize, maxStrtab)
	if err != nil {
		return "", fmt.Errorf("section %s: %w", s.Name, err)
	}
	return string(b), nil
}

// rawSymbol is a symbol as it stands in the table.
type rawSymbol struct {
	Symbol
	name uint64 // offset in the string table
}

// rawSymbols reads a symbol table: Elf64_Sym {name u32, info, other u8, shndx u16, value,
// size u64}, Elf32_Sym {name, value, size u32, info, other u8, shndx u16}.
func (f *File) rawSymbols(tab *elf.Section) iter.Seq2[rawSymbol, error] {
	long := f.elf.Class == elf.ELFCLASS64
	size := uint64(16)
	if long {
		size = 24
	}
	return func(yield func(rawSymbol, error) bool) {
		n := min(tab.FileSize/size, maxSymbols)
		block := make([]byte, min(n, 4096)*size)
		for i := uint64(1); i < n; {
			b := block[:min(uint64(len(block)), (n-i)*size)]
			if got, err := f.r.ReadAt(b, int64(tab.Offset+i*size)); got < len(b) {
				yield(rawSymbol{}, fmt.Errorf("section %s at %#x: %w: %w", tab.Name, i*size, err, phys.ErrLost))
				return
			}
			r := buf{what: tab.Name, b: b, order: f.elf.ByteOrder}
			for ; r.at < len(b); i++ {
				if !yield(f.rawSymbol(&r, long), nil) {
					return
				}
			}
		}
	}
}

func (f *File) rawSymbol(r *buf, long bool) (s rawSymbol) {
	s.name = uint64(r.u32())
	if !long {
		s.Addr, s.Size = uint64(r.u32()), uint64(r.u32())
	}
	info := r.u8()
	s.Type, s.Bind = elf.ST_TYPE(info), elf.ST_BIND(info)
	r.u8()
	s.Section = int(r.u16())
	if long {
		s.Addr, s.Size = r.u64(), r.u64()
	}
	if f.Relocatable() && s.Section < len(f.place) {
		s.Addr += f.place[s.Section]
	}
	return s
}

// Letter is the letter that nm and /proc/kallsyms print of a symbol: T is code, R, D and B
// data that is read only, that has values, and that begins as zeros, each small where the
// symbol is local; W and V are weak, ? is in a section that is not loaded. 0 is no place: the
// symbols of sections and files, undefined ones, numbers.
func (f *File) Letter(s Symbol) byte {
	if s.Section <= 0 || s.Section >= len(f.elf.Sections) || s.Type == elf.STT_SECTION || s.Type == elf.STT_FILE {
		return 0
	}
	in := f.elf.Sections[s.Section]
	letter := byte('R')
	switch {
	case in.Flags&elf.SHF_ALLOC == 0:
		return '?'
	case s.Bind == elf.STB_WEAK && s.Type == elf.STT_OBJECT:
		return 'V'
	case s.Bind == elf.STB_WEAK:
		return 'W'
	case in.Flags&elf.SHF_EXECINSTR != 0:
		letter = 'T'
	case strings.Contains(in.Name, "bss") || in.Name == ".brk": // not by SHT_NOBITS, as which files of debug information alone have all sections
		letter = 'B'
	case in.Flags&elf.SHF_WRITE != 0:
		letter = 'D'
	}
	if s.Bind == elf.STB_LOCAL {
		letter |= 0x20
	}
	return letter
}
