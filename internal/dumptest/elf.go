package dumptest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// ELF says how an ELF core is written. The zero value is a little-endian x86-64 file.
type ELF struct {
	Order   Order // nil is little-endian
	Class32 bool
	Machine elf.Machine // 0 is EM_X86_64
	Notes   []byte
	Virt    uint64 // p_vaddr of physical address 0
	Flags   uint32 // e_flags; 1 is makedumpfile's mark of an incomplete dump
	Align   bool   // segments begin on pages of the file, as /proc/vmcore has them
	XNum    bool   // the number of segments stands in section 0
}

// segment is a program header with its bytes.
type segment struct {
	head elf.Prog64
	data []byte
}

// ELF writes the image as an ELF core: a PT_NOTE, then a PT_LOAD for each run of pages
// that are there, whose memsz reaches over the excluded pages behind it.
func (m *Image) ELF(o ELF) ([]byte, error) {
	if len(m.Lost)+len(m.Damage) > 0 {
		return nil, fmt.Errorf("an ELF core has no descriptors to lose or damage")
	}
	if o.Order == nil {
		o.Order = binary.LittleEndian
	}
	if o.Machine == 0 {
		o.Machine = elf.EM_X86_64
	}
	segs := append([]segment{{elf.Prog64{Type: uint32(elf.PT_NOTE)}, o.Notes}}, m.loads(o.Virt)...)
	at := o.headSize(len(segs))
	for i := range segs {
		h := &segs[i].head
		if o.Align && len(segs[i].data) > 0 {
			at = (at + uint64(m.PageSize) - 1) / uint64(m.PageSize) * uint64(m.PageSize)
		}
		h.Filesz = uint64(len(segs[i].data))
		h.Memsz = max(h.Memsz, h.Filesz)
		if h.Off = at; h.Filesz == 0 {
			h.Off = 0
		}
		at += h.Filesz
	}
	return o.file(segs)
}

// loads are the PT_LOADs.
func (m *Image) loads(virt uint64) []segment {
	var runs []phys.Run
	for _, p := range m.PFNs() {
		runs = append(runs, phys.Run{Start: p, End: p + 1})
	}
	var out []segment
	for _, r := range union(append(runs, m.Excluded...)) {
		out = append(out, m.split(r, virt)...)
	}
	return out
}

// split cuts a run of memory where pages are there behind excluded ones.
func (m *Image) split(r phys.Run, virt uint64) (out []segment) {
	tail := true
	for p := r.Start; p < r.End; p++ {
		page := m.Pages[p]
		if len(out) == 0 || page != nil && tail {
			a := uint64(p) * uint64(m.PageSize)
			out = append(out, segment{head: elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 7, Paddr: a, Vaddr: virt + a}})
		}
		s := &out[len(out)-1]
		s.head.Memsz += uint64(m.PageSize)
		s.data = append(s.data, page...)
		tail = page == nil
	}
	return out
}

// headSize is the size of the file's header, its program headers and, for many of them,
// section 0.
func (o ELF) headSize(segments int) uint64 {
	head, prog, section := 64, 56, 64
	if o.Class32 {
		head, prog, section = 52, 32, 40
	}
	if !o.XNum {
		section = 0
	}
	return uint64(head + prog*segments + section)
}

func (o ELF) file(segs []segment) ([]byte, error) {
	var b bytes.Buffer
	parts := append([]any{o.header(len(segs))}, o.progs(segs)...)
	if o.XNum {
		parts = append(parts, o.section(len(segs)))
	}
	for _, p := range parts {
		if err := binary.Write(&b, o.Order, p); err != nil {
			return nil, err
		}
	}
	for _, s := range segs {
		if gap := int(s.head.Off) - b.Len(); gap > 0 {
			b.Write(make([]byte, gap))
		}
		b.Write(s.data)
	}
	return b.Bytes(), nil
}

func (o ELF) ident() (id [elf.EI_NIDENT]byte) {
	copy(id[:], elf.ELFMAG)
	id[elf.EI_CLASS], id[elf.EI_DATA], id[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if o.Class32 {
		id[elf.EI_CLASS] = byte(elf.ELFCLASS32)
	}
	if o.Order == Order(binary.BigEndian) {
		id[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	return id
}

// header is the ELF header for a number of segments.
func (o ELF) header(segments int) any {
	h := elf.Header64{
		Ident: o.ident(), Type: uint16(elf.ET_CORE), Machine: uint16(o.Machine), Version: 1,
		Phoff: 64, Flags: o.Flags, Ehsize: 64, Phentsize: 56, Phnum: uint16(segments),
	}
	if o.XNum {
		h.Phnum, h.Shentsize, h.Shnum = 0xffff, 64, 1
		h.Shoff = 64 + 56*uint64(segments)
	}
	if !o.Class32 {
		return h
	}
	h32 := elf.Header32{
		Ident: h.Ident, Type: h.Type, Machine: h.Machine, Version: 1,
		Phoff: 52, Flags: h.Flags, Ehsize: 52, Phentsize: 32, Phnum: h.Phnum, Shnum: h.Shnum,
	}
	if o.XNum {
		h32.Shentsize, h32.Shoff = 40, 52+32*uint32(segments)
	}
	return h32
}

// section is section 0, which holds the number of segments in sh_info.
func (o ELF) section(segments int) any {
	if o.Class32 {
		return elf.Section32{Info: uint32(segments)}
	}
	return elf.Section64{Info: uint32(segments)}
}

func (o ELF) progs(segs []segment) (out []any) {
	for _, s := range segs {
		h := s.head
		if !o.Class32 {
			out = append(out, h)
			continue
		}
		out = append(out, elf.Prog32{
			Type: h.Type, Off: uint32(h.Off), Vaddr: uint32(h.Vaddr), Paddr: uint32(h.Paddr),
			Filesz: uint32(h.Filesz), Memsz: uint32(h.Memsz), Flags: h.Flags, Align: uint32(h.Align),
		})
	}
	return out
}
