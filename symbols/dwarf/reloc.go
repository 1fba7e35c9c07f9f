package dwarf

import (
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// relocOp is what a relocation does to the value that stands there.
type relocOp uint8

const (
	opSet relocOp = iota
	opAdd
	opSub
)

// relocKind is a relocation that debug sections have: of how many bytes, and what it does.
// size 0: it does nothing.
type relocKind struct {
	size uint8
	op   relocOp
}

// relocKinds by processor (the psABIs). RISC-V and LoongArch write differences as pairs,
// because their linkers may still shorten code.
func relocKinds(m elf.Machine) map[uint32]relocKind {
	switch m {
	case elf.EM_X86_64:
		return map[uint32]relocKind{0: {}, 1: {8, opSet}, 10: {4, opSet}, 11: {4, opSet}}
	case elf.EM_AARCH64:
		return map[uint32]relocKind{0: {}, 256: {}, 257: {8, opSet}, 258: {4, opSet}, 259: {2, opSet}}
	case elf.EM_386:
		return map[uint32]relocKind{0: {}, 1: {4, opSet}}
	case elf.EM_ARM:
		return map[uint32]relocKind{0: {}, 2: {4, opSet}}
	case elf.EM_PPC64:
		return map[uint32]relocKind{0: {}, 1: {4, opSet}, 38: {8, opSet}}
	case elf.EM_S390:
		return map[uint32]relocKind{0: {}, 4: {4, opSet}, 22: {8, opSet}}
	case elf.EM_RISCV:
		return map[uint32]relocKind{
			0: {}, 1: {4, opSet}, 2: {8, opSet}, 33: {1, opAdd}, 34: {2, opAdd}, 35: {4, opAdd}, 36: {8, opAdd},
			37: {1, opSub}, 38: {2, opSub}, 39: {4, opSub}, 40: {8, opSub}, 54: {1, opSet}, 55: {2, opSet}, 56: {4, opSet},
		}
	case elf.EM_LOONGARCH:
		return map[uint32]relocKind{
			0: {}, 1: {4, opSet}, 2: {8, opSet}, 47: {1, opAdd}, 48: {2, opAdd}, 50: {4, opAdd}, 51: {8, opAdd},
			52: {1, opSub}, 53: {2, opSub}, 55: {4, opSub}, 56: {8, opSub},
		}
	}
	return nil
}

// relocations of a section, in order of their places: looked for in the file as pieces of
// the section are read, because those of a large module have 100 MB.
type relocations struct {
	f      *File
	name   string
	raw    io.ReaderAt
	n      int   // entries
	size   int64 // of an entry
	long   bool  // Elf64_Rela, Elf64_Rel
	addend bool  // SHT_RELA: r_addend; SHT_REL: what stands there
	kinds  map[uint32]relocKind
	sorted []byte // the entries, when those of the file are not in order
}

// maxSorted bounds relocations that have to be put in order.
const maxSorted = 32 << 20

// relocations finds those of a section, nil if there are none.
func (f *File) relocations(s *section) (*relocations, error) {
	for _, es := range f.elf.Sections {
		if es.Type != elf.SHT_RELA && es.Type != elf.SHT_REL || es.Flags&elf.SHF_COMPRESSED != 0 ||
			int(es.Info) >= len(f.elf.Sections) || f.elf.Sections[es.Info] != s.elf {
			continue
		}
		r := &relocations{f: f, name: es.Name, long: f.elf.Class == elf.ELFCLASS64, addend: es.Type == elf.SHT_RELA}
		r.size = map[[2]bool]int64{{true, true}: 24, {true, false}: 16, {false, true}: 12, {false, false}: 8}[[2]bool{r.long, r.addend}]
		r.raw = io.NewSectionReader(f.r, int64(es.Offset), int64(es.FileSize))
		r.n = int(min(es.FileSize, uint64(f.size)) / uint64(r.size))
		if r.kinds = relocKinds(f.elf.Machine); r.kinds == nil {
			return nil, fmt.Errorf("section %s: relocations of %v: %w", es.Name, f.elf.Machine, phys.ErrUnsupported)
		}
		if err := f.symbolValues(); err != nil {
			return nil, err
		}
		return r, r.order()
	}
	return nil, nil
}

// symbolValues reads the values of the symbols that relocations name.
func (f *File) symbolValues() error {
	f.symsOnce.Do(func() {
		tab := f.elf.SectionByType(elf.SHT_SYMTAB)
		if tab == nil {
			f.symsErr = fmt.Errorf("relocations without .symtab: %w", phys.ErrCorrupt)
			return
		}
		f.relSyms = append(f.relSyms, 0)
		for s, err := range f.rawSymbols(tab) {
			if err != nil {
				f.symsErr = err
				return
			}
			f.relSyms = append(f.relSyms, s.Addr)
		}
	})
	return f.symsErr
}

// reloc is one relocation.
type reloc struct {
	off    uint64
	sym    uint32
	kind   uint32
	addend int64
}

// parse reads an entry: r_offset, r_info (symbol and type), r_addend.
func (r *relocations) parse(b []byte) (e reloc) {
	order := r.f.elf.ByteOrder
	if !r.long {
		info := order.Uint32(b[4:])
		e = reloc{off: uint64(order.Uint32(b)), sym: info >> 8, kind: info & 0xff}
		if r.addend {
			e.addend = int64(int32(order.Uint32(b[8:])))
		}
		return e
	}
	info := order.Uint64(b[8:])
	e = reloc{off: order.Uint64(b), sym: uint32(info >> 32), kind: uint32(info)}
	if r.addend {
		e.addend = int64(order.Uint64(b[16:]))
	}
	return e
}

// order looks whether the entries are in order, as assemblers and linkers write them, and
// sorts them if not.
func (r *relocations) order() error {
	last := uint64(0)
	for i := 0; i < r.n; {
		b, err := r.entries(i, min(i+4096, r.n))
		if err != nil {
			return err
		}
		for ; len(b) > 0; b, i = b[r.size:], i+1 {
			off := r.parse(b).off
			if off < last {
				return r.sort()
			}
			last = off
		}
	}
	return nil
}

func (r *relocations) sort() error {
	if int64(r.n)*r.size > maxSorted {
		return wrong(r.name, 0, phys.ErrLimit, "%d relocations are not in order", r.n)
	}
	b, err := r.entries(0, r.n)
	if err != nil {
		return err
	}
	list := make([][]byte, r.n)
	for i := range list {
		list[i] = b[int64(i)*r.size:][:r.size]
	}
	slices.SortStableFunc(list, func(a, b []byte) int { return cmp.Compare(r.parse(a).off, r.parse(b).off) })
	r.sorted = slices.Concat(list...)
	return nil
}

// entries reads the entries from one to another.
func (r *relocations) entries(from, to int) ([]byte, error) {
	if r.sorted != nil {
		return r.sorted[int64(from)*r.size : int64(to)*r.size], nil
	}
	b := make([]byte, int64(to-from)*r.size)
	if n, err := r.raw.ReadAt(b, int64(from)*r.size); n < len(b) {
		return nil, fmt.Errorf("section %s at %#x: %w: %w", r.name, int64(from)*r.size, err, phys.ErrLost)
	}
	return b, nil
}

// apply relocates b, which stands at off of the section.
func (r *relocations) apply(b []byte, off int64) error {
	var err error
	end := uint64(off) + uint64(len(b))
	// One that begins before b can reach into it.
	first := sort.Search(r.n, func(i int) bool {
		e, rerr := r.entries(i, i+1)
		if rerr != nil {
			err = rerr
			return true
		}
		return r.parse(e).off+7 >= uint64(off)
	})
	for i := first; i < r.n && err == nil; {
		var es []byte
		if es, err = r.entries(i, min(i+1024, r.n)); err != nil {
			break
		}
		for ; len(es) > 0; es, i = es[r.size:], i+1 {
			e := r.parse(es)
			if e.off >= end {
				return nil
			}
			if err := r.one(e, b, uint64(off)); err != nil {
				return err
			}
		}
	}
	return err
}

// one applies a relocation to b, which stands at off. One that is cut by the edge of b is left
// out: who reads a value reads it whole.
func (r *relocations) one(e reloc, b []byte, off uint64) error {
	k, known := r.kinds[e.kind]
	switch {
	case !known:
		return wrong(r.name, int64(e.off), phys.ErrUnsupported, "relocation type %d", e.kind)
	case k.size == 0:
		return nil
	case uint64(e.sym) >= uint64(len(r.f.relSyms)):
		return wrong(r.name, int64(e.off), phys.ErrCorrupt, "symbol %d of %d", e.sym, len(r.f.relSyms))
	}
	if e.off < off || e.off+uint64(k.size) > off+uint64(len(b)) {
		return nil
	}
	p := b[e.off-off:][:k.size]
	v, old := r.f.relSyms[e.sym]+uint64(e.addend), bin.Uint(p, r.f.elf.ByteOrder)
	switch {
	case k.op == opAdd, k.op == opSet && !r.addend:
		v += old
	case k.op == opSub:
		v = old - v
	}
	bin.PutUint(p, v, r.f.elf.ByteOrder)
	return nil
}
