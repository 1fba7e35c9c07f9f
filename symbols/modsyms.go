package symbols

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// elfSym is a symbol of a module.
type elfSym struct {
	name  uint64 // st_name: offset in strtab
	info  byte   // st_info: type and binding, before 5.2 the type letter
	shndx uint16 // st_shndx: 0 means undefined
	value uint64 // st_value: the address, the kernel has relocated it
}

func setName(s *elfSym, v uint64)  { s.name = v }
func setValue(s *elfSym, v uint64) { s.value = v }
func setInfo(s *elfSym, v uint64)  { s.info = byte(v) }
func setShndx(s *elfSym, v uint64) { s.shndx = uint16(v) }
func setNone(*elfSym, uint64)      {}

// elfSyms are Elf64_Sym and Elf32_Sym, which differ in order (gabi, include/uapi/linux/elf.h).
func elfSyms(abi ABI) bin.Layout[elfSym] {
	if abi.ptr() == 4 {
		return bin.Layout[elfSym]{Name: "Elf32_Sym", Fields: []bin.Field[elfSym]{
			{Name: "st_name", Kind: bin.U32, Set: setName},
			{Name: "st_value", Kind: bin.U32, Set: setValue},
			{Name: "st_size", Kind: bin.U32, Set: setNone},
			{Name: "st_info", Kind: bin.U8, Set: setInfo},
			{Name: "st_other", Kind: bin.U8, Set: setNone},
			{Name: "st_shndx", Kind: bin.U16, Set: setShndx},
		}}
	}
	return bin.Layout[elfSym]{Name: "Elf64_Sym", Fields: []bin.Field[elfSym]{
		{Name: "st_name", Kind: bin.U32, Set: setName},
		{Name: "st_info", Kind: bin.U8, Set: setInfo},
		{Name: "st_other", Kind: bin.U8, Set: setNone},
		{Name: "st_shndx", Kind: bin.U16, Set: setShndx},
		{Name: "st_value", Kind: bin.U64, Set: setValue},
		{Name: "st_size", Kind: bin.U64, Set: setNone},
	}}
}

// ModuleSymbols reads the symbols of one module, in the order and with the type letters
// of /proc/kallsyms: small letters, but capitals for exported symbols.
//
// As with Kallsyms, the table has what could be read when the error is about absent
// memory. Tables that are not those of this module give no table and phys.ErrCorrupt.
func ModuleSymbols(mem Memory, abi ABI, m Module) (*Table, error) {
	if m.NumSymtab < 2 || m.NumSymtab > maxModSyms {
		return nil, m.wrong("%d symbols", m.NumSymtab)
	}
	r := modReader{m: m, abi: abi}
	if err := r.readSymtab(mem); err != nil {
		return nil, err
	}
	if err := r.readStrings(mem); err != nil {
		return nil, err
	}
	if err := r.readTypes(mem); err != nil {
		return nil, err
	}
	return r.table(m.exported(mem, abi))
}

func (m Module) wrong(format string, args ...any) error {
	return fmt.Errorf("module %s, symbols at %#x: %s: %w", m.Name, m.Symtab, fmt.Sprintf(format, args...), phys.ErrCorrupt)
}

// modReader holds the tables of one module. An absent symbol is the zero elfSym.
type modReader struct {
	m    Module
	abi  ABI
	syms []elfSym
	strs *block
	typ  []byte // type letter of each symbol
	lost int
	why  error // the first absence
}

// lose counts a symbol that is, wholly or in part, in an absence of bl.
func (r *modReader) lose(what string, g *gap) {
	r.lost++
	if r.why == nil {
		r.why = fmt.Errorf("module %s, %s at %#x: %w", r.m.Name, what, g.from, g.err)
	}
}

// probe looks at the first two symbols only: that ends most wrong guesses at once, before
// what they take for the number of symbols is read.
func (m Module) probe(mem Memory, abi ABI) error {
	r := modReader{m: m, abi: abi}
	r.m.NumSymtab = 2
	if err := r.readSymtab(mem); err != nil {
		return err
	}
	if r.lost > 0 {
		return r.why
	}
	if err := r.readStrings(mem); err != nil {
		return err
	}
	if name, g, ok := r.name(r.syms[1]); g == nil && (!ok || name == "") {
		return m.wrong("name at %#x is no text", m.Strtab+r.syms[1].name)
	}
	return nil
}

