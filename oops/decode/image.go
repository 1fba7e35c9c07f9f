package decode

import (
	"cmp"
	"debug/elf"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// image is the code of the kernel or of a module: where its functions are.
type image struct {
	file   *dwarf.File
	byName map[string][]function
}

type function struct {
	addr uint64
	size uint64 // as ELF has it, 0 for what an assembler wrote without
	room uint64 // to the next symbol, as kallsyms counts; 0 for the last of its section
}

// readImage reads the symbols. Names without a function are there too: assemblers do not say
// what is one.
func readImage(f *dwarf.File) (*image, error) {
	type symbol struct {
		dwarf.Symbol
		room uint64
	}
	var list []symbol
	code := map[int]bool{}
	for _, s := range f.Sections() {
		code[s.Index] = s.Code
	}
	for s, err := range f.Symbols() {
		if err != nil {
			return nil, err
		}
		if code[s.Section] && (s.Type == elf.STT_FUNC || s.Type == elf.STT_NOTYPE) && s.Name != "" && !strings.HasPrefix(s.Name, "$") && !strings.HasPrefix(s.Name, ".L") {
			list = append(list, symbol{s, 0})
		}
	}
	slices.SortStableFunc(list, func(a, b symbol) int { return cmp.Compare(a.Addr, b.Addr) })
	im := &image{file: f, byName: make(map[string][]function, len(list))}
	next, section := uint64(0), -1
	above := uint64(0)
	for i := len(list) - 1; i >= 0; i-- {
		s := &list[i]
		if s.Section != section {
			section, next, above = s.Section, 0, 0
		}
		if above != 0 && above != s.Addr {
			next = above
		}
		above = s.Addr
		if next != 0 {
			s.room = next - s.Addr
		}
		im.byName[s.Name] = append(im.byName[s.Name], function{s.Addr, s.Size, s.room})
	}
	return im, nil
}

// find is where a place is in the file.
func (im *image) find(p Place) (uint64, error) {
	all := im.byName[p.Symbol]
	if len(all) == 0 {
		return 0, ErrNoFunction
	}
	fits := slices.DeleteFunc(slices.Clone(all), func(f function) bool { return !f.fits(p) })
	switch {
	case len(fits) == 0:
		return 0, ErrOtherBuild
	case len(fits) > 1:
		return 0, ErrAmbiguous
	}
	return fits[0].addr + p.Offset, nil
}

// fits tells whether a function can be that of a place. What stands behind the last one of a
// section is known when the kernel is linked, or the module loaded.
func (f function) fits(p Place) bool {
	if p.Size == 0 {
		return f.size == 0 || p.Offset <= f.size
	}
	return p.Size == f.room || p.Size == f.size || f.room == 0 && p.Size >= f.size
}
