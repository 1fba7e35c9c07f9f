// Package elfnote reads and writes ELF notes: those of a PT_NOTE segment and, in the same form,
// those of the note area of a kdump-compressed file.
//
//	0       4       8       12              12+align4(namesz)
//	| namesz | descsz | type | name, NUL, pad | desc, pad |
//
// The three words are 32 bits in ELF64 too, name and desc are padded to 4 bytes in
// every kernel dump (ELF gABI "Note Section"; kernel/crash_core.c append_elf_note).
// A note with both sizes zero ends the list of one CPU.
package elfnote

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Note is one note. Desc aliases the bytes that were parsed.
type Note struct {
	Name string
	Type uint32
	Desc []byte
	Off  int // offset of Desc in the area
}

// Types of notes that kautopsy looks into; names are "CORE" unless said.
const (
	TypePRStatus  = 1
	TypePRPSInfo  = 3
	TypeTaskInfo  = 4
	TypeAuxv      = 6
	TypeFile      = 0x46494c45
	TypeSigInfo   = 0x53494749
	TypeEraseInfo = 0 // name ERASEINFO
)

const headerSize = 12

// All yields the notes of an area in order. A note that runs over the area's end is
// yielded as an error that wraps phys.ErrCorrupt, and ends the walk. An empty note is
// passed over: /proc/vmcore merges per-CPU areas, each with its own end mark.
func All(area []byte, order binary.ByteOrder) iter.Seq2[Note, error] {
	return func(yield func(Note, error) bool) {
		for off := 0; off+headerSize <= len(area); {
			n, next, err := one(area, off, order)
			if err != nil {
				yield(Note{}, err)
				return
			}
			if (n.Name != "" || len(n.Desc) > 0) && !yield(n, nil) {
				return
			}
			off = next
		}
	}
}

func one(area []byte, off int, order binary.ByteOrder) (n Note, next int, err error) {
	c := bin.NewCursor("note", area[off:], int64(off), order)
	namesz, descsz := c.U32(), c.U32()
	n.Type = c.U32()
	if uint64(namesz) > uint64(len(area)) || uint64(descsz) > uint64(len(area)) {
		return n, 0, fmt.Errorf("note at %#x: name of %d bytes, desc of %d bytes in an area of %d: %w",
			off, namesz, descsz, len(area), phys.ErrCorrupt)
	}
	n.Name = bin.CString(c.Bytes(int(namesz)))
	c.Skip(min(pad4(int(namesz)), c.Len()))
	n.Off = int(c.Off())
	n.Desc = c.Bytes(int(descsz))
	c.Skip(min(pad4(int(descsz)), c.Len()))
	return n, int(c.Off()), c.Err()
}

// ntGNUBuildID is NT_GNU_BUILD_ID (elf.h), by the owner "GNU".
const ntGNUBuildID = 3

// BuildID is the build ID among the notes of a program, of a module or of a kernel in memory;
// nil if there is none.
func BuildID(area []byte, order binary.ByteOrder) []byte {
	for n, err := range All(area, order) {
		if err == nil && n.Name == "GNU" && n.Type == ntGNUBuildID && len(n.Desc) > 0 {
			return n.Desc
		}
	}
	return nil
}

// Append appends a note to an area.
func Append(area []byte, order binary.ByteOrder, n Note) []byte {
	var head [headerSize]byte
	order.PutUint32(head[0:], uint32(len(n.Name)+1))
	order.PutUint32(head[4:], uint32(len(n.Desc)))
	order.PutUint32(head[8:], n.Type)
	area = append(area, head[:]...)
	area = append(append(area, n.Name...), 0)
	area = append(area, make([]byte, pad4(len(n.Name)+1))...)
	area = append(area, n.Desc...)
	return append(area, make([]byte, pad4(len(n.Desc)))...)
}

// pad4 is the number of bytes that pad n to a multiple of four.
func pad4(n int) int { return -n & 3 }