// readSymtab reads the symbols. The first is the null symbol of ELF.
func (r *modReader) readSymtab(mem Memory) error {
	layout, babi := elfSyms(r.abi), bin.ABI{Order: r.abi.order(), Long: r.abi.ptr(), Align64: 8}
	size := layout.Size(babi, 0)
	bl := readBlock(mem, r.abi, r.m.Symtab, r.m.NumSymtab*size)
	r.syms = make([]elfSym, len(bl.b)/size)
	for i := range r.syms {
		at := bl.va + uint64(i*size)
		if g := bl.lost(at, at+uint64(size)); g != nil {
			r.lose("symtab", g)
			continue
		}
		r.syms[i], _ = layout.Decode(bl.b[i*size:][:size], babi, 0)
		if i == 0 && !bytes.Equal(bl.b[:size], make([]byte, size)) {
			return r.m.wrong("the first is not the null symbol")
		}
	}
	if r.lost == len(r.syms) {
		return r.why
	}
	return nil
}

// readStrings reads strtab as far as the symbols point into it.
func (r *modReader) readStrings(mem Memory) error {
	last := uint64(0)
	for _, s := range r.syms {
		last = max(last, s.name)
	}
	if last > uint64(len(r.syms))*maxName {
		return r.m.wrong("st_name %#x", last)
	}
	r.strs = readBlock(mem, r.abi, r.m.Strtab, int(last)+maxName)
	if b := r.strs.upto(r.m.Strtab, r.m.Strtab+1); len(b) == 1 && b[0] != 0 {
		return r.m.wrong("strtab does not begin with an empty string")
	}
	return nil
}

// localLabel begins labels of the assembler's own, which RISC-V's modules keep: ".L0 ",
// ".L886\x021".
const localLabel = ".L"

// name gives the name of a symbol. Without one, g is the absence that hides it, or nil
// when there is no text.
func (r *modReader) name(s elfSym) (name string, g *gap, ok bool) {
	at := r.m.Strtab + s.name
	b := r.strs.upto(at, at+maxName)
	if n := bytes.IndexByte(b, 0); n >= 0 {
		name = string(b[:n])
		return name, nil, printable(name) || strings.HasPrefix(name, localLabel)
	}
	return "", r.strs.lost(at, at+maxName), false
}

// readTypes reads the type letters. Absent ones become '?', nm's letter for what it does
// not know.
func (r *modReader) readTypes(mem Memory) error {
	r.typ = make([]byte, len(r.syms))
	for i, s := range r.syms {
		r.typ[i] = s.info
	}
	if r.m.Typetab != 0 {
		bl := readBlock(mem, r.abi, r.m.Typetab, len(r.typ))
		copy(r.typ, bl.b)
		for i := range bl.gaps {
			g := &bl.gaps[i]
			for k := g.from; k < g.to; k++ {
				r.typ[k-bl.va] = '?'
			}
			r.lose("typetab", g)
		}
	}
	for i, c := range r.typ {
		if r.syms[i].name != 0 && !typeLetter(c) {
			return r.m.wrong("type letter %#x", c)
		}
	}
	return nil
}

// table makes the table and, last check, looks whether it is about this module. exported are
// the names that are known to be in module.syms.
func (r *modReader) table(exported map[string]bool) (*Table, error) {
	var syms []Symbol
	near := 0
	for i, s := range r.syms {
		if s.name == 0 || s.shndx == 0 {
			continue
		}
		name, g, ok := r.name(s)
		switch {
		case g != nil:
			r.lose("strtab", g)
			continue
		case !ok || name == "":
			return nil, r.m.wrong("name at %#x is no text", r.m.Strtab+s.name)
		case name == "__this_module" && s.value != r.m.Addr:
			return nil, r.m.wrong("__this_module is %#x, not %#x", s.value, r.m.Addr)
		}
		if r.m.near(s.value) {
			near++
		}
		syms = append(syms, Symbol{Name: name, Addr: s.value, Type: r.typ[i], Module: r.m.Name})
	}
	if len(syms) == 0 && r.why != nil {
		return nil, r.why
	}
	if len(syms) == 0 || 2*near < len(syms) {
		return nil, r.m.wrong("only %d of %d are in the memory of modules", near, len(syms))
	}
	r.m.setCase(syms, exported)
	if r.why != nil {
		return New(syms), fmt.Errorf("%d of %d symbols lost: %w", r.lost, len(r.syms), r.why)
	}
	return New(syms), nil
}
