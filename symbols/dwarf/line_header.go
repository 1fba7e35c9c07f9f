package dwarf

import (
	"path"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// lineHeader is the head of the line table of a unit (DWARF 5 section 6.2.4):
//
//	unit_length, version, [5: address_size, segment_selector_size], header_length,
//	minimum_instruction_length, [4 on: maximum_operations_per_instruction],
//	default_is_stmt, line_base, line_range, opcode_base, standard_opcode_lengths[],
//	folders, files, program
type lineHeader struct {
	version, addrSize, offSize int
	minInst                    uint64
	lineBase                   int64
	lineRange                  uint64
	opcodeBase                 uint8
	lengths                    []byte // operands of the standard opcodes, the first at 1

	dirs  []string
	files []lineFile
}

// lineFile is a file name and the number of its folder.
type lineFile struct {
	name string
	dir  uint64
}

const (
	maxLineFiles = 1 << 16 // 500 in a unit of a kernel
	maxLineNames = 8 << 20 // bytes of all their paths together
	firstLines   = 16 << 10
)

// readLineHeader decodes the header; r stands on the first byte of the table and is left on
// the program, the end of which is given.
func (u *Unit) readLineHeader(r *buf) (h lineHeader, end int) {
	h.offSize, end = u.lineLength(r)
	h.version, h.addrSize = int(r.u16()), u.AddrSize
	if r.err == nil && (h.version < 2 || h.version > 5) {
		r.fail(phys.ErrUnsupported, "line table version %d", h.version)
	}
	if h.version >= 5 {
		h.addrSize = int(r.u8())
		r.u8()
	}
	n := r.uint(h.offSize)
	program := r.at + int(min(n, uint64(len(r.b))))
	h.minInst = uint64(r.u8())
	if h.version >= 4 {
		r.u8() // operations per instruction: VLIW alone has more than one
	}
	r.u8()
	h.lineBase, h.lineRange = int64(int8(r.u8())), uint64(r.u8())
	if h.opcodeBase = r.u8(); h.opcodeBase > 1 {
		h.lengths = r.take(uint64(h.opcodeBase - 1))
	}
	if h.version >= 5 {
		u.fileTables(r, &h)
	} else {
		u.oldFileTables(r, &h)
	}
	if r.err == nil && (program > end || h.lineRange == 0 || h.addrSize != 4 && h.addrSize != 8) {
		r.fail(phys.ErrCorrupt, "header of %d bytes, line range %d, addresses of %d bytes", n, h.lineRange, h.addrSize)
	}
	r.at = program
	return h, end
}

// lineLength reads the length of a line table and gives the place behind it.
func (u *Unit) lineLength(r *buf) (size, end int) {
	n, size := r.length()
	if r.err == nil && n > uint64(len(r.b)-r.at) {
		r.fail(phys.ErrCorrupt, "line table of %d bytes, have %d", n, len(r.b)-r.at)
		return size, 0
	}
	return size, r.at + int(n)
}

// oldFileTables reads folders and files of versions 2 to 4. Both are counted from 1: folder
// 0 is that of the compilation, and there is no file 0.
func (u *Unit) oldFileTables(r *buf, h *lineHeader) {
	h.dirs, h.files = []string{""}, []lineFile{{}}
	for r.err == nil && len(h.dirs) < maxLineFiles {
		name := r.text()
		if len(name) == 0 {
			break
		}
		h.dirs = append(h.dirs, string(name))
	}
	for r.err == nil && len(h.files) < maxLineFiles && h.oldFile(r) {
	}
}

// oldFile reads a file: name, folder, time, length; false at the end.
func (h *lineHeader) oldFile(r *buf) bool {
	name := r.text()
	if len(name) == 0 {
		return false
	}
	h.files = append(h.files, lineFile{string(name), r.uleb()})
	r.uleb()
	r.uleb()
	return r.err == nil
}

// The kinds of content of the tables of version 5 (DW_LNCT_*).
const (
	lnctPath = 1
	lnctDir  = 2
)

// fileTables reads folders and files of version 5, both counted from 0.
func (u *Unit) fileTables(r *buf, h *lineHeader) {
	for _, f := range u.fileTable(r, h) {
		h.dirs = append(h.dirs, f.name)
	}
	h.files = u.fileTable(r, h)
}

// fileTable reads a table that says itself what its entries are made of.
func (u *Unit) fileTable(r *buf, h *lineHeader) (out []lineFile) {
	type format struct {
		content uint64
		form    attrForm
	}
	var formats []format
	for n := r.u8(); n > 0 && r.err == nil; n-- {
		formats = append(formats, format{r.uleb(), attrForm{form: Form(r.uleb())}})
	}
	// Offsets in the line table are as wide as the line table's own.
	as := &Unit{f: u.f, Off: u.Off, End: u.End, Version: 5, AddrSize: h.addrSize, offSize: h.offSize}
	n, room := r.uleb(), maxLineNames
	if n > maxLineFiles || n > 0 && len(formats) == 0 {
		r.fail(phys.ErrLimit, "%d files or folders", n)
	}
	for ; n > 0 && r.err == nil; n-- {
		var f lineFile
		for _, c := range formats {
			v := as.value(r, &c.form)
			switch c.content {
			case lnctPath:
				name, err := v.textOf(u)
				if err != nil && r.err == nil {
					r.err = err
				}
				if room -= len(name); room < 0 {
					r.fail(phys.ErrLimit, "more than %d bytes of file names", maxLineNames)
				}
				f.name = name
			case lnctDir:
				f.dir = v.num
			}
		}
		out = append(out, f)
	}
	return out
}

// textOf is the text of a value of a line table, whose indices are those of unit u.
func (v Value) textOf(u *Unit) (string, error) {
	switch v.form {
	case FormStrx, FormStrx1, FormStrx2, FormStrx3, FormStrx4:
		v.u = u
	}
	return v.Text()
}

// name is the path of a file of the table: below the folder of the compilation it is
// relative to that, as compilers, drgn and gdb's users have it ("kernel/panic.c").
func (h *lineHeader) name(i uint64, compDir string) string {
	if i >= uint64(len(h.files)) || h.files[i].name == "" {
		return ""
	}
	f := h.files[i]
	p := f.name
	if !path.IsAbs(p) && f.dir > 0 && f.dir < uint64(len(h.dirs)) {
		p = path.Join(h.dirs[f.dir], p)
	}
	if !path.IsAbs(p) {
		p = path.Join(compDir, p)
	}
	p = path.Clean(p)
	if dir := path.Clean(compDir); compDir != "" {
		if below, ok := strings.CutPrefix(p, dir+"/"); ok {
			return below
		}
	}
	return p
}
