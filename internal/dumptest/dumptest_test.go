package dumptest_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// image is three runs of pages and one of excluded memory between two of them.
func image() *dumptest.Image {
	m := &dumptest.Image{PageSize: 4096}
	for p, text := range map[phys.PFN]string{2: "two ", 3: "three ", 6: "six ", 9: "nine "} {
		m.Set(p, dumptest.Fill(4096, text))
	}
	m.Exclude(4, 6)
	return m
}

// memoryOf is what the image's pages hold, in order.
func memoryOf(m *dumptest.Image, pages ...phys.PFN) (b []byte) {
	for _, p := range pages {
		b = append(b, m.Pages[p]...)
	}
	return b
}

// TestELF reads the file with the standard library's reader.
func TestELF(t *testing.T) {
	m := image()
	for _, o := range []dumptest.ELF{
		{}, {Align: true}, {Class32: true}, {Order: binary.BigEndian, Machine: elf.EM_S390}, {Order: binary.BigEndian, Class32: true},
	} {
		o.Notes, o.Virt = []byte("notes of nine"), 0x40000000
		b, err := m.ELF(o)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		want := []struct {
			typ    elf.ProgType
			paddr  uint64
			memsz  uint64
			memory []byte
		}{
			{elf.PT_NOTE, 0, 13, o.Notes},
			{elf.PT_LOAD, 0x2000, 0x4000, memoryOf(m, 2, 3)},
			{elf.PT_LOAD, 0x6000, 0x1000, memoryOf(m, 6)},
			{elf.PT_LOAD, 0x9000, 0x1000, memoryOf(m, 9)},
		}
		if f.Type != elf.ET_CORE || len(f.Progs) != len(want) {
			t.Fatalf("%v with %d segments", f.Type, len(f.Progs))
		}
		for i, w := range want {
			got, err := io.ReadAll(f.Progs[i].Open())
			h := f.Progs[i].ProgHeader
			if err != nil || h.Type != w.typ || h.Paddr != w.paddr || h.Memsz != w.memsz || !bytes.Equal(got, w.memory) {
				t.Errorf("segment %d: %+v, %d bytes, %v", i, h, len(got), err)
			}
			if w.typ == elf.PT_LOAD && (h.Vaddr != w.paddr+o.Virt || o.Align && h.Off%4096 != 0) {
				t.Errorf("segment %d: virtual %#x, offset %#x", i, h.Vaddr, h.Off)
			}
		}
	}
}

// TestXNum: the number of segments stands in section 0, as in files with 65535 and more.
func TestXNum(t *testing.T) {
	b, err := image().ELF(dumptest.ELF{XNum: true})
	if err != nil {
		t.Fatal(err)
	}
	var h elf.Header64
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	var s elf.Section64
	if err := binary.Read(bytes.NewReader(b[h.Shoff:]), binary.LittleEndian, &s); err != nil {
		t.Fatal(err)
	}
	if h.Phnum != 0xffff || h.Shnum != 1 || s.Info != 4 {
		t.Errorf("e_phnum %#x, e_shnum %d, sh_info %d", h.Phnum, h.Shnum, s.Info)
	}
}

// ranges are those of image.
func ranges(m *dumptest.Image) map[uint64][]byte {
	return map[uint64][]byte{0x2000: memoryOf(m, 2, 3), 0x6000: memoryOf(m, 6), 0x9000: memoryOf(m, 9)}
}

func TestLiME(t *testing.T) {
	m := image()
	b := m.LiME()
	for len(b) > 0 {
		first, last := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
		n := last - first + 1
		if string(b[:8]) != "EMiL\x01\x00\x00\x00" || !bytes.Equal(b[32:32+n], ranges(m)[first]) {
			t.Errorf("record %q from %#x to %#x", b[:8], first, last)
		}
		b = b[32+n:]
	}
}

