package elfcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// use reads all of a file that opened and holds it to its contract.
func use(t *testing.T, file []byte) {
	t.Helper()
	f, err := open(file)
	if err != nil {
		if phys.Reason(err) == nil {
			t.Fatalf("open: %v wraps no reason", err)
		}
		return
	}
	for _, p := range f.Problems {
		if phys.Reason(p) == nil {
			t.Fatalf("problem %v wraps no reason", p)
		}
	}
	for _, area := range f.Notes {
		for range elfnote.All(area, f.Header.Order) {
		}
	}
	if err := dumptest.CheckBatches(f); err != nil {
		t.Fatal(err)
	}
	buf, next, pages := make([]byte, f.PageSize()), phys.PFN(0), 0
	for run := range f.Runs() {
		if run.Start < next || run.Len() == 0 || run.End > f.MaxPFN() {
			t.Fatalf("run %v after %#x, MaxPFN %#x", run, next, f.MaxPFN())
		}
		next = run.End
		for p := run.Start; p < run.End && pages < 64; p, pages = p+1, pages+1 {
			n, err := f.ReadPage(p, buf)
			var pe *phys.PageError
			if phys.Reason(err) != phys.Reason(run.Why) || (err == nil) != (n == len(buf)) || err != nil && !errors.As(err, &pe) {
				t.Fatalf("page %#x of %v: %d, %v", p, run, n, err)
			}
			if n > len(file) {
				t.Fatalf("page %#x has %d bytes, the file %d", p, n, len(file))
			}
		}
	}
}

func seeds() []core {
	be, le := binary.BigEndian, binary.LittleEndian
	info := "OSRELEASE=6.1.0\nPAGESIZE=4096\n"
	return []core{
		{notes: note(le, "VMCOREINFO", 0, info), segs: []phdr{load(0x400, 0x1000, 0x200, 0x1800), load(0x500, 0x1100, 0x80, 0x80)}},
		{class: 32, order: be, machine: 22, notes: note(be, "CORE", 1, "regs"), segs: []phdr{load(0x400, 0x1000, 0x20, 0x20), load(0xffffffff, 0x2000, 16, 16)}},
		{order: be, machine: 22, xnum: inSection, phoff: 0x100, segs: []phdr{load(0x400, 0, 0x20, 0x20)}},
		{class: 32, xnum: inSection, segs: []phdr{load(0x400, 0, 0x20, 0x20)}},
		{typ: typeRel, sections: []string{".text", ".modinfo"}},
		{sections: []string{"md_a"}},
	}
}

func TestTruncatedAtEveryByte(t *testing.T) {
	for _, c := range seeds() {
		file := c.build()
		for n := range file {
			use(t, file[:n])
		}
	}
}

// TestEveryHeaderByte sets each 1, 2, 4 and 8 bytes of the headers to 0, 1 and all ones.
func TestEveryHeaderByte(t *testing.T) {
	for _, c := range seeds() {
		file := c.build()
		for off := 0; off < 0x180 && off < len(file); off++ {
			for _, width := range []int{1, 2, 4, 8} {
				for _, v := range []byte{0, 1, 0xff} {
					bad := bytes.Clone(file)
					for i := off; i < min(off+width, len(bad)); i++ {
						bad[i] = v
					}
					use(t, bad)
				}
			}
		}
	}
}

func FuzzNew(f *testing.F) {
	for _, c := range seeds() {
		f.Add(c.build())
	}
	f.Fuzz(func(t *testing.T, file []byte) { use(t, file) })
}
