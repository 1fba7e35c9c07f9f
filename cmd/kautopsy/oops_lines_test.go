package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOopsPacked: a text gets its lines from a vmlinux that is packed, and a bootable kernel
// is told to have none.
func TestOopsPacked(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	text := tiny(t, "truth/vmcore-dmesg.txt")
	got := call(t, "oops", "-k", tiny(t, "vmlinux.debug.xz"), text)
	if got.code != exitOK || !strings.Contains(got.out, "kthread+0xb6/0xbe (kernel/kthread.c:389)") {
		t.Errorf("exit %d: %s\n%s", got.code, got.err, got.out)
	}
	vmlinuz := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(vmlinuz, append(make([]byte, 0x38), "ARM\x64"+strings.Repeat("\x00", 0x250)...), 0o600); err != nil {
		t.Fatal(err)
	}
	got = call(t, "oops", "-k", vmlinuz, text)
	if got.code != exitNone || !strings.Contains(got.err, "an arm64 Image: no debug information") {
		t.Errorf("of vmlinuz: exit %d: %s", got.code, got.err)
	}
}
