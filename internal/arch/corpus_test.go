package arch

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// rawDump is just enough of a reader for such files.
type rawDump struct {
	file  io.ReaderAt
	pages map[phys.PFN]int64 // kdump: offset of each page
	loads []*elf.Prog        // ELF
	info  []byte
	max   phys.Addr
}

func (d *rawDump) ReadPhys(p []byte, a phys.Addr) (int, error) {
	absent := &phys.PageError{Op: "read", Span: phys.Span{Start: a, End: a + phys.Addr(len(p))}, Off: -1, Err: phys.ErrHole}
	for _, l := range d.loads {
		if off := uint64(a) - l.Paddr; off+uint64(len(p)) <= l.Filesz && off < l.Filesz {
			return l.ReadAt(p, int64(off))
		}
	}
	off, ok := d.pages[phys.PFN(a>>12)]
	if !ok || int(a&0xfff)+len(p) > 4096 {
		return 0, absent
	}
	return d.file.ReadAt(p, off+int64(a&0xfff))
}

func openKdump(f *os.File) (*rawDump, error) {
	head := make([]byte, 8192)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	const block = 4096
	sub, bitmapBlocks := int64(le.Uint32(head[432:])), int64(le.Uint32(head[436:]))
	d := &rawDump{file: f, pages: map[phys.PFN]int64{}, info: make([]byte, le.Uint64(head[block+40:]))}
	if _, err := f.ReadAt(d.info, int64(le.Uint64(head[block+32:]))); err != nil {
		return nil, err
	}
	bitmap := make([]byte, bitmapBlocks*block/2)
	if _, err := f.ReadAt(bitmap, (1+sub)*block+int64(len(bitmap))); err != nil {
		return nil, err
	}
	at := (1 + sub + bitmapBlocks) * block
	for i := range phys.PFN(len(bitmap) * 8) {
		if bitmap[i/8]>>(i%8)&1 == 0 {
			continue
		}
		var desc [24]byte
		if _, err := f.ReadAt(desc[:], at); err != nil {
			return nil, err
		}
		d.pages[i] = int64(le.Uint64(desc[:]))
		d.max = phys.Addr(i+1) << 12
		at += 24
	}
	return d, nil
}

func openELF(f *os.File) (*rawDump, error) {
	file, err := elf.NewFile(f)
	if err != nil {
		return nil, err
	}
	d := &rawDump{file: f}
	for _, p := range file.Progs {
		switch p.Type {
		case elf.PT_LOAD:
			d.loads = append(d.loads, p)
			d.max = max(d.max, phys.Addr(p.Paddr+p.Memsz))
		case elf.PT_NOTE:
			note, err := io.ReadAll(p.Open())
			if err != nil {
				return nil, err
			}
			_, d.info, _ = bytes.Cut(note, []byte("VMCOREINFO\x00\x00"))
		}
	}
	return d, nil
}

// hints reads VMCOREINFO as far as this package asks for it.
func (d *rawDump) hints() Hints {
	numbers, hexes := map[string]int64{}, map[string]uint64{}
	sc := bufio.NewScanner(bytes.NewReader(d.info))
	for sc.Scan() {
		key, val, ok := strings.Cut(sc.Text(), "=")
		if !ok {
			break
		}
		if v, err := strconv.ParseInt(val, 0, 64); err == nil {
			numbers[key] = v
		} else if v, err := strconv.ParseUint(val, 0, 64); err == nil {
			numbers[key] = int64(v)
		}
		if v, err := strconv.ParseUint(val, 16, 64); err == nil {
			hexes[key] = v
		}
	}
	return Hints{
		PageSize: int(numbers["PAGESIZE"]),
		MaxPhys:  d.max,
		Number:   func(k string) (int64, bool) { v, ok := numbers["NUMBER("+k+")"]; return v, ok },
		Symbol:   func(k string) (uint64, bool) { v, ok := hexes["SYMBOL("+k+")"]; return v, ok },
		Hex:      func(k string) (uint64, bool) { v, ok := hexes[k]; return v, ok },
	}
}

