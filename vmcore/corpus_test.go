package vmcore_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestCorpus compares the pages of the dumps of distribution kernels with the memory they
// were made of, and with what other programs make and read of them.
func TestCorpus(t *testing.T) {
	dir := dumptest.Corpus(t)
	for _, version := range []string{"5.10", "6.1", "6.12", "7.2"} {
		t.Run(version, func(t *testing.T) {
			name := dumptest.Unpacked(t, filepath.Join(dir, version, "vmcore.raw.xz"))
			truth := filepath.Join(dir, version, "truth")
			readRecorded(t, filepath.Join(truth, "pages.sha256")).check(t, open(t, name, nil))
			t.Run("libkdumpfile", func(t *testing.T) { sameAsLibkdumpfile(t, name) })
			t.Run("makedumpfile", func(t *testing.T) { refiltered(t, name, truth) })
		})
	}
}

// TestCorpusQEMU: the ELF and the kdump file that QEMU wrote of one guest hold the same
// frames, all of them.
func TestCorpusQEMU(t *testing.T) {
	dir := filepath.Join(dumptest.Corpus(t), "qemu")
	for _, target := range []string{"x64", "i386", "a64", "arm", "ppc64", "rv64", "rv32", "s390x"} {
		t.Run(target, func(t *testing.T) {
			e := open(t, dumptest.Unpacked(t, filepath.Join(dir, target+".elf.xz")), nil)
			k := open(t, filepath.Join(dir, target+".kdump-zlib"), nil)
			n := samePresent(t, k, e)
			m := samePresent(t, e, k)
			t.Logf("%d frames of %d bytes in the kdump file, %d of %d in the ELF", n, k.PageSize(), m, e.PageSize())
			if n*k.PageSize() < 8<<20 || m*e.PageSize() < 8<<20 {
				t.Errorf("%d and %d frames", n, m)
			}
			kc, kerr := k.CPUs()
			ec, eerr := e.CPUs()
			if len(kc) != len(ec) || len(kc) == 0 || kerr != nil || eerr != nil {
				t.Errorf("%d CPUs, %v, and %d, %v", len(kc), kerr, len(ec), eerr)
			}
		})
	}
}

// samePresent compares each whole page of a with the same memory in b.
func samePresent(t *testing.T, a, b *vmcore.Dump) (n int) {
	t.Helper()
	buf := make([]byte, a.PageSize())
	for page, err := range a.Pages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadPhys(buf, phys.PageSpan(page.PFN, 1, a.PageSize()).Start); err != nil || !bytes.Equal(buf, page.Data) {
			t.Fatalf("page %#x: %v, or other bytes", uint64(page.PFN), err)
		}
		n++
	}
	return n
}
