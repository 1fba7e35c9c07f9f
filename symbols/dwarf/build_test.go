package dwarf_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// maker makes the debug information of a file by hand: one unit of an old version, with
// strings and references of its own. An entry is added with what the test wants it to say,
// and each has an abbreviation of its own.
type maker struct {
	order        binary.ByteOrder
	version      uint16
	info, abbrev []byte
	code         byte
}

// val is the value of an attribute in its form.
type val struct {
	attr dwarf.Attr
	form dwarf.Form
	b    []byte
}

func text(s string) val { return val{dwarf.AttrName, dwarf.FormString, append([]byte(s), 0)} }

func number(a dwarf.Attr, v byte) val { return val{a, dwarf.FormData1, []byte{v}} }

func (m *maker) ref(off uint32) val {
	return val{dwarf.AttrType, dwarf.FormRef4, appendUint32(m.order, nil, off)}
}

func appendUint32(o binary.ByteOrder, b []byte, v uint32) []byte {
	return append(b, put(func(p []byte) { o.PutUint32(p, v) }, 4)...)
}

func put(f func([]byte), n int) []byte {
	b := make([]byte, n)
	f(b)
	return b
}

// unitHeader is the size of the header before DWARF 5.
const unitHeader = 11

func newMaker(order binary.ByteOrder) *maker {
	m := &maker{order: order, version: 3}
	m.add(dwarf.TagCompileUnit, true, text("made.c"))
	return m
}

// add appends an entry and gives its offset.
func (m *maker) add(tag dwarf.Tag, children bool, vals ...val) uint32 {
	at := uint32(unitHeader + len(m.info))
	m.code++
	m.info = append(m.info, m.code)
	has := byte(0)
	if children {
		has = 1
	}
	m.abbrev = append(m.abbrev, m.code, byte(tag), has)
	for _, v := range vals {
		m.abbrev = append(m.abbrev, byte(v.attr), byte(v.form))
		m.info = append(m.info, v.b...)
	}
	m.abbrev = append(m.abbrev, 0, 0)
	return at
}

// end ends the children of the entry above.
func (m *maker) end() { m.info = append(m.info, 0) }

// open makes the ELF file: its header, the sections, their names and headers.
func (m *maker) open(t testing.TB) *dwarf.File {
	t.Helper()
	file := m.bytes()
	f, err := dwarf.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (m *maker) bytes() []byte {
	o := m.order
	unit := appendUint32(o, nil, uint32(unitHeader-4+len(m.info)+1))
	unit = append(unit, put(func(p []byte) { o.PutUint16(p, m.version) }, 2)...)
	unit = append(appendUint32(o, unit, 0), 8)
	unit = append(append(unit, m.info...), 0)
	names := "\x00.debug_info\x00.debug_abbrev\x00.shstrtab\x00"
	const head = 64
	parts := [][]byte{nil, unit, append(m.abbrev, 0), []byte(names)}
	headers := []elf.Section64{{}, {Name: 1, Type: uint32(elf.SHT_PROGBITS)}, {Name: 13, Type: uint32(elf.SHT_PROGBITS)}, {Name: 27, Type: uint32(elf.SHT_STRTAB)}}
	var body []byte
	for i, p := range parts {
		if headers[i].Size = uint64(len(p)); i > 0 {
			headers[i].Off = uint64(head + len(body))
		}
		body = append(body, p...)
	}
	eh := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: uint64(head + len(body)),
		Ehsize: head, Shentsize: 64, Shnum: uint16(len(parts)), Shstrndx: uint16(len(parts) - 1),
	}
	if o == binary.ByteOrder(binary.BigEndian) {
		eh.Ident[5], eh.Machine = byte(elf.ELFDATA2MSB), uint16(elf.EM_S390)
	}
	var out bytes.Buffer
	_ = binary.Write(&out, o, eh)
	out.Write(body)
	_ = binary.Write(&out, o, headers)
	return out.Bytes()
}
