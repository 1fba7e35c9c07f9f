package dumptest

import (
	"bytes"
	"encoding/binary"
)

// noteHead is the size of a note's three words.
const noteHead = 12

// Note is one ELF note: sizes, type, name and desc, both padded to four bytes.
func Note(order Order, name string, typ uint32, desc []byte) []byte {
	b := order.AppendUint32(nil, uint32(len(name)+1))
	b = order.AppendUint32(b, uint32(len(desc)))
	b = order.AppendUint32(b, typ)
	b = pad4(append(append(b, name...), 0))
	return pad4(append(b, desc...))
}

func pad4(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// PRStatus is an x86-64 NT_PRSTATUS note of one CPU: its pid at 32, registers from 112 on.
func PRStatus(order Order, pid uint32, regs [27]uint64) []byte {
	desc := make([]byte, 336)
	order.PutUint32(desc[32:], pid)
	for i, v := range regs {
		order.PutUint64(desc[112+8*i:], v)
	}
	return Note(order, "CORE", 1, desc)
}

// findInfo looks for VMCOREINFO's text among the notes, which stand at file offset off.
func (k *kdumpWriter) findInfo(off int64) {
	if i := vmcoreinfoNote(k.notes); i >= 0 {
		k.info = off + int64(i) + noteHead + noteHead
	}
}

// vmcoreinfoNote is where the note of that name begins, -1 for nowhere. Its name takes 11
// bytes, padded to 12.
func vmcoreinfoNote(notes []byte) int {
	return max(-1, bytes.Index(notes, []byte("VMCOREINFO\x00"))-noteHead)
}

func (k *kdumpWriter) infoSize() uint32 {
	if k.Version == 3 {
		return uint32(len(k.VMCoreInfo))
	}
	return binary.ByteOrder(k.Order).Uint32(k.notes[vmcoreinfoNote(k.notes)+4:])
}