func TestAVML(t *testing.T) {
	m := image()
	b, err := m.AVML()
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []uint64{0x2000, 0x6000, 0x9000} {
		want := ranges(m)[first]
		if string(b[:8]) != "AVML\x02\x00\x00\x00" || binary.LittleEndian.Uint64(b[8:]) != first ||
			binary.LittleEndian.Uint64(b[16:]) != first+uint64(len(want))-1 {
			t.Errorf("header %x", b[:32])
		}
		in := bytes.NewReader(b[32:])
		got := make([]byte, len(want))
		if _, err := io.ReadFull(snappy.NewReader(in), got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("range %#x: %v", first, err)
		}
		n := len(b) - 32 - in.Len()
		if got := binary.LittleEndian.Uint64(b[32+n:]); got != uint64(n) {
			t.Errorf("range %#x: length %d, want %d", first, got, n)
		}
		b = b[32+n+8:]
	}
	if len(b) != 0 {
		t.Errorf("%d bytes behind the last range", len(b))
	}
}

func TestRaw(t *testing.T) {
	m := image()
	b := m.Raw()
	if len(b) != 10*4096 || !bytes.Equal(b[9*4096:], m.Pages[9]) || bytes.ContainsAny(b[:0x2000], "two") {
		t.Errorf("%d bytes", len(b))
	}
}

func TestParse(t *testing.T) {
	r, err := dumptest.Parse(`format kdump version 5 order be ptr 4packed time 64 page 16384 codec lzo # a comment
arch i686 release "6.1 x" notes 2 vmcoreinfo "A=1\n" physbase 0x1000 split 3 flat shuffle 7 incomplete
page 0x10 zero
page 1-2  fill "a # b"
page 3-4  excluded
page 5    lost
page 6    corrupt payload[-1]^=0x40
`)
	if err != nil {
		t.Fatal(err)
	}
	k := r.KDUMP
	if k.Version != 5 || k.Order != dumptest.Order(binary.BigEndian) || k.Sub != dumptest.SubPacked || k.Main != dumptest.MainC ||
		k.Codec != dumptest.LZO || k.Utsname[4] != "i686" || k.Utsname[2] != "6.1 x" || k.VMCoreInfo != "A=1\n" || !k.Incomplete ||
		k.PhysBase != 0x1000 || r.CPUs != 2 || r.Split != 3 || r.Flat.Shuffle != 7 || r.Image.PageSize != 16384 {
		t.Errorf("parsed as %+v", r)
	}
	pages := slices.Sorted(maps.Keys(r.Image.Pages))
	if !slices.Equal(pages, []phys.PFN{1, 2, 6, 16}) || !r.Image.Lost[5] || r.Image.Damage[6] == nil || len(r.Image.Excluded) != 1 {
		t.Errorf("pages %v, lost %v, excluded %v", pages, r.Image.Lost, r.Image.Excluded)
	}
	if got := r.Image.Pages[2][:10]; string(got) != "a # ba # b" {
		t.Errorf("page holds %q", got)
	}
}

// TestParseErrors: a word that is not understood is an error, with its line.
func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		"formt kdump", "format", "version x", "order me", "ptr 16", "page 1", "page x zero", "page 1 gone", "page 1 fill",
		"page 1 random x", "page 1 corrupt", "page 1 corrupt x", "page 1 corrupt payload[x]^=1", "page 1 corrupt desc.x=1", `release "x`,
	} {
		if _, err := dumptest.Parse(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	for _, text := range []string{"1 zero", "page 1", `page 1 fill "x`} {
		if _, err := dumptest.ParseExpect(text); err == nil {
			t.Errorf("expect %q: no error", text)
		}
	}
}

// TestUnrepresentable: a container that has no word for a state refuses it.
func TestUnrepresentable(t *testing.T) {
	for _, text := range []string{"format elf\npage 1 lost", "single\npage 1 zero\npage 2 excluded", "format tape\npage 1 zero"} {
		r, err := dumptest.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Build(); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