// corpus runs check on every dump of the corpus.
func corpus(t *testing.T, check func(t *testing.T, d *rawDump, a Arch)) {
	for _, machine := range []struct {
		name, file, uname string
		open              func(*os.File) (*rawDump, error)
	}{
		{"5.10", "vmcore.raw.xz", "x86_64", openKdump},
		{"6.1", "vmcore.raw.xz", "x86_64", openKdump},
		{"6.12", "vmcore.raw.xz", "x86_64", openKdump},
		{"7.2", "vmcore.raw.xz", "x86_64", openKdump},
		{"arm64", "vmcore.elf.xz", "aarch64", openELF},
	} {
		t.Run(machine.name, func(t *testing.T) {
			f, err := os.Open(dumptest.Unpacked(t, dumptest.Corpus(t, machine.name, machine.file)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			d, err := machine.open(f)
			if err != nil {
				t.Fatal(err)
			}
			a, err := ByName(machine.uname)
			if err != nil {
				t.Fatal(err)
			}
			check(t, d, a)
		})
	}
}

// TestCorpusRulesAgreeWithTables compares the image's rule and that of the direct map
// with the page tables, all over the image and the memory.
func TestCorpusRulesAgreeWithTables(t *testing.T) {
	corpus(t, func(t *testing.T, d *rawDump, a Arch) {
		h := d.hints()
		s, err := a.Space(h, d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.Describe() {
			t.Logf("%s: %s", f.Name, f.Value)
		}
		start, end := s.ImageRange()
		t.Logf("image %#x-%#x, %d KiB", start, end, (end-start)>>10)
		image := compareRule(t, s, start, end, s.Image)
		first, _ := s.Virt(0)
		last, ok := s.Virt(d.max - 1)
		if !ok {
			t.Fatal("no direct map")
		}
		if first > last {
			first, _ = s.Virt(phys.Addr(d.loads[0].Paddr))
		}
		direct := compareRule(t, s, first, last, s.Direct)
		t.Logf("%s: image and tables agree on %s, direct map and tables on %s", a.Info().Name, image, direct)
		mem, ok := h.Symbol("mem_section") // an address of the direct map since 4.15
		if w, err := s.Walk(mem); ok && err != nil {
			t.Errorf("mem_section: %v", err)
		} else if got, direct := s.Direct(mem); !direct || got != w.Addr {
			t.Errorf("mem_section: direct %#x, walk %#x", got, w.Addr)
		}
	})
}

// compareRule walks every page of a range and compares it with rule.
func compareRule(t *testing.T, s Space, start, end uint64, rule func(uint64) (phys.Addr, bool)) string {
	mapped, unmapped := 0, 0
	for va := start; va < end; va += 4096 {
		w, err := s.Walk(va)
		if err != nil {
			unmapped++
			continue
		}
		mapped++
		if a, ok := rule(va); !ok || a != w.Addr {
			t.Fatalf("%#x: rule says %#x, %t; walk %#x", va, a, ok, w.Addr)
		}
	}
	if mapped == 0 {
		t.Errorf("no page of %#x-%#x is mapped", start, end)
	}
	return fmt.Sprintf("%d pages, %d are not mapped", mapped, unmapped)
}

// TestCorpusFewerHints leaves out hints one after the other: what is found must stay.
func TestCorpusFewerHints(t *testing.T) {
	corpus(t, func(t *testing.T, d *rawDump, a Arch) {
		full := d.hints()
		want, err := a.Space(full, d)
		if err != nil {
			t.Fatal(err)
		}
		stext, _ := full.Symbol("_stext")
		physBase, _ := full.Number("phys_base")
		for _, key := range []string{"sme_mask", "pgtable_l5_enabled", "KERNEL_IMAGE_SIZE", "phys_base", "PHYS_OFFSET", "TCR_EL1_T1SZ"} {
			h := full
			h.PhysBase = &physBase
			h.Number = func(k string) (int64, bool) { v, ok := full.Number(k); return v, ok && k != key }
			h.Symbol = func(k string) (uint64, bool) { v, ok := full.Symbol(k); return v, ok && k != key }
			got, err := a.Space(h, d)
			if err != nil {
				t.Errorf("without %s: %v", key, err)
				continue
			}
			sameSpace(t, "without "+key, got, want, stext)
		}
		if a.Info().Name != "x86_64" {
			return
		}
		root := want.(*space).tables.root
		got, err := a.Space(Hints{CR3: uint64(root) | 0x806, MaxPhys: d.max}, d)
		if err != nil {
			t.Fatal(err)
		}
		sameSpace(t, "CR3 alone", got, want, stext)
	})
}

func sameSpace(t *testing.T, what string, got, want Space, stext uint64) {
	t.Helper()
	gotStart, gotEnd := got.ImageRange()
	wantStart, wantEnd := want.ImageRange()
	if gotStart != wantStart || gotEnd != wantEnd {
		t.Errorf("%s: image %#x-%#x, want %#x-%#x", what, gotStart, gotEnd, wantStart, wantEnd)
	}
	a, ok := want.Image(stext)
	va, ok2 := want.Virt(a)
	if b, got := got.Image(stext); !ok || !got || a != b {
		t.Errorf("%s: _stext at %#x, want %#x", what, b, a)
	}
	if b, got := got.Virt(a); !ok2 || !got || b != va {
		t.Errorf("%s: direct map %#x, want %#x", what, b, va)
	}
}
