package elfcore

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Header is what the ELF header says of the dump.
type Header struct {
	Class   int              // 32 or 64; of the file: an i386 or Arm kernel with PAE writes 64
	Order   binary.ByteOrder // of the file and of the machine
	Type    uint16           // e_type
	Machine uint16           // e_machine
	Flags   uint32           // e_flags; makedumpfile -E sets bit 0 when it could not finish

	phoff, shoff                                 uint64
	phentsize, phnum, shentsize, shnum, shstrndx uint16
}

// e_type, e_machine and the other numbers of the ELF gABI that are compared here.
const (
	typeRel, typeExec, typeDyn, typeCore = 1, 2, 3, 4

	machine386, machinePPC64, machineS390, machineARM = 3, 21, 22, 40

	ptLoad, ptNote = 1, 4

	pnXNum = 0xffff // PN_XNUM: the count did not fit into e_phnum
)

// ehdr is Elf32_Ehdr and Elf64_Ehdr: they differ in the width of three members only.
// e_ehsize is not looked at: QEMU 7.2 writes 8 there.
var ehdr = bin.Layout[Header]{Name: "Ehdr", Fields: []bin.Field[Header]{
	{Name: "e_ident", Kind: bin.Bytes, Len: 16, Text: func(*Header, []byte) {}},
	{Name: "e_type", Kind: bin.U16, Set: func(h *Header, v uint64) { h.Type = uint16(v) }},
	{Name: "e_machine", Kind: bin.U16, Set: func(h *Header, v uint64) { h.Machine = uint16(v) }},
	{Name: "e_version", Kind: bin.U32, Set: func(*Header, uint64) {}},
	{Name: "e_entry", Kind: bin.Ulong, Set: func(*Header, uint64) {}},
	{Name: "e_phoff", Kind: bin.Ulong, Set: func(h *Header, v uint64) { h.phoff = v }},
	{Name: "e_shoff", Kind: bin.Ulong, Set: func(h *Header, v uint64) { h.shoff = v }},
	{Name: "e_flags", Kind: bin.U32, Set: func(h *Header, v uint64) { h.Flags = uint32(v) }},
	{Name: "e_ehsize", Kind: bin.U16, Set: func(*Header, uint64) {}},
	{Name: "e_phentsize", Kind: bin.U16, Set: func(h *Header, v uint64) { h.phentsize = uint16(v) }},
	{Name: "e_phnum", Kind: bin.U16, Set: func(h *Header, v uint64) { h.phnum = uint16(v) }},
	{Name: "e_shentsize", Kind: bin.U16, Set: func(h *Header, v uint64) { h.shentsize = uint16(v) }},
	{Name: "e_shnum", Kind: bin.U16, Set: func(h *Header, v uint64) { h.shnum = uint16(v) }},
	{Name: "e_shstrndx", Kind: bin.U16, Set: func(h *Header, v uint64) { h.shstrndx = uint16(v) }},
}}

// shdr is Elf32_Shdr and Elf64_Shdr.
var shdr = bin.Layout[section]{Name: "Shdr", Fields: []bin.Field[section]{
	{Name: "sh_name", Kind: bin.U32, Set: func(s *section, v uint64) { s.name = uint32(v) }},
	{Name: "sh_type", Kind: bin.U32, Set: func(*section, uint64) {}},
	{Name: "sh_flags", Kind: bin.Ulong, Set: func(*section, uint64) {}},
	{Name: "sh_addr", Kind: bin.Ulong, Set: func(*section, uint64) {}},
	{Name: "sh_offset", Kind: bin.Ulong, Set: func(s *section, v uint64) { s.off = v }},
	{Name: "sh_size", Kind: bin.Ulong, Set: func(s *section, v uint64) { s.size = v }},
	{Name: "sh_link", Kind: bin.U32, Set: func(*section, uint64) {}},
	{Name: "sh_info", Kind: bin.U32, Set: func(s *section, v uint64) { s.info = uint32(v) }},
	{Name: "sh_addralign", Kind: bin.Ulong, Set: func(*section, uint64) {}},
	{Name: "sh_entsize", Kind: bin.Ulong, Set: func(*section, uint64) {}},
}}

type section struct {
	name, info uint32
	off, size  uint64
}

// abi is that of the file's class.
func (h *Header) abi() bin.ABI {
	return bin.ABI{Order: h.Order, Long: h.Class / 8, Align64: h.Class / 8}
}

