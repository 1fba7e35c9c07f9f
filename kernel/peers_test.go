package kernel_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// TestVMCoreDmesg lets kexec-tools' vmcore-dmesg read the same logs from ELF files.
func TestVMCoreDmesg(t *testing.T) {
	program, err := exec.LookPath("vmcore-dmesg")
	if err != nil {
		t.Skip("vmcore-dmesg is not in PATH")
	}
	ring := newMachine(t)
	r := newPRB(ring, prb510, 4, 10, 1<<62-9)
	numbered(r, 40)
	r.add(line{ns: 12345678901, text: "two\nlines \x01\x7f\xc3\xbc\t", state: committed})
	r.add(line{ns: 12345678999, dataless: 3})
	records := newMachine(t)
	l := newLogBuf(records, "printk_log", 16, 1<<12)
	for i := range 200 {
		l.add(line{ns: uint64(i) * 1e8, text: "a record \xff of many"}, "SUBSYSTEM=pci\x00DEVICE=+pci:0000:00:01.0")
	}
	chars := newMachine(t)
	const text = "<5>[    0.000000] Linux version 2.6.32\n<6>no stamp\n<4>[   12.345678] the last\n"
	byteRing(chars, 1024, uint32(len(text)), uint32(len(text)), text)
	for name, m := range map[string]*machine{"printk_ringbuffer": ring, "records": records, "bytes": chars} {
		t.Run(name, func(t *testing.T) { sameAsVMCoreDmesg(t, program, m) })
	}
}

// sameAsVMCoreDmesg compares two readings of one file.
func sameAsVMCoreDmesg(t *testing.T, program string, m *machine) {
	notes := dumptest.Note(m.order, "VMCOREINFO", 0, []byte(m.info.String()))
	file, err := m.image.ELF(dumptest.ELF{Notes: notes, Virt: m.delta})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, name)
	cmd.Stderr = os.Stderr
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := openKernel(t, name).LogText(t.Context())
	if err != nil {
		t.Error(err)
	}
	// vmcore-dmesg 2.0.25 prints the mark at which a ring of records goes on at its start
	// as a record; the kernel's own readers do not.
	want = bytes.ReplaceAll(want, []byte("\n[    0.000000] \n"), []byte("\n"))
	if diff := cmp.Diff(string(want), string(got)); diff != "" || len(bytes.TrimSpace(want)) == 0 {
		t.Errorf("%d bytes (-vmcore-dmesg +kautopsy):\n%.1000s", len(want), diff)
	}
}
