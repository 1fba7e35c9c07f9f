package vmcore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

var le = binary.LittleEndian

// prstatus is the note of an x86_64 CPU with a pid, rip and rsp.
func prstatus(pid uint32, rip, rsp uint64) []byte {
	var regs [27]uint64
	regs[16], regs[19] = rip, rsp
	return dumptest.PRStatus(le, pid, regs)
}

// qemuState is QEMU's note of a CPU with a CR3.
func qemuState(version uint32, cr3 uint64) []byte {
	desc := make([]byte, 440)
	le.PutUint32(desc, version)
	le.PutUint32(desc[4:], 440)
	le.PutUint64(desc[392+3*8:], cr3)
	return dumptest.Note(le, "QEMU", 0, desc)
}

// withNotes is a dump of one page with notes.
func withNotes(t *testing.T, machine string, notes ...[]byte) *vmcore.Dump {
	t.Helper()
	m := &dumptest.Image{PageSize: 4096, Pages: map[phys.PFN][]byte{1: make([]byte, 4096)}}
	return dumpOf(t, m, func(o *dumptest.KDUMP) { o.Notes, o.Utsname[4] = bytes.Join(notes, nil), machine })
}

// TestCPUs: registers by name, and QEMU's state beside those it belongs to.
func TestCPUs(t *testing.T) {
	d := withNotes(t, "x86_64",
		prstatus(7, 0xffffffff81000123, 0xffffc90000001000), prstatus(0, 0x1000, 0x2000),
		dumptest.Note(le, "OTHER", 1, []byte("skip me")),
		qemuState(1, 0xabc000), qemuState(1, 0xdef000), qemuState(1, 0x111000))
	cpus, err := d.CPUs()
	if err != nil || len(cpus) != 2 {
		t.Fatalf("%d CPUs, %v", len(cpus), err)
	}
	for i, want := range []struct {
		pid      int32
		pc, sp   uint64
		register string
		value    uint64
		cr3      uint64
	}{
		{7, 0xffffffff81000123, 0xffffc90000001000, "rip", 0xffffffff81000123, 0xabc000},
		{0, 0x1000, 0x2000, "rsp", 0x2000, 0xdef000},
	} {
		c := cpus[i]
		v, ok := c.Regs.Get(want.register)
		if c.Index != i || c.Regs.PID != want.pid || c.Regs.PC() != want.pc || c.Regs.SP() != want.sp || v != want.value || !ok {
			t.Errorf("CPU %d: %+v", i, c)
		}
		if c.State == nil || c.State.CR[3] != want.cr3 {
			t.Errorf("CPU %d: state %+v, want CR3 %#x", i, c.State, want.cr3)
		}
	}
}

// TestCPUsNoteSays: a file that does not name its processor has the one whose notes these are.
func TestCPUsNoteSays(t *testing.T) {
	arm64 := make([]byte, 392)
	le.PutUint32(arm64[32:], 12)
	le.PutUint64(arm64[112+32*8:], 0xffff800010000000) // pc
	d := withNotes(t, "Unknown", dumptest.Note(le, "CORE", 1, arm64))
	a, err := d.Arch()
	if err != nil || a.Info().Name != "aarch64" {
		t.Fatalf("%v, %v", a, err)
	}
	cpus, err := d.CPUs()
	if err != nil || len(cpus) != 1 || cpus[0].Regs.PID != 12 || cpus[0].Regs.PC() != 0xffff800010000000 {
		t.Errorf("%+v, %v", cpus, err)
	}
	if _, err := withNotes(t, "Unknown").Arch(); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("no hint at all: %v", err)
	}
	if a, err := withNotes(t, "S390X").Arch(); err != nil || a.Info().Name != "s390x" {
		t.Errorf("%v, %v", a, err)
	}
}

// TestCPUsDamaged: what cannot be read is told beside what can.
func TestCPUsDamaged(t *testing.T) {
	strange := dumptest.Note(le, "CORE", 1, make([]byte, 100))
	cut := prstatus(3, 1, 2)
	tests := []struct {
		name  string
		notes [][]byte
		cpus  int
		want  error
	}{
		{"none", nil, 0, nil},
		{"a strange length", [][]byte{prstatus(1, 2, 3), strange, prstatus(2, 3, 4)}, 2, phys.ErrUnsupported},
		{"cut", [][]byte{prstatus(1, 2, 3), cut[:100]}, 1, phys.ErrCorrupt},
		{"strange state", [][]byte{prstatus(1, 2, 3), qemuState(9, 1)}, 1, nil},
	}
	for _, tt := range tests {
		cpus, err := withNotes(t, "x86_64", tt.notes...).CPUs()
		if len(cpus) != tt.cpus || phys.Reason(err) != tt.want {
			t.Errorf("%s: %d CPUs, %v, want %d, %v", tt.name, len(cpus), err, tt.cpus, tt.want)
		}
		for i, c := range cpus {
			if c.Index != i || c.State != nil || c.Regs.PID != int32(i+1) {
				t.Errorf("%s: CPU %+v", tt.name, c)
			}
		}
	}
}

// TestNotes yields the notes as they stand.
func TestNotes(t *testing.T) {
	d := withNotes(t, "x86_64", dumptest.Note(le, "A", 5, []byte("desc")), dumptest.Note(le, "", 0, nil), dumptest.Note(le, "B", 6, nil))
	var names []string
	for n, err := range d.Notes() {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, n.Name)
		if n.Name == "A" && (n.Type != 5 || string(n.Desc) != "desc") {
			t.Errorf("note %+v", n)
		}
	}
	if len(names) == 0 || names[0] != "A" {
		t.Errorf("notes %q", names)
	}
	for range d.Notes() {
		break
	}
}
