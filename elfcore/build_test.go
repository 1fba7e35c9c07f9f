package elfcore

import (
	"bytes"
	"encoding/binary"
)

// order is what binary.LittleEndian and binary.BigEndian can.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// core describes an ELF file for build. Zero fields have their usual value.
type core struct {
	class     int    // 64
	order     order  // little-endian
	typ       uint16 // core
	machine   uint16 // x86-64
	flags     uint32
	phentsize int
	phoff     int // 0: behind the ELF header
	xnum      xnum
	segs      []phdr
	notes     []byte // with PT_NOTE in front of segs, at noteOff
	sections  []string
	size      int // of the file; 0: as long as the segments need
}

// xnum is how the number of program headers is told.
type xnum int

const (
	plain     xnum = iota
	inSection      // PN_XNUM, section 0 at the end of the file
	noSection      // PN_XNUM without section headers
	cutOff         // PN_XNUM, section 0 behind the end of the file
)

const noteOff = 0x300

func (c *core) defaults() {
	if c.class == 0 {
		c.class = 64
	}
	if c.order == nil {
		c.order = binary.LittleEndian
	}
	if c.typ == 0 {
		c.typ = typeCore
	}
	if c.machine == 0 {
		c.machine = 62
	}
	h := Header{Class: c.class}
	if c.phentsize == 0 {
		c.phentsize = h.phdrSize()
	}
	if c.phoff == 0 {
		c.phoff = ehdr.Size(h.abi(), 0)
	}
	if c.notes != nil {
		n := uint64(len(c.notes))
		c.segs = append([]phdr{{typ: ptNote, offset: noteOff, filesz: n, memsz: n}}, c.segs...)
	}
}

// word appends an address or offset of the class.
func (c *core) word(b []byte, v uint64) []byte {
	if c.class == 64 {
		return c.order.AppendUint64(b, v)
	}
	return c.order.AppendUint32(b, uint32(v))
}

// build makes the bytes of the file. The byte at offset i of a segment's data is fill(i).
func (c core) build() []byte {
	c.defaults()
	o := c.order
	file := make([]byte, c.phoff)
	for i, p := range c.segs {
		h := o.AppendUint32(nil, p.typ)
		if c.class == 64 {
			h = o.AppendUint32(h, 7)
		}
		for _, v := range []uint64{p.offset, p.vaddr, p.paddr, p.filesz, p.memsz} {
			h = c.word(h, v)
		}
		file = append(file[:c.phoff+i*c.phentsize], append(h, make([]byte, c.phentsize)...)...)
	}
	file = file[:c.phoff+len(c.segs)*c.phentsize]
	for _, p := range c.segs {
		if p.offset < 1<<20 && p.filesz < 1<<20 {
			file = grown(file, int(p.offset+p.filesz))
		}
	}
	for i := c.phoff + len(c.segs)*c.phentsize; i < len(file); i++ {
		file[i] = fill(i)
	}
	if c.notes != nil {
		copy(file[noteOff:], c.notes)
	}
	shoff := 0
	if c.xnum == inSection || c.sections != nil {
		shoff = len(file)
		file = append(file, c.sectionTable(shoff)...)
	}
	if c.xnum == cutOff {
		shoff = 1 << 30
	}
	copy(file, c.header(shoff))
	if c.size > 0 {
		file = grown(file, c.size)[:c.size]
	}
	return file
}

// fill is what the builder writes at a file offset.
func fill(off int) byte { return byte(off*7 + off>>8) }

func grown(b []byte, n int) []byte {
	if len(b) < n {
		b = append(b, make([]byte, n-len(b))...)
	}
	return b
}

func (c *core) header(shoff int) []byte {
	o := c.order
	b := []byte{0x7f, 'E', 'L', 'F', byte(c.class / 32), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if o == order(binary.BigEndian) {
		b[5] = 2
	}
	b = o.AppendUint16(b, c.typ)
	b = o.AppendUint16(b, c.machine)
	b = o.AppendUint32(b, 1)
	b = c.word(b, 0)
	b = c.word(b, uint64(c.phoff))
	b = c.word(b, uint64(shoff))
	b = o.AppendUint32(b, c.flags)
	phnum := len(c.segs)
	if c.xnum != plain {
		phnum = pnXNum
	}
	h := Header{Class: c.class}
	shnum, shstrndx := 0, 0
	if c.sections != nil {
		shnum, shstrndx = len(c.sections)+2, 1
	}
	for _, v := range []int{8, c.phentsize, phnum, shdr.Size(h.abi(), 0), shnum, shstrndx} {
		b = o.AppendUint16(b, uint16(v))
	}
	return b
}

// sectionTable is section 0 (with the count of program headers), the string table, and
// the named sections.
func (c *core) sectionTable(off int) []byte {
	h := Header{Class: c.class}
	strtab := []byte{0}
	var names []int
	for _, s := range c.sections {
		names = append(names, len(strtab))
		strtab = append(append(strtab, s...), 0)
	}
	end := off + (len(c.sections)+2)*shdr.Size(h.abi(), 0)
	b := c.shdr(0, 0, 0, len(c.segs))
	b = append(b, c.shdr(0, end, len(strtab), 0)...)
	for _, n := range names {
		b = append(b, c.shdr(n, 0, 0, 0)...)
	}
	return append(b, strtab...)
}

func (c *core) shdr(name, off, size, info int) []byte {
	b := c.order.AppendUint32(nil, uint32(name))
	b = c.order.AppendUint32(b, 0)
	b = c.word(c.word(b, 0), 0)
	b = c.word(c.word(b, uint64(off)), uint64(size))
	b = c.order.AppendUint32(c.order.AppendUint32(b, 0), uint32(info))
	return c.word(c.word(b, 0), 0)
}

// note is one ELF note.
func note(o order, name string, typ uint32, desc string) []byte {
	b := o.AppendUint32(nil, uint32(len(name)+1))
	b = o.AppendUint32(b, uint32(len(desc)))
	b = o.AppendUint32(b, typ)
	b = append(append(b, name...), make([]byte, 4-len(name)%4)...)
	return append(append(b, desc...), make([]byte, -len(desc)&3)...)
}

// load is a PT_LOAD.
func load(off, paddr, filesz, memsz uint64) phdr {
	return phdr{typ: ptLoad, offset: off, vaddr: 0xffff888000000000 + paddr, paddr: paddr, filesz: filesz, memsz: memsz}
}

func open(file []byte) (*File, error) { return New(bytes.NewReader(file), int64(len(file))) }