// readHeader reads the ELF header. A file shorter than it is phys.ErrLost.
func readHeader(r io.ReaderAt, size int64) (Header, error) {
	ident, err := bin.ReadN(r, size, 0, 16, 16)
	if err != nil {
		return Header{}, fmt.Errorf("elf: truncated header (%d of 64 bytes): %w", size, err)
	}
	if string(ident[:4]) != "\x7fELF" {
		return Header{}, &NotCore{"no ELF file", "give a dump"}
	}
	var h Header
	if h.Class, h.Order = classOf(ident[4]), orderOf(ident[5]); h.Class == 0 || h.Order == nil {
		return h, fmt.Errorf("elf: class %d, byte order %d: %w", ident[4], ident[5], phys.ErrCorrupt)
	}
	abi := h.abi()
	want := ehdr.Size(abi, 0)
	b, err := bin.ReadN(r, size, 0, uint64(want), want)
	if err != nil {
		return h, fmt.Errorf("elf: truncated header (%d of %d bytes): %w", size, want, err)
	}
	class, order := h.Class, h.Order
	h, err = ehdr.Decode(b, abi, 0)
	h.Class, h.Order = class, order
	return h, err
}

func classOf(b byte) int {
	switch b {
	case 1:
		return 32
	case 2:
		return 64
	}
	return 0
}

func orderOf(b byte) binary.ByteOrder {
	switch b {
	case 1:
		return binary.LittleEndian
	case 2:
		return binary.BigEndian
	}
	return nil
}

// machines gives uname -m of an e_machine: class 32 and 64, little and big endian.
var machines = map[uint16][4]string{
	machine386:   {"i686", "i686", "", ""},
	8:            {"mips", "mips64", "mips", "mips64"},
	15:           {"", "", "parisc", "parisc64"},
	20:           {"ppc", "", "ppc", ""},
	machinePPC64: {"", "ppc64le", "", "ppc64"},
	machineS390:  {"", "", "s390", "s390x"},
	machineARM:   {"armv7l", "armv7l", "armv7b", "armv7b"},
	43:           {"", "", "", "sparc64"},
	50:           {"", "ia64", "", ""},
	62:           {"x86_64", "x86_64", "", ""},
	183:          {"", "aarch64", "", "aarch64_be"},
	243:          {"riscv32", "riscv64", "", ""},
	258:          {"loongarch32", "loongarch64", "", ""},
}

// Arch is the architecture as uname -m says it, "" when e_machine is not known. QEMU
// writes what mode the first CPU is in: an x86-64 guest in its firmware says i686.
func (h *Header) Arch() string {
	i := 0
	if h.Class == 64 {
		i++
	}
	if h.Order == binary.BigEndian {
		i += 2
	}
	return machines[h.Machine][i]
}

// PtrSize is the size of the machine's pointers in bytes. It is not the class: a 32-bit
// kernel with PAE or LPAE needs the 64-bit class for its physical addresses.
func (h *Header) PtrSize() int {
	if h.Machine == machine386 || h.Machine == machineARM {
		return 4
	}
	return h.Class / 8
}

// Limits of what is read of section headers: only names are looked for.
const (
	maxSections = 1024
	maxStrtab   = 64 << 10
)

// section0 is the section header that holds what does not fit into the ELF header.
func (h *Header) section0(r io.ReaderAt, size int64) (section, error) {
	n := shdr.Size(h.abi(), 0)
	b, err := bin.ReadN(r, size, int64(h.shoff), uint64(n), n)
	if err != nil {
		return section{}, err
	}
	return shdr.Decode(b, h.abi(), 0)
}

// sectionNames lists the names of the sections, as far as the file has them.
func (h *Header) sectionNames(r io.ReaderAt, size int64) []string {
	stride := max(int(h.shentsize), shdr.Size(h.abi(), 0))
	count := min(int(h.shnum), maxSections)
	table, _ := bin.ReadN(r, size, int64(h.shoff), uint64(count*stride), maxSections<<16)
	var all []section
	for ; len(table) >= shdr.Size(h.abi(), 0) && count > 0; count-- {
		s, _ := shdr.Decode(table, h.abi(), 0) // the length was tested
		all = append(all, s)
		table = table[min(stride, len(table)):]
	}
	if int(h.shstrndx) >= len(all) {
		return nil
	}
	strtab := all[h.shstrndx]
	text, _ := bin.ReadN(r, size, int64(strtab.off), min(strtab.size, maxStrtab), maxStrtab)
	var names []string
	for _, s := range all {
		if uint64(s.name) < uint64(len(text)) {
			names = append(names, bin.CString(text[s.name:]))
		}
	}
	return names
}
