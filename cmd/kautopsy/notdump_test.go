package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// TestNotDumps: what people give in place of a dump is named with the way out, on one line,
// by every command that opens a dump.
func TestNotDumps(t *testing.T) {
	for _, c := range []struct {
		name string
		head []byte
		want string
	}{
		{"vmcore.gz", []byte("\x1f\x8b\x08\x00"), "a gzip file: unpack it: gzip -dc"},
		{"vmcore.xz", []byte("\xfd7zXZ\x00\x00\x04"), "an xz file: unpack it: xz -dc"},
		{"vmcore.zst", []byte("\x28\xb5\x2f\xfd\x04"), "a zstd file: unpack it: zstd -dc"},
		{"guest.sav", []byte("QEVM\x00\x00\x00\x03"), "a QEMU migration stream"},
		{"core.1234", userCore(), "the core of a user process, not of the kernel"},
		{"vmlinux", vmlinux(t), "a vmlinux (the kernel's program file), not a dump: give the dump"},
		{"noise", bytes.Repeat([]byte("\x93\x17\xe4"), 5000), "raw memory or an unknown format: if it is raw memory"},
		{"console.txt", bytes.Repeat([]byte("[    0.000000] Linux version 6.1.0\n"), 300), "the text of a kernel log: use kautopsy oops FILE"},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, append(c.head, make([]byte, max(0, 8192-len(c.head)))...), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"triage", "log", "info", "verify", "sys", "sym", "rd", "vtop"} {
			got := call(t, command, file, "init_task")
			if command != "sym" && command != "rd" && command != "vtop" {
				got = call(t, command, file)
			}
			want := "kautopsy: " + file + " is " + c.want
			if got.code != exitInput || !strings.HasPrefix(got.err, want) || strings.Count(got.err, "\n") != 1 || got.out != "" {
				t.Errorf("%s: exit %d, stdout %q, stderr %q, want %q", command, got.code, got.out, got.err, want)
			}
		}
	}
}

// vmlinux is the beginning of the committed one.
func vmlinux(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open(tiny(t, "vmlinux.debug.xz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := xz.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<20)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// userCore is the head of a process's core: one PT_NOTE with NT_PRSTATUS,
// NT_PRPSINFO and NT_AUXV.
func userCore() []byte {
	le := binary.LittleEndian
	note := func(b []byte, typ uint32, size int) []byte {
		b = le.AppendUint32(b, 5)
		b = le.AppendUint32(b, uint32(size))
		b = le.AppendUint32(b, typ)
		return append(append(b, "CORE\x00\x00\x00\x00"...), make([]byte, size)...)
	}
	notes := note(note(note(nil, 1, 336), 3, 136), 6, 320)
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 4)  // ET_CORE
	b = le.AppendUint16(b, 62) // EM_X86_64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, 64) // e_phoff
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 4) // PT_NOTE
	b = le.AppendUint32(b, 0)
	for _, v := range []uint64{120, 0, 0, uint64(len(notes)), 0, 4} {
		b = le.AppendUint64(b, v)
	}
	return append(b, notes...)
}
