package vmcore_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestByteOrder: QEMU writes big-endian dumps of POWER machines whatever the kernel is. The kernel's
// code tells, and all that is made of such a dump is read as it is.
func TestByteOrder(t *testing.T) {
	tests := []struct {
		name, machine string
		nop           string // as it lies in memory
		order         binary.ByteOrder
		arch          string
	}{
		{"little-endian kernel", "ppc64", "\x00\x00\x00\x60", binary.LittleEndian, "ppc64le"},
		{"big-endian kernel", "ppc64", "\x60\x00\x00\x00", binary.BigEndian, "ppc64"},
		{"no code", "ppc64", "text", binary.BigEndian, "ppc64"},
		{"another machine", "s390x", "\x00\x00\x00\x60", binary.BigEndian, "s390x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &dumptest.Image{PageSize: 4096}
			m.Set(0, dumptest.Fill(4096, tt.nop))
			o := dumptest.DefaultKDUMP()
			o.Order, o.Utsname[4] = binary.BigEndian, tt.machine
			o.Notes = dumptest.Note(binary.BigEndian, "VMCOREINFO", 0, []byte("OSRELEASE=6.1.0\n"))
			file, err := m.KDUMP(o)
			if err != nil {
				t.Fatal(err)
			}
			d := openBytes(t, file, nil)
			sameOrder(t, d, tt.order, tt.arch)
			for _, c := range targets() {
				sameOrder(t, open(t, convert(t, d, c, 1, false).names[0], nil), tt.order, tt.arch)
			}
		})
	}
}

func sameOrder(t *testing.T, d *vmcore.Dump, order binary.ByteOrder, arch string) {
	t.Helper()
	h := d.Header
	if h.Order != order || h.NoteOrder != binary.BigEndian || h.Arch != arch {
		t.Errorf("%s %s: %s, memory %v, notes %v; want %s, %v", h.Format, h.Codec, h.Arch, h.Order, h.NoteOrder, arch, order)
	}
	info, err := d.VMCoreInfo(t.Context())
	if err != nil || info.Origin == "scan" || !bytes.Contains(info.Text(), []byte("OSRELEASE=6.1.0")) {
		t.Errorf("VMCOREINFO in the notes: %v", err)
	}
}
